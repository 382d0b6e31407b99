//! Raising a media thread above the rest of the machine, where that is allowed, and stepping back.

use std::io;

/// What a thread got.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Priority {
    /// `SCHED_FIFO`: it runs as soon as there is something to do.
    Realtime,
    /// A negative nice value.
    Nice,
    /// Neither is allowed: wake-ups are late when the machine is busy.
    Normal,
}

/// Raises the calling thread as far as allowed.
pub fn raise() -> Priority {
    if realtime().is_ok() {
        Priority::Realtime
    } else if renice(NICE).is_ok() {
        Priority::Nice
    } else {
        Priority::Normal
    }
}

/// Puts the calling thread before ordinary ones, and behind those that are raised.
///
/// # Errors
/// That is not allowed.
pub fn favour() -> io::Result<()> {
    renice(NICE)
}

/// Lowers the calling thread below everything else: it runs when nothing else wants to.
///
/// # Errors
/// The system refuses.
pub fn lower() -> io::Result<()> {
    renice(LOWEST)
}

fn realtime() -> io::Result<()> {
    // SAFETY: the structure is plain numbers, for which zero is valid.
    let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    parameter.sched_priority = REALTIME;
    // SAFETY: `parameter` lives through the call; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameter) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn renice(value: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers; on Linux 0 is the calling thread.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Low among the real-time priorities: above ordinary work, below the kernel's own threads.
const REALTIME: libc::c_int = 10;
/// As sound servers choose.
const NICE: libc::c_int = -11;
/// The last of all.
const LOWEST: libc::c_int = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_may_step_back() {
        std::thread::spawn(|| lower().unwrap()).join().unwrap();
    }

    #[test]
    fn a_thread_gets_what_is_allowed_and_keeps_running() {
        let got = std::thread::spawn(raise).join().unwrap();
        assert!(matches!(
            got,
            Priority::Realtime | Priority::Nice | Priority::Normal
        ));
    }
}
