//! Memory that calls have used goes back to the system when they are over. The C library keeps what is freed below
//! something that is still in use; that is worth a walk through its heaps only when nobody waits meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::store::journal::Journal;
use crate::switch::handle::Views;

/// Gives free memory back each time when there has been no call for [`QUIET`] after some work. Runs for ever.
pub(super) async fn give_back(views: Arc<Views>, journal: Journal) {
    let mut quiet = Duration::ZERO;
    let mut done_at = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        quiet = if views.calls.is_empty() {
            quiet + LOOK
        } else {
            Duration::ZERO
        };
        let entries = journal.counters().entries.load(Ordering::Relaxed);
        if quiet >= QUIET && entries != done_at {
            done_at = entries;
            quiet = Duration::ZERO;
            trim();
        }
    }
}

/// The end of a thread's heap goes back as soon as a mebibyte of it is free. Left to itself the C library raises this bound,
/// up to 64 MiB, whenever a large block is freed, and [`trim`] does not reach the ends of the heaps of threads. Call it before
/// threads begin.
#[cfg(target_env = "gnu")]
pub(super) fn keep_little() {
    // SAFETY: it takes no pointer and sets two numbers under the allocator's lock.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 20);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 256 << 10);
    }
}

#[cfg(not(target_env = "gnu"))]
pub(super) fn keep_little() {}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: it takes no pointer, and locks each heap while it looks at it.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries give memory back by themselves, or not at all.
#[cfg(not(target_env = "gnu"))]
fn trim() {}

const LOOK: Duration = Duration::from_secs(2);
/// Transactions linger for 32 s after the last call (64·T1, RFC 3261 §17).
const QUIET: Duration = Duration::from_secs(36);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays() {
        let blocks: Vec<Vec<u8>> = (0..1_000u32).map(|at| vec![at as u8; 4_096]).collect();
        let kept: Vec<Vec<u8>> = blocks.into_iter().step_by(2).collect();
        keep_little();
        trim();
        for (at, block) in kept.iter().enumerate() {
            assert!(block.iter().all(|byte| *byte == (at * 2) as u8));
        }
    }
}
