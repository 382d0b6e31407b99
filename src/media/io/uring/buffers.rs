//! The buffers that the kernel receives into: given to it as a ring, taken back one by one, given again.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// A ring of buffers in one mapping: first the entries that the kernel reads, then the buffers.
#[derive(Debug)]
pub struct Buffers {
    memory: NonNull<u8>,
    tail: u16,
}

// SAFETY: the mapping is owned and has no ties to a thread; only `&mut self` writes to it.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Maps the memory. Nothing is given to the kernel before [`Buffers::give_all`].
    pub fn new() -> io::Result<Buffers> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                MAPPED,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(memory.cast::<u8>()) {
            Some(memory) => Ok(Buffers { memory, tail: 0 }),
            None => Err(io::Error::other("the buffers were mapped to address zero")),
        }
    }

    /// Where the entries begin, for the kernel.
    pub fn address(&self) -> u64 {
        self.memory.as_ptr() as u64
    }

    /// Gives every buffer to the kernel.
    pub fn give_all(&mut self) {
        for number in 0..COUNT {
            self.give(number);
        }
    }

    /// Gives a buffer (again) to the kernel, which may write to it from now on.
    pub fn give(&mut self, number: u16) {
        if number >= COUNT {
            return;
        }
        let data = self.data(number) as u64;
        let place = usize::from(self.tail & (COUNT - 1));
        let entries = self.memory.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `place` is within the entries, which begin the mapping (page-aligned, zeroed); the kernel reads an
        // entry only after the tail has passed it.
        unsafe {
            let entry = &mut *entries.add(place);
            entry.set_addr(data);
            entry.set_len(SIZE as u32);
            entry.set_bid(number);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry, in a field that the setters above leave alone; it is aligned for a
        // u16, and the kernel only reads it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// A buffer that the kernel has filled and told of. It must not have been given back yet.
    pub fn filled(&self, number: u16) -> &[u8] {
        if number >= COUNT {
            return &[];
        }
        // SAFETY: the buffer is within the mapping, which was zeroed at first, and the kernel writes to it again only
        // after `give`, for which `&mut self` is needed.
        unsafe { std::slice::from_raw_parts(self.data(number), SIZE) }
    }

    fn data(&self, number: u16) -> *const u8 {
        self.memory
            .as_ptr()
            .wrapping_add(ENTRIES + usize::from(number) * SIZE)
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `new` with this length and nothing refers to it any more: whoever owns the
        // buffers ends the ring first.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), MAPPED) };
    }
}

/// Buffers; a power of two. A thread that is kept from running for 5 ms by 1,000 calls finds them all filled, and the rest
/// in the sockets.
pub const COUNT: u16 = 512;
/// Bytes in a buffer: the kernel's header of 16 bytes, the sender's address, the largest datagram that is looked at.
const SIZE: usize = 16 + 28 + 4 + crate::rtp::packet::MAX_DATAGRAM + 100;
/// Bytes of the entries, whole pages.
const ENTRIES: usize = COUNT as usize * size_of::<BufRingEntry>();
const MAPPED: usize = ENTRIES + COUNT as usize * SIZE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_lie_apart_and_within_the_mapping() {
        let mut buffers = Buffers::new().unwrap();
        assert_eq!(buffers.address() % 4096, 0);
        buffers.give_all();
        buffers.give(3);
        buffers.give(COUNT);
        assert_eq!(buffers.tail, COUNT + 1);
        assert!(buffers.filled(0).iter().all(|byte| *byte == 0));
        assert_eq!(buffers.filled(COUNT - 1).len(), SIZE);
        assert!(buffers.filled(COUNT).is_empty());
        let first = buffers.filled(0).as_ptr() as usize;
        let last = buffers.filled(COUNT - 1).as_ptr() as usize;
        assert_eq!(last - first, (usize::from(COUNT) - 1) * SIZE);
        assert_eq!(first - buffers.address() as usize, ENTRIES);
    }
}
