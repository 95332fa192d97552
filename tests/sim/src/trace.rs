//! What the programs say, as lines and as facts: what is printed of a run, and what its hash is made of.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// One event of a program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fact {
    /// The node that it happened on; empty for the simulation itself.
    pub(crate) node: String,
    /// What happened.
    pub(crate) message: String,
    fields: Vec<(&'static str, String)>,
}

impl Fact {
    /// A field as text.
    pub(crate) fn text(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, value)| value)
    }

    /// A field as a number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }
}

#[derive(Debug, Default)]
struct State {
    prints: bool,
    hash: u64,
    now: Duration,
    /// Names of nodes by number of span.
    spans: Vec<String>,
    entered: Vec<u64>,
    facts: Vec<Fact>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Listens to everything said on this thread from now on.
pub(crate) fn listen(prints: bool) {
    STATE.with_borrow_mut(|state| state.prints = prints);
    // There is one thread and one run in a process.
    drop(tracing::subscriber::set_global_default(Listener));
}

/// Facts since the last call.
pub(crate) fn take_facts() -> Vec<Fact> {
    STATE.with_borrow_mut(|state| std::mem::take(&mut state.facts))
}

/// The hash of all lines so far.
pub(crate) fn hash() -> u64 {
    STATE.with_borrow(|state| state.hash)
}

/// Tells the time to lines that no node says.
pub(crate) fn set_now(now: Duration) {
    STATE.with_borrow_mut(|state| state.now = now);
}

/// A line of the simulation itself.
pub(crate) fn say(text: &str) {
    STATE.with_borrow_mut(|state| state.line("", text));
}

impl State {
    fn line(&mut self, node: &str, text: &str) {
        let seconds = self.now.as_secs_f64();
        let line = format!("{seconds:>9.3} {node:<12} {text}");
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.prints {
            crate::print(&line);
        }
    }
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let (target, level) = (metadata.target(), *metadata.level());
        if metadata.is_span() {
            return target.starts_with("turmoil") && level == Level::INFO;
        }
        let ours = ["agent", "coordinator", "daemon"];
        let ours = ours.iter().any(|name| target.starts_with(name));
        ours && (level <= Level::INFO || target == "agent::outbox")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut name = Texts::default();
        span.record(&mut name);
        let node = name.fields.into_iter().find(|(field, _)| *field == "name");
        let node = node.map(|(_, value)| value).unwrap_or_default();
        STATE.with_borrow_mut(|state| {
            // One span for each node and step: the numbers of names are used again.
            let known = state.spans.iter().position(|known| *known == node);
            let index = known.unwrap_or_else(|| {
                state.spans.push(node);
                state.spans.len() - 1
            });
            Id::from_u64(index as u64 + 1)
        })
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut texts = Texts::default();
        event.record(&mut texts);
        let now = turmoil::sim_elapsed();
        STATE.with_borrow_mut(|state| {
            state.now = now.unwrap_or(state.now);
            let index = state
                .entered
                .last()
                .and_then(|id| usize::try_from(id - 1).ok());
            let node = index.and_then(|index| state.spans.get(index)).cloned();
            let node = node.unwrap_or_default();
            let mut line = format!("{:<5} {}", event.metadata().level(), texts.message);
            for (name, value) in &texts.fields {
                // A version is no part of what happened.
                if *name != "version" {
                    line.push_str(&format!(" {name}={value}"));
                }
            }
            state.line(&node, &line);
            state.facts.push(Fact {
                node,
                message: texts.message,
                fields: texts.fields,
            });
        });
    }

    fn enter(&self, span: &Id) {
        STATE.with_borrow_mut(|state| state.entered.push(span.into_u64()));
    }

    fn exit(&self, _: &Id) {
        STATE.with_borrow_mut(|state| state.entered.pop());
    }
}

#[derive(Default)]
struct Texts {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name(), value.to_owned()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.fields.push((field.name(), daemon::chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.push((field.name(), text));
        }
    }
}
