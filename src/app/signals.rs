//! The signals that an operator of the process sends.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was asked by a signal.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// SIGHUP: read the configuration anew.
    Reload,
    /// SIGTERM or SIGINT: drain and end.
    Stop,
}

/// Listens to the signals.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from their default actions.
    pub fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
        }
    }
}
