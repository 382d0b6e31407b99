//! The house rules, held by reading the sources: floors, purity, lengths, names, `unsafe`, and that `docs/architecture.md` lists what exists.

mod media_threads;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 600;
const LONGEST_FUNCTION: usize = 100;

/// Each module may import those of a smaller rank. Ranks below 10 are floor 1, then 10, 20 and 30 begin the floors above.
const RANKS: [(&str, u8); 27] = [
    ("ledger", 0),
    ("sip", 1),
    ("sdp", 1),
    ("rtp", 1),
    ("audio", 1),
    ("dialplan", 2),
    ("desk", 3),
    ("pool", 3),
    ("trunk", 3),
    ("call", 4),
    ("destination", 4),
    ("clock", 10),
    ("net", 11),
    ("store", 11),
    ("media", 12),
    ("recording", 13),
    ("switch", 20),
    ("observe", 30),
    ("notify", 31),
    ("stats", 31),
    ("console", 31),
    ("api", 32),
    ("app", 33),
    ("cli", 34),
    ("main", 40),
    ("lib", 40),
    ("vats", 40),
];

/// Modules of one rank that may use each other.
const PARTNERS: [(&str, &str); 4] = [
    ("call", "destination"),
    ("destination", "call"),
    ("audio", "sdp"),
    ("sdp", "rtp"),
];

/// What floor 1 may not name.
const IMPURE: [&str; 16] = [
    "tokio",
    "std::net::Udp",
    "std::net::Tcp",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "socket2",
    "std::thread",
    "thread::spawn",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "rand::",
    "getrandom",
    "thread_rng",
];

const FORBIDDEN_NAMES: [&str; 8] = [
    "util", "utils", "common", "manager", "handler", "context", "helper", "helpers",
];

struct Source {
    path: PathBuf,
    /// As written.
    text: String,
    /// Without comments, strings and characters; lines kept.
    code: String,
    /// `code` without test modules.
    shipped: String,
}

impl Source {
    fn name(&self) -> String {
        self.path.display().to_string()
    }
    /// The top-level module that the file belongs to.
    fn module(&self) -> String {
        let inside = self.path.strip_prefix("src").unwrap();
        let first = inside.components().next().unwrap().as_os_str();
        first.to_str().unwrap().trim_end_matches(".rs").to_owned()
    }
}

fn files_in(folder: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files_in(path.to_str().unwrap(), found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        files_in(folder, &mut paths);
    }
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = without_comments(&text);
        let shipped = without_tests(&code);
        Source {
            path,
            text,
            code,
            shipped,
        }
    };
    let all: Vec<Source> = paths.into_iter().map(read).collect();
    assert!(!all.is_empty(), "run from the package's root");
    all
}

/// Files that only tests compile: `#[cfg(test)] mod name;` in a parent.
fn test_files(all: &[Source]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for source in all {
        let lines: Vec<&str> = source.code.lines().map(str::trim).collect();
        for pair in lines.windows(2) {
            let declared = pair[1].trim_start_matches("pub ").strip_prefix("mod ");
            let (true, Some(name)) = (pair[0] == "#[cfg(test)]", declared) else {
                continue;
            };
            if let Some(name) = name.strip_suffix(';') {
                let folder = module_folder(&source.path);
                found.insert(folder.join(format!("{name}.rs")));
                found.insert(folder.join(name).join("mod.rs"));
            }
        }
    }
    found
}

fn module_folder(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let parent = path.parent().unwrap();
    match stem {
        "mod" | "lib" | "main" => parent.to_owned(),
        _ => parent.join(stem),
    }
}

/// Blanks comments, string and character literals; keeps every line break.
fn without_comments(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => (i..chars.len()).find(|j| at(*j) == '\n'),
            ('/', '*') => (i + 2..chars.len())
                .find(|j| at(*j) == '*' && at(j + 1) == '/')
                .map(|j| j + 2),
            ('r', '"' | '#') if !is_word(at(i.wrapping_sub(1))) || at(i.wrapping_sub(1)) == 'b' => {
                raw_string_end(&chars, i + 1)
            }
            ('"', _) => string_end(&chars, i + 1),
            ('\'', '\\') => (i + 3..chars.len()).find(|j| at(*j) == '\'').map(|j| j + 1),
            ('\'', _) if at(i + 2) == '\'' => Some(i + 3),
            _ => {
                out.push(at(i));
                i += 1;
                continue;
            }
        };
        let end = end.unwrap_or(chars.len());
        out.extend(chars[i..end].iter().filter(|c| **c == '\n'));
        out.push(' ');
        i = end.max(i + 1);
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn string_end(chars: &[char], mut i: usize) -> Option<usize> {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return Some(i + 1),
            _ => i += 1,
        }
    }
    None
}

/// `i` stands after the `r`. A raw identifier (`r#type`) ends at once.
fn raw_string_end(chars: &[char], i: usize) -> Option<usize> {
    let hashes = chars[i..].iter().take_while(|c| **c == '#').count();
    if chars.get(i + hashes) != Some(&'"') {
        return Some(i + hashes);
    }
    let closing: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let body = i + hashes + 1;
    let offset = chars[body..]
        .windows(closing.len())
        .position(|w| w == closing)?;
    Some(body + offset + closing.len())
}

/// The index after the brace that closes the first `{` at or after `from`; `None` when a `;` comes first.
fn block_end(code: &str, from: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut nested = 0usize;
    for (i, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            b'(' | b'[' if depth == 0 => nested += 1,
            b')' | b']' if depth == 0 => nested = nested.checked_sub(1)?,
            b';' if depth == 0 && nested == 0 => return None,
            _ => {}
        }
    }
    None
}

fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let end = block_end(&out, start + "#[cfg(test)]".len()).unwrap_or(start + 12);
        let lines = out[start..end].matches('\n').count();
        out.replace_range(start..end, &"\n".repeat(lines));
    }
    out
}

/// The top-level modules that `code` names through `crate::`.
fn imported(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        if code[..start].ends_with(is_word) || code[..start].ends_with('$') {
            continue;
        }
        let rest = &code[start + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut fresh = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        found.insert(std::mem::take(&mut word));
                        fresh = true;
                    }
                    ':' if depth == 0 => fresh = false,
                    c if depth == 0 && fresh && is_word(c) => word.push(c),
                    _ => {}
                }
            }
            found.insert(word);
        } else {
            found.insert(rest.chars().take_while(|c| is_word(*c)).collect());
        }
    }
    found.remove("");
    found
}

fn rank(module: &str) -> u8 {
    let known = RANKS.iter().find(|(name, _)| *name == module);
    let Some((_, rank)) = known else {
        panic!("src/{module} is on no floor: add it to RANKS in tests/architecture.rs");
    };
    *rank
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn modules_import_downwards() {
    let all = sources(&["src"]);
    let tests = test_files(&all);
    let mut problems = Vec::new();
    for source in all.iter().filter(|s| !tests.contains(&s.path)) {
        let own = source.module();
        for other in imported(&source.shipped) {
            // A capital or a macro: an item of the crate's root.
            let is_module = Path::new("src").join(&other).is_dir()
                || Path::new("src").join(format!("{other}.rs")).is_file();
            let partners = PARTNERS.contains(&(own.as_str(), other.as_str()));
            if is_module && own != other && !partners && rank(&other) >= rank(&own) {
                problems.push(format!("{}: {own} may not use {other}", source.name()));
            }
        }
        rank(&own);
    }
    report(&problems);
}

#[test]
fn what_decides_is_pure() {
    let all = sources(&["src"]);
    let tests = test_files(&all);
    let mut problems = Vec::new();
    for source in all.iter().filter(|s| !tests.contains(&s.path)) {
        if rank(&source.module()) >= 10 {
            continue;
        }
        names_of(source, &IMPURE, &mut problems);
    }
    report(&problems);
}

/// Where a source names one of the words.
fn names_of(source: &Source, words: &[&str], problems: &mut Vec<String>) {
    for (number, line) in source.shipped.lines().enumerate() {
        let names = |word: &&&str| {
            line.match_indices(**word)
                .any(|(i, _)| !line[..i].ends_with(is_word))
        };
        for word in words.iter().filter(names) {
            problems.push(format!("{}:{}: names {word}", source.name(), number + 1));
        }
    }
}

#[test]
fn files_and_functions_stay_small() {
    let mut problems = Vec::new();
    for source in sources(&["src", "tests", "benches", "fuzz"]) {
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE {
            problems.push(format!("{}: {lines} lines", source.name()));
        }
        for (start, _) in source.code.match_indices("fn ") {
            let name: String = source.code[start + 3..]
                .chars()
                .take_while(|c| is_word(*c))
                .collect();
            if source.code[..start].ends_with(is_word) || name.is_empty() {
                continue;
            }
            let end = block_end(&source.code, start).unwrap_or(start);
            let length = source.code[start..end].matches('\n').count() + 1;
            if length > LONGEST_FUNCTION {
                problems.push(format!("{}: fn {name} has {length} lines", source.name()));
            }
        }
    }
    report(&problems);
}

#[test]
fn names_say_what_is_inside() {
    let all = sources(&["src", "tests", "benches"]);
    let vague = |path: &Path| {
        path.components()
            .filter_map(|part| part.as_os_str().to_str())
            .any(|part| FORBIDDEN_NAMES.contains(&part.trim_end_matches(".rs")))
    };
    let problems: Vec<String> = all
        .iter()
        .filter(|source| vague(&source.path))
        .map(Source::name)
        .collect();
    report(&problems);
}

#[test]
fn modules_say_what_they_are() {
    let all = sources(&["src", "tests", "benches"]);
    let tests = test_files(&all);
    let problems: Vec<String> = all
        .iter()
        .filter(|source| {
            let is_test = tests.contains(&source.path) || source.path.ends_with("tests.rs");
            !is_test && !source.text.starts_with("//!")
        })
        .map(|source| format!("{}: no module comment", source.name()))
        .collect();
    report(&problems);
}

#[test]
fn unsafe_code_gives_its_reason() {
    let mut problems = Vec::new();
    for source in sources(&["src", "tests", "benches"]) {
        let written: Vec<&str> = source.text.lines().collect();
        for (number, line) in source.code.lines().enumerate() {
            let is_block = line.contains("unsafe {") || line.contains("unsafe impl");
            let before = &written[number.saturating_sub(6)..=number.min(written.len() - 1)];
            if is_block && !before.iter().any(|l| l.contains("SAFETY:")) {
                problems.push(format!(
                    "{}:{}: no SAFETY comment",
                    source.name(),
                    number + 1
                ));
            }
        }
    }
    report(&problems);
}

#[test]
fn the_architecture_page_lists_the_modules() {
    let page = fs::read_to_string("docs/architecture.md").expect("docs/architecture.md");
    let mut problems = Vec::new();
    if page.lines().count() > 150 {
        problems.push("docs/architecture.md is longer than 150 lines".to_owned());
    }
    for entry in fs::read_dir("src").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_root = name == "lib" || name == "main";
        if !is_root && !mentions(&page, "", &name) {
            problems.push(format!("docs/architecture.md does not list {name}"));
        }
        for inner in fs::read_dir(&path).into_iter().flatten() {
            let inner = inner.unwrap().path();
            let inner_name = inner.file_name().unwrap().to_str().unwrap().to_owned();
            if inner.is_dir() && !mentions(&page, &name, &inner_name) {
                problems.push(format!(
                    "docs/architecture.md does not list {name}/{inner_name}"
                ));
            }
        }
    }
    for (start, _) in page.match_indices("src/") {
        let end = |c: char| !is_word(c) && !matches!(c, '/' | '.' | '-');
        let path = page[start..].split(end).next().unwrap();
        let path = path.trim_end_matches(['.', '/']);
        if !Path::new(path).exists() {
            problems.push(format!(
                "docs/architecture.md names {path}, which does not exist"
            ));
        }
    }
    report(&problems);
}

#[test]
fn every_test_file_is_run() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let is_root = |name: &str| manifest.contains(&format!("[[test]]\nname = \"{name}\"\n"));
    let all = sources(&["tests"]);
    let at_top = |source: &&Source| source.path.parent() == Some(Path::new("tests"));
    let (roots, others): (Vec<&Source>, Vec<&Source>) = all
        .iter()
        .filter(at_top)
        .partition(|source| is_root(source.path.file_stem().unwrap().to_str().unwrap()));
    let mut problems = Vec::new();
    for source in others {
        let declared = format!(
            "\nmod {};\n",
            source.path.file_stem().unwrap().to_str().unwrap()
        );
        let times = roots
            .iter()
            .filter(|root| root.text.contains(&declared))
            .count();
        if times != 1 {
            problems.push(format!(
                "{}: a module of {times} test binaries instead of one",
                source.name()
            ));
        }
    }
    report(&problems);
}

/// A module is listed as `name`, `name/`, `parent::name`, `parent/name` or `src/…`.
fn mentions(page: &str, parent: &str, name: &str) -> bool {
    let inner = [format!("{parent}/{name}"), format!("{parent}::{name}")];
    let plain = [
        format!("`{name}`"),
        format!("`{name}/"),
        format!("`{name}.rs`"),
        format!("src/{name}"),
    ];
    plain.iter().any(|form| page.contains(form))
        || (!parent.is_empty() && inner.iter().any(|form| page.contains(form)))
}

#[test]
fn this_reader_is_not_fooled() {
    let code = without_comments(
        "use crate::{desk::{Desk, x}, ledger::id}; // crate::api\n let a = \"crate::cli\"; /* crate::app */ let b = r#\"crate::net\"#; let c = '\"'; crate::sip::wire();\n#[cfg(test)]\nmod tests { use crate::store::x; }\nfn after() { crate::rtp::x() }",
    );
    let names: Vec<String> = imported(&without_tests(&code)).into_iter().collect();
    assert_eq!(names, ["desk", "ledger", "rtp", "sip"]);
    assert_eq!(code.lines().count(), 5);
    let function = "fn long(a: [u8; 4]) -> u8 {\n if a { b }\n}\n";
    assert_eq!(block_end(function, 0), Some(function.len() - 1));
    assert_eq!(block_end("fn declared(&self);\n{}", 0), None);
}
