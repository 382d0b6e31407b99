//! Bringing the parts up, lowest first.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use super::limits;
use crate::clock::Clock;
use crate::dialplan::plan::{Plan, Server};
use crate::ledger::entropy::Entropy;
use crate::ledger::journal::{BindingRecord, Entry};
use crate::media::{Plane, PlaneSettings};
use crate::net::advertise::Advertiser;
use crate::net::udp::Listeners;
use crate::notify::Notifier;
use crate::recording::repair::repair;
use crate::recording::{Recorder, RecorderSettings};
use crate::store::Store;
use crate::store::journal::Journal;
use crate::store::sqlite::SqliteStore;
use crate::switch::core::Core;
use crate::switch::handle::{Ask, Handle, Views};
use crate::switch::reach::Reach;
use crate::switch::task::Task;

/// Requests that may wait for the signalling task.
const WAITING_ASKS: usize = 1024;

/// What keeps accounts: open before anything can happen.
pub(super) struct Accounts {
    pub store: Arc<dyn Store>,
    pub journal: Journal,
    pub journal_task: tokio::task::JoinHandle<()>,
    pub notifier: Arc<Notifier>,
    pub notifier_task: tokio::task::JoinHandle<()>,
    pub bindings: Vec<BindingRecord>,
}

/// Opens the store, delivers what waits, and closes what a crash left open.
pub(super) async fn accounts(
    plan: &Plan,
    clock: Clock,
    entropy: &mut Entropy,
) -> anyhow::Result<Accounts> {
    let database = &plan.server.database;
    let store: Arc<dyn Store> = Arc::new(
        SqliteStore::open(database, entropy.split())
            .await
            .with_context(|| format!("server.database = {database:?} cannot be opened"))?,
    );
    let wall: crate::store::Clock = Arc::new(move || clock.now().wall);
    let webhooks = plan.webhooks.values().cloned().collect();
    let (notifier, notifier_task) = Notifier::start(
        Arc::clone(&store),
        webhooks,
        Arc::clone(&wall),
        entropy.split(),
    )
    .await?;
    let spool = spool_folder(database);
    let (journal, journal_task) =
        Journal::start(Arc::clone(&store), &spool, &wall).with_context(|| {
            format!(
                "the journal's spool in {} cannot be opened",
                spool.display()
            )
        })?;
    journal.flush().await;
    let now = clock.now().wall;
    let closed = store
        .close_after_crash(now)
        .await
        .context("calls of the last run cannot be closed")?;
    if !closed.calls.is_empty() {
        tracing::warn!(
            calls = closed.calls.len(),
            "the last run ended in the middle of calls; they are closed as crashed"
        );
    }
    for record in repair(&plan.recordings.path, closed.unfinished) {
        journal.write(Entry::RecordingEnded(record));
    }
    let bindings = store
        .bindings(now)
        .await
        .context("the registered phones cannot be read")?;
    Ok(Accounts {
        store,
        journal,
        journal_task,
        notifier: Arc::new(notifier),
        notifier_task,
        bindings,
    })
}

/// Beside the database's file.
fn spool_folder(database: &str) -> std::path::PathBuf {
    let file = database.strip_prefix("sqlite://").unwrap_or(database);
    Path::new(file)
        .parent()
        .unwrap_or(Path::new(""))
        .join("spool")
}

/// The running switch.
pub(super) struct Switch {
    pub handle: Handle,
    pub addresses: Vec<SocketAddr>,
    pub most_calls: u64,
    pub thread: thread::JoinHandle<()>,
}

/// Opens the sockets and starts the media threads, the recorder and the signalling task.
pub(super) fn switch(
    plan: &Arc<Plan>,
    clock: Clock,
    accounts: &mut Accounts,
    entropy: &mut Entropy,
) -> anyhow::Result<Switch> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the signalling task's runtime")?;
    let server = &plan.server;
    let listeners = listen(&runtime, server)?;
    let addresses = listeners
        .addresses()
        .context("the SIP sockets tell no address")?;
    let open_files =
        limits::raise_open_files().context("the limit on open files cannot be read")?;
    let plane = plane(server, &runtime, clock)?;
    let most_calls = limits::call_ceiling(open_files, plane.capacity() as u64);
    let recorder = recorder(plan, clock, &accounts.journal)?;
    let advertiser = advertiser(server);
    let reach = Reach::new(
        addresses.clone(),
        Box::new(move |remote| advertiser.towards(remote)),
    );
    let views = Arc::new(Views::default());
    let (asks, asked) = mpsc::channel(WAITING_ASKS);
    let bindings = std::mem::take(&mut accounts.bindings);
    let core = Core::new(
        clock.now(),
        Arc::clone(plan),
        reach,
        Arc::clone(&views),
        bindings,
        entropy.split(),
    );
    let task = Task {
        core,
        listeners,
        plane,
        recorder,
        journal: accounts.journal.clone(),
        clock,
        asks: asked,
    };
    let thread = thread::Builder::new()
        .name("signalling".to_owned())
        .spawn(move || {
            let (mut plane, recorder) = runtime.block_on(task.run());
            plane.shutdown();
            recorder.shutdown();
        })
        .context("the signalling thread")?;
    Ok(Switch {
        handle: Handle { asks, views },
        addresses,
        most_calls,
        thread,
    })
}

fn listen(runtime: &Runtime, server: &Server) -> anyhow::Result<Listeners> {
    let _inside = runtime.enter();
    Listeners::bind(&server.sip)
        .context("SIP cannot listen; is another PBX running? see server.sip")
}

fn plane(server: &Server, runtime: &Runtime, clock: Clock) -> anyhow::Result<Plane> {
    let _inside = runtime.enter();
    let advertiser = advertiser(server);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    Plane::start(PlaneSettings {
        workers,
        ports: server.rtp_ports.clone(),
        bind: bound(server),
        advertised: Box::new(move |remote| advertiser.towards(remote)),
        start: clock.origin(),
    })
    .context("the media plane cannot start")
}

fn recorder(plan: &Plan, clock: Clock, journal: &Journal) -> anyhow::Result<Recorder> {
    let root = plan.recordings.path.clone();
    let journal = journal.clone();
    let settings = RecorderSettings {
        root: root.clone(),
        clock: Arc::new(move || clock.now()),
    };
    Recorder::start(settings, Box::new(move |entry| journal.write(entry))).with_context(|| {
        format!(
            "recordings cannot be kept in {}; see recordings.path",
            root.display()
        )
    })
}

/// The address that media sockets are bound to: that of the first SIP listener.
fn bound(server: &Server) -> IpAddr {
    server
        .sip
        .first()
        .map_or(IpAddr::from([127, 0, 0, 1]), SocketAddr::ip)
}

fn advertiser(server: &Server) -> Advertiser {
    Advertiser::new(
        bound(server),
        server.public_address,
        server.local_networks.clone(),
    )
}

/// Waits until the switch has said whether it takes an ask.
pub(super) async fn ask<T>(
    handle: &Handle,
    make: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    handle.asks.send(make(reply)).await.ok()?;
    answer.await.ok()
}
