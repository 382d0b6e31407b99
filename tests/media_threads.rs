//! No lock per packet on a media thread, held by reading the sources: what runs there, and what that calls, names nothing
//! that waits for another thread.

use super::{is_word, module_folder, names_of, rank, report, sources, test_files};

/// What the signalling task and threads beside it run; all else of `media`, `rtp` and `audio` may run on media threads.
const OFF_THE_MEDIA_THREAD: [&str; 6] = [
    "src/audio/wav.rs",
    "src/media/plane.rs",
    "src/media/plane/",
    "src/media/bridges.rs",
    "src/media/ports.rs",
    "src/media/studio.rs",
];

/// What a media thread, and all that it may call, may not name: each of these waits for other threads, or may.
const WAITING: [&str; 18] = [
    "Mutex",
    "RwLock",
    "Condvar",
    "Barrier",
    "Semaphore",
    "OnceLock",
    "LazyLock",
    "ReentrantLock",
    "parking_lot",
    "mpsc",
    "tokio",
    "DashMap",
    "thread::",
    "thread_local",
    "tracing",
    "log::",
    "println",
    "eprintln",
];

/// Where one of them is named all the same, because the media thread itself does not wait for it.
const NEVER_WAITED_FOR: [(&str, &str); 4] = [
    // A media thread calls `get` only: one load. The studio's thread fills it.
    ("src/audio/clip.rs", "OnceLock"),
    // Looked up when a resampler is made, which the signalling task does.
    ("src/audio/resample/stream.rs", "LazyLock"),
    // Written before the threads are started.
    ("src/media/io/mod.rs", "tracing"),
    // The probe's thread, before that.
    ("src/media/io/mod.rs", "thread::"),
];

/// The crates that media threads call. None of them takes a lock on use: `rtrb` is a ring without one, `io_uring`, `libc`
/// and `socket2` are system calls, the others compute.
const CALLED_BY_MEDIA: [&str; 15] = [
    "std", "crate", "self", "super", "aes", "audiopus", "ctr", "hmac", "io_uring", "libc", "ring",
    "rtp_rs", "rtrb", "sha1", "socket2",
];

/// No lock per packet on a media thread, by construction: whatever runs there is one of these files, or of a crate that
/// was looked through. Media threads share rings, bells and counters with the rest.
#[test]
fn a_media_thread_waits_for_nobody() {
    let all = sources(&["src"]);
    let tests = test_files(&all);
    let mut problems = Vec::new();
    for source in all.iter().filter(|s| !tests.contains(&s.path)) {
        let (name, module) = (source.name(), source.module());
        let is_off = OFF_THE_MEDIA_THREAD
            .iter()
            .any(|start| name.starts_with(start));
        if rank(&module) >= 10 && module != "media" || is_off {
            continue;
        }
        let excused = |word: &str| NEVER_WAITED_FOR.contains(&(name.as_str(), word));
        let words: Vec<&str> = WAITING
            .iter()
            .filter(|word| !excused(word))
            .copied()
            .collect();
        names_of(source, &words, &mut problems);
        if !["media", "rtp", "audio"].contains(&module.as_str()) {
            continue;
        }
        for line in source.shipped.lines() {
            let line = line.trim_start().trim_start_matches("pub ");
            let Some(path) = line.strip_prefix("use ") else {
                continue;
            };
            let root: String = path.chars().take_while(|c| is_word(*c)).collect();
            let own = module_folder(&source.path).join(format!("{root}.rs"));
            if !CALLED_BY_MEDIA.contains(&root.as_str()) && !own.is_file() {
                problems.push(format!("{name}: a media thread may not call {root}"));
            }
        }
    }
    // What fills a clip waits for others that fill it.
    for source in &all {
        let name = source.name();
        let is_shipped = !name.contains("/tests");
        if is_shipped && source.shipped.contains("clip.encode(") && name != "src/media/studio.rs" {
            problems.push(format!("{name}: fills a clip"));
        }
    }
    report(&problems);
}
