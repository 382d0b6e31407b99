//! The log: one line per event on standard error, filtered by `VATS_LOG` (`info`, `vats::notify=debug,warn` …).

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// Begins to log. A filter that does not read is reported and `info` used instead.
///
/// # Errors
/// Another subscriber is installed already.
pub fn start() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let asked = std::env::var("VATS_LOG").unwrap_or_else(|_| DEFAULT.to_owned());
    let (filter, problem) = match EnvFilter::builder().parse(&asked) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(DEFAULT), Some(error)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(SystemTime)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .try_init()?;
    if let Some(error) = problem {
        tracing::warn!(%error, filter = asked, "VATS_LOG does not read; write a level such as debug, or target=level pairs");
    }
    Ok(())
}

/// Statements of the database are traced at `debug` by its library, and are not wanted with ours.
const DEFAULT: &str = "info,sqlx=warn";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_once() {
        start().unwrap();
        assert!(start().is_err());
    }
}
