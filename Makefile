# vats: `make run` starts the PBX on config/, `make test` runs lint and all tests.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
CONFIG ?= config
# How long each parser is fuzzed, and how many worlds of 20 calls `make soak` lives through.
FUZZ_SECONDS ?= 60
SOAK_WORLDS ?= 5000

# Debian packages: what the build needs beside Rust, a C compiler and make; what the tests call.
BUILD_PACKAGES := libopus-dev pkg-config
TEST_PACKAGES := sip-tester baresip-core sipsak sox socat procps iproute2 nftables

# End-to-end tests that measure time or load run after all the rest, and so do those that count allocations; the first of these
# only waits, and the counting goes on beside it.
QUIET_TESTS := missed_calls:: load:: storm::
# Those that wait longest begin first, beside the rest.
LONG_TESTS := vanished_phone:: two_switches::sessions_across dialogs::a_phone_that_dies home_nat::a_connection_that_died
# Most of them wait most of their time.
SIDE_BY_SIDE ?= 8

.PHONY: help run test lint side-by-side unit end-to-end quiet soak fuzz bench build-packages test-packages fuzz-packages

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

run: build-packages ## Build in release and start the PBX on config/
	cargo build --release --locked
	@exec "$${CARGO_TARGET_DIR:-target}/release/vats" run --config $(CONFIG)

test: test-packages lint side-by-side quiet ## Lint and all tests

lint: ## Formatting and clippy
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings

# What only computes gives way to what is real.
side-by-side: build-packages
	@cargo test --locked --no-run --tests; \
	log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	nice -n 10 $(MAKE) --no-print-directory unit >"$$log" 2>&1 & unit=$$!; \
	status=0; $(MAKE) --no-print-directory end-to-end || status=$$?; \
	wait $$unit || status=$$?; cat "$$log"; exit $$status

unit: build-packages ## The library's own tests, the house rules, whole calls in virtual time
	cargo test --locked --no-fail-fast --lib --bins --test architecture --test in_process

end-to-end: build-packages test-packages ## Tests against real peers
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	cargo test --locked --test end_to_end -- --test-threads $(words $(LONG_TESTS)) $(LONG_TESTS) >"$$log" 2>&1 & long=$$!; \
	status=0; cargo test --locked --test end_to_end -- --test-threads $(SIDE_BY_SIDE) $(QUIET_TESTS:%=--skip %) $(LONG_TESTS:%=--skip %) || status=$$?; \
	wait $$long || status=$$?; cat "$$log"; exit $$status

quiet: build-packages test-packages ## Tests of time, load and allocations, one after the other
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; failed=; \
	nice -n 10 cargo test --locked --test media_no_alloc >"$$log" 2>&1 & allocations=$$!; \
	for name in $(QUIET_TESTS); do \
	  echo cargo test --locked --test end_to_end $$name; \
	  cargo test --locked --test end_to_end $$name || failed=yes; \
	  if [[ -n $$allocations ]]; then wait $$allocations || failed=yes; cat "$$log"; allocations=; fi; \
	done; [[ -z $$failed ]]

soak: build-packages ## 100,000 random calls in virtual time, some minutes
	VATS_WORLDS=$(SOAK_WORLDS) cargo test --locked --test in_process whole_calls:: -- --nocapture

# On a stable toolchain, without sanitizers: coverage guides the fuzzer all the same, and memory safety is the compiler's.
fuzz: build-packages fuzz-packages ## Fuzz every parser and the SIP endpoint, a minute each
	@cd fuzz; for path in targets/*.rs; do \
	  name=$${path#targets/}; name=$${name%.rs}; mkdir -p corpus/$$name; \
	  echo cargo fuzz run $$name; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$name corpus/$$name seeds/$$name -- \
	    -dict=sip.dict -max_len=8192 -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1; \
	done

# One after the other, b2bua last: it prints the table of all.
bench: build-packages ## Speed and size against the budgets, a quarter of an hour after the build
	cargo build --release --locked
	cargo bench --locked --bench sip
	cargo bench --locked --bench codec
	cargo bench --locked --bench media
	cargo bench --locked --bench recorder
	cargo bench --locked --bench routing
	cargo bench --locked --bench registrations
	cargo bench --locked --bench b2bua

build-packages:
	@command -v cargo >/dev/null || { echo "needed and not installed: Rust 1.95 or newer (https://rustup.rs)" >&2; exit 1; }
	@$(call install,$(BUILD_PACKAGES) $$(command -v cc >/dev/null || echo build-essential))

fuzz-packages:
	@command -v c++ >/dev/null || { echo "needed and not installed: a C++ compiler (Debian: build-essential)" >&2; exit 1; }
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz

test-packages:
	@$(call install,$(TEST_PACKAGES))

# Installs the Debian packages that are missing, with sudo where we are not root; says what to do where it cannot.
define install
missing=(); for package in $(1); do \
  dpkg -s $$package >/dev/null 2>&1 || missing+=($$package); \
done; \
if (( $${#missing[@]} )); then \
  say="needed and not installed: $${missing[*]}"; \
  command -v apt-get >/dev/null || { echo "$$say. This is no Debian or Ubuntu: install what provides them, then run make again." >&2; exit 1; }; \
  if (( $$(id -u) == 0 )); then as=(env); \
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as=(sudo env); \
  else echo "$$say. Run: sudo apt-get install $${missing[*]}" >&2; exit 1; fi; \
  echo "installing $${missing[*]}"; \
  { "$${as[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $${missing[@]} >/dev/null 2>&1 \
    || { "$${as[@]}" apt-get update -qq && "$${as[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $${missing[@]} >/dev/null; }; } \
    || { echo "apt-get could not install $${missing[*]}: install them by hand, then run make again. What apt-get said stands above." >&2; exit 1; }; \
fi
endef
