//! What was tried and why it did or did not match: for people who ask where a call would go.

/// Told of each rule as it is tried. The sentence is made only by who wants it, so that a real call pays nothing.
pub trait Trace {
    /// `rule` was tried; `why` is a sentence without a full stop.
    fn tried(&mut self, rule: &str, matched: bool, why: &dyn Fn() -> String);
}

/// Nobody asks.
#[derive(Debug)]
pub struct Silent;

impl Trace for Silent {
    fn tried(&mut self, _rule: &str, _matched: bool, _why: &dyn Fn() -> String) {}
}

/// One rule that was tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The rule or destination: `outbound.russia`, `menu:main`.
    pub rule: String,
    /// Whether it matched.
    pub matched: bool,
    /// Why.
    pub why: String,
}

impl Trace for Vec<Step> {
    fn tried(&mut self, rule: &str, matched: bool, why: &dyn Fn() -> String) {
        self.push(Step {
            rule: rule.to_owned(),
            matched,
            why: why(),
        });
    }
}
