//! Work that may panic, on a thread that must not end by it: one recording's fault is not the others'.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does something; if it panics, what the panic said. What it worked on may be half changed then: the caller gives it up, or
/// knows that it can be used.
pub fn unharmed<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| said(panic.as_ref()))
}

/// The same for what may fail anyway.
pub fn unharmed_io<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    unharmed(work).unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a panic ({})", text.unwrap_or("without words"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_says_what_it_said() {
        assert_eq!(unharmed(|| 7), Ok(7));
        assert_eq!(
            unharmed(|| panic!("so")),
            Err::<(), _>("a panic (so)".into())
        );
        let number = 3;
        let panic = unharmed(|| panic!("so {number}"));
        assert_eq!(panic, Err::<(), _>("a panic (so 3)".into()));
        let panic = unharmed(|| std::panic::panic_any(3));
        assert_eq!(panic, Err::<(), _>("a panic (without words)".into()));
        assert!(unharmed_io(|| Ok(())).is_ok());
        let error = unharmed_io::<()>(|| panic!("so")).unwrap_err();
        assert_eq!(error.to_string(), "a panic (so)");
    }
}
