//! `vats run`: start, wait for signals, reload, drain, stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::banner::Banner;
use super::load::{LoadError, Loaded, Purpose, load_as};
use super::memory;
use super::signals::{Asked, Signals};
use super::start::{self, Accounts, Certificates, Signalling, Switch};
use crate::api::auth::Access;
use crate::api::{self, Api, Reload};
use crate::clock::Clock;
use crate::dialplan::config::Problem;
use crate::dialplan::number;
use crate::dialplan::plan::Plan;
use crate::ledger::entropy::Entropy;
use crate::notify::Notifier;
use crate::switch::handle::{Ask, Handle};

/// After `server.drain`, the last BYEs get this long to be answered (64·T1 of RFC 3261 is 32 s; a phone that does not answer is gone).
const LAST_BYES: Duration = Duration::from_secs(5);
/// The HTTP server may finish what it is sending.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Runs the PBX on a configuration until it is told to stop. Problems of the configuration come back for printing.
pub fn run(directory: &Path) -> Result<ExitCode, LoadError> {
    memory::keep_little();
    number::warm_up();
    let loaded = load_as(directory, Purpose::Run, 1)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(match start_and_serve(directory, loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vats: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn start_and_serve(directory: &Path, loaded: Loaded) -> anyhow::Result<()> {
    // The ports and the lock come first: whoever starts a second PBX by mistake must not touch the accounts of the running one.
    let certificates = start::certificates(&loaded.plan.server)?;
    let certificates = Arc::new(ArcSwapOption::from(Some(certificates)));
    let signalling = Signalling::listen(&loaded.plan.server, &certificates)?;
    let _lock = start::lock(&loaded.plan.server.database)?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("service")
        .enable_all()
        .build()
        .context("the service runtime")?
        .block_on(serve(
            directory.to_owned(),
            loaded,
            signalling,
            certificates,
        ))
}

async fn serve(
    directory: PathBuf,
    loaded: Loaded,
    signalling: Signalling,
    certificates: Certificates,
) -> anyhow::Result<()> {
    let plan = loaded.plan;
    let mut signals = Signals::new().context("signals cannot be listened to")?;
    let clock = Clock::start();
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
    let mut entropy = Entropy::from_seed(seed);
    let http = TcpListener::bind(plan.server.http).await.with_context(|| {
        format!(
            "the API cannot listen on {}; is another program there? see server.http",
            plan.server.http
        )
    })?;
    let mut accounts = start::accounts(&plan, clock, &mut entropy).await?;
    // The versions of plans go on where the last run ended.
    let mut plan = plan;
    Arc::get_mut(&mut plan)
        .context("the plan is in use before its version is known")?
        .version = accounts.plan_version;
    let http_address = http
        .local_addr()
        .context("the API's socket tells no address")?;
    let switch = start::switch(&plan, clock, &mut accounts, &mut entropy, signalling)?;
    let access = Arc::new(Access::new(plan.server.api_tokens.clone(), http_address));
    let accepting = Arc::new(AtomicBool::new(true));
    let in_force = Arc::new(ArcSwap::new(Arc::clone(&plan)));
    let reload = reloader(
        directory,
        Arc::clone(&in_force),
        &switch.handle,
        Arc::clone(&access),
        Arc::clone(&accounts.notifier),
        certificates,
    );
    let (stop_api, api_stopped) = oneshot::channel::<()>();
    let api = Api {
        store: Arc::clone(&accounts.store),
        journal: accounts.journal.clone(),
        handle: switch.handle.clone(),
        recordings: plan.recordings.path.clone(),
        access,
        reload: Arc::clone(&reload),
        accepting: Arc::clone(&accepting),
        started_at: clock.now().wall,
    };
    let api = tokio::spawn(api::serve(http, api::router(api), async {
        // A dropped sender means the same.
        let _ = api_stopped.await;
    }));
    let memory = tokio::spawn(memory::give_back(
        Arc::clone(&switch.handle.views),
        accounts.journal.clone(),
    ));
    let banner = Banner {
        plan: &plan,
        sip: &switch.listeners,
        http: http_address,
        most_calls: switch.most_calls,
        secrets_file: loaded.secrets_file.as_deref(),
        program: std::env::args().next().unwrap_or_default(),
    };
    print!("{banner}");
    while signals.next().await == Asked::Reload {
        if let Err(problems) = reload().await {
            for problem in problems {
                tracing::error!("{problem}");
            }
            tracing::error!("not reloaded: the old configuration stays in force");
        }
    }
    accepting.store(false, Ordering::Relaxed);
    let limit = in_force.load().server.drain;
    drain(&switch.handle, limit, &mut signals).await;
    memory.abort();
    let _ = stop_api.send(());
    if timeout(LAST_ANSWERS, api).await.is_err() {
        tracing::warn!("the API was still answering; its connections are closed");
    }
    drop(reload);
    stop(switch, accounts).await
}

/// The closure that reads the configuration anew and puts it in force, all or nothing; one reload at a time.
fn reloader(
    directory: PathBuf,
    in_force: Arc<ArcSwap<Plan>>,
    handle: &Handle,
    access: Arc<Access>,
    notifier: Arc<Notifier>,
    certificates: Certificates,
) -> Reload {
    let one_at_a_time = Arc::new(tokio::sync::Mutex::new(()));
    let handle = handle.clone();
    Arc::new(move || {
        let (directory, in_force, turn) = (
            directory.clone(),
            Arc::clone(&in_force),
            Arc::clone(&one_at_a_time),
        );
        let (handle, access, notifier) =
            (handle.clone(), Arc::clone(&access), Arc::clone(&notifier));
        let certificates = Arc::clone(&certificates);
        Box::pin(async move {
            let _turn = turn.lock().await;
            let next = in_force.load().version + 1;
            // Prompts are decoded here: not on a thread that answers others.
            let loaded =
                tokio::task::spawn_blocking(move || load_as(&directory, Purpose::Run, next))
                    .await
                    .map_err(|error| vec![format!("the configuration could not be read: {error}")])?
                    .map_err(problems)?;
            let plan = loaded.plan;
            for warning in &loaded.warnings {
                tracing::warn!("{warning}");
            }
            if let Some(why) = plan.needs_restart_after(&in_force.load()) {
                return Err(vec![why]);
            }
            // The files may have changed where nothing else has.
            let tls = start::certificates(&plan.server)
                .map_err(|error| vec![format!("server.tls: {error:#}")])?;
            // The webhooks first, so that the new ones are told of the reload.
            notifier.configure(plan.webhooks.values().cloned().collect());
            access.set_tokens(plan.server.api_tokens.clone());
            let installed = Arc::clone(&plan);
            start::ask(&handle, |reply| Ask::Install {
                plan: installed,
                reply,
            })
            .await
            .ok_or_else(|| vec!["the PBX is shutting down".to_owned()])?
            .map_err(|why| vec![why])?;
            in_force.store(plan);
            // For connections from now on; those that are open keep what they were opened with.
            certificates.store(Some(tls));
            tracing::info!(plan_version = next, "a new configuration is in force");
            Ok(next)
        })
    })
}

/// Why there is no new plan, a line for each problem.
fn problems(error: LoadError) -> Vec<String> {
    match error {
        LoadError::Wrong { problems, .. } => problems.iter().map(Problem::to_string).collect(),
        other => vec![other.to_string()],
    }
}

/// No new calls; the running ones finish, or are ended after `limit` or at a second signal.
async fn drain(handle: &Handle, limit: Duration, signals: &mut Signals) {
    let calls = handle.views.calls.len();
    if calls > 0 {
        tracing::info!(
            calls,
            "stopping: no new calls; the running ones may finish within {} s, a second signal ends them now",
            limit.as_secs()
        );
    }
    let drained = start::ask(handle, |reply| Ask::Drain { reply });
    tokio::pin!(drained);
    let deadline = tokio::time::sleep(limit + LAST_BYES);
    tokio::pin!(deadline);
    let mut hurried = false;
    loop {
        tokio::select! {
            _ = &mut drained => return,
            () = &mut deadline => {
                tracing::warn!("some far sides did not answer the last BYE");
                return;
            }
            asked = signals.next() => match asked {
                Asked::Reload => tracing::warn!("draining: the configuration is not read any more"),
                Asked::Stop if hurried => return,
                Asked::Stop => {
                    tracing::warn!("told to stop again: running calls are ended");
                    hurried = true;
                    start::ask(handle, |reply| Ask::Drain { reply }).await;
                    deadline.as_mut().reset(Instant::now() + LAST_BYES);
                }
            },
        }
    }
}

/// Ends the signalling thread, then the recorder and the journal, so that every row is written.
async fn stop(switch: Switch, accounts: Accounts) -> anyhow::Result<()> {
    let Switch { handle, thread, .. } = switch;
    drop(handle);
    let joined = tokio::task::spawn_blocking(move || thread.join())
        .await
        .context("waiting for the signalling thread")?;
    if joined.is_err() {
        tracing::error!("the signalling thread ended by a fault");
    }
    let Accounts {
        journal,
        journal_thread,
        notifier,
        notifier_task,
        ..
    } = accounts;
    journal.flush().await;
    drop(journal);
    drop(notifier);
    let written = tokio::task::spawn_blocking(move || journal_thread.join())
        .await
        .context("waiting for the journal's thread")?;
    if written.is_err() {
        tracing::error!("the journal's thread ended by a fault");
    }
    notifier_task.abort();
    tracing::info!("stopped");
    Ok(())
}
