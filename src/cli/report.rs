//! Problems for people: file, line and column, the line itself, a caret, a hint.

use std::io::IsTerminal;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::app::load::LoadError;
use crate::dialplan::config::{Place, Problem, Severity, SourceFile};

/// Prints problems on stderr, coloured where that is a terminal.
pub fn print(problems: &[Problem], sources: &[SourceFile]) {
    let renderer = match std::io::stderr().is_terminal() {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    for problem in problems {
        eprintln!("{}\n", render(problem, sources, &renderer));
    }
}

/// Prints why there is no plan.
pub fn print_error(error: &LoadError) {
    match error {
        LoadError::Wrong { problems, sources } => {
            print(problems, sources);
            eprintln!("{}", count(problems));
        }
        other => eprintln!("error: {other}"),
    }
}

/// `2 errors, 1 warning`.
pub fn count(problems: &[Problem]) -> String {
    let of = |severity, word: &str| {
        let count = problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count();
        match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{count} {word}s")),
        }
    };
    let counts = [
        of(Severity::Error, "error"),
        of(Severity::Warning, "warning"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    counts.join(", ")
}

fn render(problem: &Problem, sources: &[SourceFile], renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group: Group<'_> = Group::with_title(level.primary_title(&problem.message));
    let also = problem.also.as_ref();
    if let Some(place) = &problem.place {
        let mut snippet =
            snippet(place, sources).annotation(AnnotationKind::Primary.span(caret(place, sources)));
        if let Some((other, what)) = also.filter(|(other, _)| other.path == place.path) {
            let span = caret(other, sources);
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(what));
        }
        group = group.element(snippet);
        if let Some((other, what)) = also.filter(|(other, _)| other.path != place.path) {
            let annotation = AnnotationKind::Context
                .span(caret(other, sources))
                .label(what);
            group = group.element(self::snippet(other, sources).annotation(annotation));
        }
    }
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint));
    }
    renderer.render(&[group])
}

fn snippet<'a>(
    place: &'a Place,
    sources: &'a [SourceFile],
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    Snippet::source(text(place, sources)).path(&place.path)
}

fn text<'a>(place: &Place, sources: &'a [SourceFile]) -> &'a str {
    sources
        .iter()
        .find(|source| source.path == place.path)
        .map_or("", |source| &source.text)
}

/// The place on its first line only: a whole table is no place to point at.
fn caret(place: &Place, sources: &[SourceFile]) -> Range<usize> {
    let text = text(place, sources);
    let start = place.span.start.min(text.len());
    let rest = text.get(start..).unwrap_or("");
    let line = rest.find('\n').unwrap_or(rest.len());
    let length = place.span.len().min(line);
    start..start + length
}
