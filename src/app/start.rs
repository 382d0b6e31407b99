//! Bringing the parts up, lowest first.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use arc_swap::ArcSwapOption;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use super::limits;
use crate::clock::Clock;
use crate::dialplan::listener::Listener;
use crate::dialplan::plan::{Plan, Server};
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{Name, Tenant};
use crate::ledger::journal::{
    BanRecord, BindingRecord, Entry, Messages, OutboundDay, RecordingRecord,
};
use crate::media::{Plane, PlaneSettings};
use crate::net::advertise::{Advertiser, common};
use crate::net::stream::{self, Hub, Limits};
use crate::net::tls::Tls;
use crate::net::udp::Listeners;
use crate::notify::Notifier;
use crate::recording::repair::repair;
use crate::recording::{Recorder, RecorderSettings};
use crate::sip::endpoint::{ListenerId, Transport};
use crate::store::Store;
use crate::store::journal::{Journal, Writer};
use crate::store::sqlite::SqliteStore;
use crate::switch::core::Core;
use crate::switch::handle::{Ask, Handle, Views};
use crate::switch::reach::Reach;
use crate::switch::task::Task;

/// Requests that may wait for the signalling task.
const WAITING_ASKS: usize = 1024;

/// What keeps accounts: open before anything can happen.
pub(super) struct Accounts {
    /// Of the plan with which this run begins.
    pub plan_version: u64,
    pub store: Arc<dyn Store>,
    pub journal: Journal,
    pub journal_thread: thread::JoinHandle<()>,
    pub notifier: Arc<Notifier>,
    pub notifier_task: tokio::task::JoinHandle<()>,
    pub bindings: Vec<BindingRecord>,
    pub messages: BTreeMap<Name, Messages>,
    pub bans: Vec<BanRecord>,
    pub outbound: Vec<OutboundDay>,
    /// Complete recordings that wait for their copy.
    pub uncopied: Vec<RecordingRecord>,
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
    let spool = data_folder(database).join("spool");
    let (journal, writer) =
        Journal::open(Arc::clone(&store), &spool, &wall).with_context(|| {
            format!(
                "the journal's spool in {} cannot be opened",
                spool.display()
            )
        })?;
    let journal_thread = keep(writer).context("the journal's thread")?;
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
    let mut uncopied = closed.uncopied;
    for record in repair(&plan.recordings.path, closed.unfinished) {
        journal.write(Entry::RecordingEnded(record.clone()));
        uncopied.extend(record.copy_due.then_some(record));
    }
    let version = store
        .plan_version()
        .await
        .context("the last plan's version cannot be read")?;
    let version = version.unwrap_or(0) + 1;
    journal.write(Entry::PlanLoaded {
        plan_version: version,
    });
    let bindings = store
        .bindings(now)
        .await
        .context("the registered phones cannot be read")?;
    let messages = store
        .messages(&Tenant::default())
        .await
        .context("the voicemail messages cannot be counted")?;
    let bans = store
        .bans(now)
        .await
        .context("the banned addresses cannot be read")?;
    let zone = plan.server.time_zone.clone();
    let today = now.timestamp().to_zoned(zone).date().to_string();
    let outbound = store
        .outbound_days(&today)
        .await
        .context("today's calls to the outside cannot be read")?;
    Ok(Accounts {
        plan_version: version,
        messages,
        store,
        journal,
        journal_thread,
        notifier: Arc::new(notifier),
        notifier_task,
        bindings,
        bans,
        outbound,
        uncopied,
    })
}

/// Where the database's file is.
fn data_folder(database: &str) -> &Path {
    let file = database.strip_prefix("sqlite://").unwrap_or(database);
    let file = file.split('?').next().unwrap_or(file);
    match Path::new(file).parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The SIP sockets, and the runtime of the signalling thread that they belong to.
pub(super) struct Signalling {
    runtime: Option<Runtime>,
    sockets: Option<Sockets>,
}

/// What is listened on.
struct Sockets {
    datagrams: Listeners,
    hub: Hub,
    /// The real addresses, in the order of the configuration.
    bound: Vec<Listener>,
}

/// The certificates in force.
pub(super) type Certificates = Arc<ArcSwapOption<Tls>>;

/// Reads the certificates that a plan names.
pub(super) fn certificates(server: &Server) -> anyhow::Result<Arc<Tls>> {
    let tls = match &server.tls {
        Some(files) => Tls::load(files),
        None => Tls::client_only(None),
    };
    Ok(Arc::new(tls?))
}

impl Signalling {
    /// Opens the sockets.
    pub fn listen(server: &Server, certificates: &Certificates) -> anyhow::Result<Signalling> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the signalling task's runtime")?;
        let sockets = {
            let _inside = runtime.enter();
            Sockets::open(server, certificates)
                .context("SIP cannot listen; is another PBX running? see server.sip")?
        };
        Ok(Signalling {
            runtime: Some(runtime),
            sockets: Some(sockets),
        })
    }
}

impl Sockets {
    fn open(server: &Server, certificates: &Certificates) -> std::io::Result<Sockets> {
        let limits = Limits {
            connections: server.connections.0 as usize,
            per_source: server.connections.1 as usize,
        };
        let mut hub = Hub::new(Arc::clone(certificates), limits);
        let mut bound = server.sip.clone();
        let (mut datagrams, mut streams) = (Vec::new(), Vec::new());
        for (id, listener) in (0..=u16::MAX).map(ListenerId).zip(&mut bound) {
            if listener.transport == Transport::Udp {
                datagrams.push((id, listener.address));
            } else {
                let socket = stream::bind(listener.transport, listener.address)?;
                listener.address = socket.local_addr()?;
                streams.push((id, listener.transport, socket));
            }
        }
        let datagrams = Listeners::bind_as(&datagrams)?;
        let mut addresses = datagrams.addresses()?.into_iter();
        for listener in &mut bound {
            if listener.transport == Transport::Udp
                && let Some(address) = addresses.next()
            {
                listener.address = address;
            }
        }
        for (id, transport, socket) in streams {
            hub.listen(id, transport, socket);
        }
        Ok(Sockets {
            datagrams,
            hub,
            bound,
        })
    }
}

impl Drop for Signalling {
    /// A start that fails later drops this in the service runtime, where waiting for a runtime's end is not allowed.
    fn drop(&mut self) {
        self.sockets = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Holds the database for this process, until the file is closed.
pub(super) fn lock(database: &str) -> anyhow::Result<File> {
    let folder = data_folder(database);
    let path = folder.join("vats.lock");
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made; see server.database", folder.display()))?;
    let file =
        File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "another vats runs on server.database = {database:?} (it holds {})",
            path.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// The running switch.
pub(super) struct Switch {
    pub handle: Handle,
    pub listeners: Vec<Listener>,
    pub most_calls: u64,
    pub thread: thread::JoinHandle<()>,
}

/// Starts the media threads, the recorder and the signalling task.
pub(super) fn switch(
    plan: &Arc<Plan>,
    clock: Clock,
    accounts: &mut Accounts,
    entropy: &mut Entropy,
    mut signalling: Signalling,
) -> anyhow::Result<Switch> {
    let server = &plan.server;
    let (Some(runtime), Some(sockets)) = (&signalling.runtime, signalling.sockets.take()) else {
        anyhow::bail!("the SIP sockets are in use already");
    };
    let open_files =
        limits::raise_open_files().context("the limit on open files cannot be read")?;
    let plane = plane(server, runtime, clock)?;
    let most_calls = limits::call_ceiling(open_files, plane.capacity() as u64);
    let recorder = recorder(plan, clock, &accounts.journal)?;
    for record in accounts.uncopied.drain(..) {
        recorder.copy(record);
    }
    let advertiser = advertiser(server);
    let listeners = sockets.bound.iter();
    let reach = Reach::over(
        listeners
            .map(|listener| (listener.transport, listener.address))
            .collect(),
        Box::new(move |remote| advertiser.towards(remote)),
    );
    let views = Arc::new(Views::default());
    let (asks, asked) = mpsc::channel(WAITING_ASKS);
    let bindings = std::mem::take(&mut accounts.bindings);
    let mut core = Core::new(
        clock.now(),
        Arc::clone(plan),
        reach,
        Arc::clone(&views),
        bindings,
        entropy.split(),
    );
    core.set_door(sockets.hub.door());
    core.set_messages(std::mem::take(&mut accounts.messages));
    core.restore_bans(clock.now(), std::mem::take(&mut accounts.bans));
    core.restore_outbound(std::mem::take(&mut accounts.outbound));
    core.set_call_ceiling(most_calls);
    let task = Task {
        core,
        listeners: sockets.datagrams,
        hub: sockets.hub,
        plane,
        recorder,
        journal: accounts.journal.clone(),
        entries: Vec::new(),
        clock,
        listening: Default::default(),
        asks: asked,
        dns: server.dns.clone(),
    };
    let runtime = signalling
        .runtime
        .take()
        .context("the signalling runtime")?;
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
        listeners: sockets.bound,
        most_calls,
        thread,
    })
}

/// The journal's own thread: on a runtime with others, each of its steps would wake a second thread to wait in its place.
fn keep(writer: Writer) -> std::io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || runtime.block_on(writer.run()))
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
        io: server.media_io,
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

/// The address that media sockets are bound to.
fn bound(server: &Server) -> IpAddr {
    common(server.sip.iter().map(|listener| listener.address.ip()))
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
