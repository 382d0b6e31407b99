//! `vats check`: the configuration's problems, then its `[[test]]` blocks.

use std::process::ExitCode;

use super::{ConfigArgs, report};
use crate::app::load::{self, Loaded, Purpose};
use crate::dialplan::config::{Problem, Severity};
use crate::dialplan::dry_run;
use crate::ledger::clock::Wall;

/// Its arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// Runs it: success without errors and failed tests.
pub fn main(args: Args) -> anyhow::Result<ExitCode> {
    let loaded = match load::load_as(&args.config.config, Purpose::Look, 1) {
        Ok(loaded) => loaded,
        Err(error) => {
            report::print_error(&error);
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut problems = loaded.warnings.clone();
    problems.extend(failed_tests(&loaded, super::wall_now()));
    report::print(&problems, &loaded.sources);
    let plan = &loaded.plan;
    let failed = problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    if !problems.is_empty() {
        eprintln!("{}", report::count(&problems));
    }
    if failed {
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "{} is in order: {}, {}, {}, {}; {} passed",
        args.config.config.display(),
        several(plan.numbers.len(), "number"),
        several(plan.operators.len(), "operator"),
        several(plan.hunts.len(), "hunt group"),
        several(plan.trunks.len(), "trunk"),
        several(plan.tests.len(), "test"),
    );
    Ok(ExitCode::SUCCESS)
}

fn several(count: usize, word: &str) -> String {
    match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    }
}

/// A problem for each test whose call ends elsewhere, with the way that it took.
fn failed_tests(loaded: &Loaded, now: Wall) -> Vec<Problem> {
    let plan = &loaded.plan;
    let mut problems = Vec::new();
    for (number, test) in plan.tests.iter().enumerate() {
        let outcome = dry_run::walk(plan, &dry_run::of_test(plan, test, now));
        let end = outcome.end.written();
        if end == test.expect {
            continue;
        }
        let way: Vec<String> = outcome
            .steps
            .iter()
            .take(MOST_STEPS)
            .map(|step| format!("{}: {}", step.rule, step.why))
            .collect();
        problems.push(Problem {
            severity: Severity::Error,
            message: format!(
                "the test \"{}\" expects {} and reaches {end}",
                test.name, test.expect
            ),
            place: loaded.expectations.get(number).cloned(),
            also: None,
            hint: Some(format!("the call's way was\n{}", way.join("\n"))),
        });
    }
    problems
}

/// A way longer than this is shown by its beginning.
const MOST_STEPS: usize = 40;
