//! The HTTP interface: `/api/v1/…` in JSON and `/health/…`, one file per resource, as `openapi.json` describes it.
//!
//! Reads go to the store and to the switch's views, commands to the switch as [`Ask`](crate::switch::handle::Ask)s. Who may
//! use it is decided in [`auth`]. Every error is `{"error": {"code", "message"}}`, and the message says what to do.

pub mod auth;
mod bans;
mod calls;
mod directory;
mod doors;
mod error;
mod file_body;
mod health;
mod metrics;
mod missed;
mod openapi;
mod query;
mod range;
mod recordings;
mod reload;
mod voicemails;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::auth::Access;
use self::doors::{Doors, Peer};
use self::error::Refusal;
use crate::ledger::clock::Wall;
use crate::store::Store;
use crate::store::journal::Journal;
use crate::switch::handle::Handle;

/// What the interface serves from. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Calls, missed callers, recordings.
    pub store: Arc<dyn Store>,
    /// The journal, for its health.
    pub journal: Journal,
    /// The switch.
    pub handle: Handle,
    /// The recordings' root.
    pub recordings: PathBuf,
    /// Who may use it.
    pub access: Arc<Access>,
    /// Reads the configuration anew and puts it in force.
    pub reload: Reload,
    /// Whether new calls are taken: false while starting and draining.
    pub accepting: Arc<AtomicBool>,
    /// When the process started.
    pub started_at: Wall,
}

impl Api {
    /// The store with everything in it that happened before; should it be slow or away, as it stands.
    async fn current(&self) -> &dyn Store {
        let _late = tokio::time::timeout(CATCHING_UP, self.journal.flush()).await;
        &*self.store
    }
}

/// How long a request waits for the journal.
const CATCHING_UP: Duration = Duration::from_millis(250);

/// Reads the configuration anew and puts it in force: the new plan's version, or every problem as a text.
pub type Reload = Arc<dyn Fn() -> Reloading + Send + Sync>;

/// A reload under way.
pub type Reloading = Pin<Box<dyn Future<Output = Result<u64, Vec<String>>> + Send>>;

/// All routes, behind the access rule.
pub fn router(api: Api) -> Router {
    let access = Arc::clone(&api.access);
    let mut router = Router::new();
    for (path, methods) in routes() {
        router = router.route(path, methods);
    }
    router
        .fallback(|| async { Refusal::unknown_path() })
        .method_not_allowed_fallback(|| async { Refusal::wrong_method() })
        .layer(from_fn_with_state(access, auth::guard))
        .with_state(api)
}

/// Serves until `shutdown` is ready; requests under way then get [`LAST_REQUESTS`] to finish.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let service = router.into_make_service_with_connect_info::<Peer>();
    let server = axum::serve(Doors::new(listener), service).with_graceful_shutdown(async {
        // A dropped sender means the same: stop.
        let _ = stopped.await;
    });
    let cut_off = async {
        shutdown.await;
        drop(stop);
        tokio::time::sleep(LAST_REQUESTS).await;
    };
    tokio::select! {
        served = server.into_future() => served,
        () = cut_off => Ok(()),
    }
}

/// How long requests may go on after the shutdown began.
pub const LAST_REQUESTS: Duration = Duration::from_secs(3);

fn routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/health/live", get(health::live)),
        ("/health/ready", get(health::ready)),
        ("/metrics", get(metrics::page)),
        ("/api/v1/openapi.json", get(openapi::document)),
        ("/api/v1/calls", get(calls::list).post(calls::originate)),
        ("/api/v1/calls/live", get(calls::live)),
        ("/api/v1/calls/{call_id}", get(calls::one)),
        ("/api/v1/calls/{call_id}/hangup", post(calls::hangup)),
        ("/api/v1/calls/{call_id}/transfer", post(calls::transfer)),
        ("/api/v1/calls/{call_id}/recording", post(calls::recording)),
        ("/api/v1/calls/{call_id}/supervise", post(calls::supervise)),
        ("/api/v1/missed", get(missed::list)),
        ("/api/v1/recordings/{recording_id}", get(recordings::one)),
        (
            "/api/v1/recordings/{recording_id}/audio",
            get(recordings::audio),
        ),
        (
            "/api/v1/voicemails/{voicemail_id}/heard",
            post(voicemails::heard),
        ),
        ("/api/v1/operators", get(directory::operators)),
        ("/api/v1/trunks", get(directory::trunks)),
        ("/api/v1/bans", get(bans::list)),
        ("/api/v1/bans/{address}", delete(bans::lift)),
        ("/api/v1/defence", get(bans::defence)),
        ("/api/v1/reload", post(reload::reload)),
    ]
}
