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

# End-to-end tests that measure time or load run one after the other, after all the rest.
QUIET_TESTS := missed_calls load storm
# These wait most of their time: two lanes of them run beside the others.
WAITING_TESTS := vanished_phone transfers subscriptions two_switches real_provider
MORE_WAITING_TESTS := dialogs phones providers home_nat carriers edge_proxy desk_phone

.PHONY: help run test lint unit end-to-end quiet soak fuzz bench build-packages test-packages fuzz-packages

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

run: build-packages ## Build in release and start the PBX on config/
	cargo build --release --locked
	@exec "$${CARGO_TARGET_DIR:-target}/release/vats" run --config $(CONFIG)

test: test-packages lint unit end-to-end quiet ## Lint and all tests

lint: ## Formatting and clippy
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings

unit: build-packages ## The library's own tests and the house rules
	cargo test --locked --lib --bins --test architecture

# The shell's globs are the list of tests, files and folders alike, so a new one is run without being named here.
end-to-end: build-packages test-packages ## Tests against real peers
	@apart=' $(QUIET_TESTS) $(WAITING_TESTS) $(MORE_WAITING_TESTS) architecture '; names=(); \
	for file in tests/*.rs tests/*/main.rs; do \
	  name=$${file#tests/}; name=$${name%.rs}; name=$${name%/main}; \
	  [[ $$apart == *" $$name "* ]] || names+=(--test $$name); \
	done; \
	cargo test --locked --no-run --tests; \
	logs=$$(mktemp -d); trap 'rm -rf "$$logs"' EXIT; \
	cargo test --locked --no-fail-fast $(WAITING_TESTS:%=--test %) >"$$logs/1" 2>&1 & one=$$!; \
	cargo test --locked --no-fail-fast $(MORE_WAITING_TESTS:%=--test %) >"$$logs/2" 2>&1 & two=$$!; \
	echo cargo test --locked --no-fail-fast $${names[@]}; \
	status=0; cargo test --locked --no-fail-fast $${names[@]} || status=$$?; \
	wait $$one || status=$$?; wait $$two || status=$$?; cat "$$logs/1" "$$logs/2"; exit $$status

quiet: build-packages test-packages ## Tests of time and load, one after the other
	@failed=; for name in $(QUIET_TESTS); do \
	  echo cargo test --locked --test $$name; \
	  cargo test --locked --test $$name || failed=yes; \
	done; [[ -z $$failed ]]

soak: build-packages ## 100,000 random calls in virtual time, some minutes
	VATS_WORLDS=$(SOAK_WORLDS) cargo test --locked --test whole_calls -- --nocapture

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
	cargo bench --locked --bench relay
	cargo bench --locked --bench recorder
	cargo bench --locked --bench room
	cargo bench --locked --bench codec
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
