//! The process's file limit, and how many calls fit under it.

use std::io;

/// Descriptors that the process needs besides the calls' media sockets: listeners, database, recordings, HTTP.
const OTHER_FILES: u64 = 256;
/// A call has two legs with a socket for media and one for reports each, and a recording.
const FILES_A_CALL: u64 = 5;

/// Raises the limit on open files to what the system allows and returns it.
///
/// # Errors
/// When the kernel tells no limit.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid, writable rlimit that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let wanted = libc::rlimit {
        rlim_cur: limit.rlim_max,
        rlim_max: limit.rlim_max,
    };
    // SAFETY: `wanted` is a valid rlimit that outlives the call; the kernel only reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) } == 0 {
        return Ok(limit.rlim_max);
    }
    tracing::warn!(
        limit = limit.rlim_cur,
        "the limit on open files cannot be raised; see `ulimit -n`"
    );
    Ok(limit.rlim_cur)
}

/// The most calls at once, of two legs each, that open files and media ports allow.
pub fn call_ceiling(open_files: u64, most_legs: u64) -> u64 {
    let by_files = open_files.saturating_sub(OTHER_FILES) / FILES_A_CALL;
    by_files.min(most_legs / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_can_be_read_and_stays() {
        let first = raise_open_files().unwrap();
        assert!(first > 0);
        assert_eq!(raise_open_files().unwrap(), first);
    }

    #[test]
    fn the_scarcer_of_files_and_ports_decides() {
        assert_eq!(call_ceiling(1024, 10_000), (1024 - 256) / 5);
        assert_eq!(call_ceiling(1_000_000, 400), 200);
    }
}
