//! `vats route`: where a call would go, each rule tried and why.

use std::process::ExitCode;

use anyhow::{Context, bail};

use super::{ConfigArgs, report};
use crate::app::load::{self, Purpose};
use crate::dialplan::dry_run::{self, DryRun, End, Outcome};
use crate::dialplan::plan::Plan;
use crate::ledger::id::Name;

/// Its arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The dialled number; with --from an operator also a colleague.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub to: String,
    /// The calling number, or the name of the operator who dials.
    #[arg(long, value_name = "N")]
    pub from: Option<String>,
    /// When, in server.time_zone: 2026-03-08T09:05. Default: now.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Keys that the caller presses, in order; - lets a menu time out.
    #[arg(
        long,
        value_name = "KEYS",
        default_value = "",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub keys: String,
    /// A busy operator or forward:NAME; several times or with commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub busy: Vec<String>,
    /// An operator who is not registered, or forward:NAME; several times or with commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub offline: Vec<String>,
}

/// Runs it: success unless the number leads nowhere.
pub fn main(args: Args) -> anyhow::Result<ExitCode> {
    let loaded = match load::load_as(&args.config.config, Purpose::Look, 1) {
        Ok(loaded) => loaded,
        Err(error) => {
            report::print_error(&error);
            return Ok(ExitCode::FAILURE);
        }
    };
    let plan = &loaded.plan;
    let run = dry_run_of(plan, args)?;
    let outcome = dry_run::walk(plan, &run);
    print!("{}", written(plan, &run, &outcome));
    Ok(match outcome.end {
        End::Unknown | End::NotAllowed(_) | End::Endless => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn dry_run_of(plan: &Plan, args: Args) -> anyhow::Result<DryRun> {
    let at = match &args.at {
        None => super::wall_now(),
        Some(text) => {
            let local = text.parse().ok().with_context(|| {
                format!("{text} is no local time: write it as 2026-03-08T09:05")
            })?;
            dry_run::wall(plan, local).context("that time is out of range")?
        }
    };
    if let Some(key) = dry_run::not_a_key(&args.keys) {
        bail!("a telephone has no key \"{key}\"");
    }
    Ok(DryRun {
        to: args.to,
        from: args.from,
        at,
        keys: args.keys,
        busy: names(plan, args.busy)?,
        offline: names(plan, args.offline)?,
    })
}

fn names(plan: &Plan, written: Vec<String>) -> anyhow::Result<Vec<Name>> {
    written
        .into_iter()
        .map(|name| {
            let known = match name.strip_prefix("forward:") {
                Some(forward) => plan.forwards.contains_key(forward),
                None => plan.operators.contains_key(name.as_str()),
            };
            match known {
                true => Ok(Name::from(name)),
                false => {
                    let operators: Vec<&str> = plan.operators.keys().map(Name::as_str).collect();
                    bail!(
                        "there is no operator {name}: known are {}",
                        operators.join(", ")
                    )
                }
            }
        })
        .collect()
}

fn written(plan: &Plan, run: &DryRun, outcome: &Outcome) -> String {
    let local = run.at.timestamp().to_zoned(plan.server.time_zone.clone());
    let from = run.from.as_deref().unwrap_or("a withheld number");
    let mut text = format!(
        "call to {} from {from}, {}\n",
        run.to,
        local.strftime("%A %Y-%m-%d %H:%M %Q")
    );
    let width = outcome
        .steps
        .iter()
        .take(MOST_STEPS)
        .map(|step| step.rule.chars().count())
        .max()
        .unwrap_or(0);
    for step in outcome.steps.iter().take(MOST_STEPS) {
        let mark = if step.matched { "yes" } else { "no " };
        text.push_str(&format!("  {mark}  {:width$}  {}\n", step.rule, step.why));
    }
    if let Some(more) = outcome
        .steps
        .len()
        .checked_sub(MOST_STEPS)
        .filter(|more| *more > 0)
    {
        text.push_str(&format!("  … {more} more\n"));
    }
    text.push_str(&format!("ends at {}", outcome.end));
    if !outcome.after.is_zero() {
        text.push_str(&format!(
            ", {:.1} s after the arrival",
            outcome.after.as_secs_f64()
        ));
    }
    text.push('\n');
    text
}

/// A way longer than this is shown by its beginning.
const MOST_STEPS: usize = 60;
