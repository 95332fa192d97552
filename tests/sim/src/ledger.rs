//! What every agent has put into its spool, what became of it, and whether the store holds just that.

mod compare;

use std::collections::{BTreeSet, HashMap};

use agent::batch::Record;
use series::{Labels, Rows};
use wire::Message as _;
use wire::proto::SpooledBatch;

use crate::trace::Fact;

/// A series and a time.
type Place = (String, i64);

/// How sure it is that a batch is in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// It was handed over, and the agent ended before it was answered.
    Offered,
    /// The spool has it and could not sync it.
    Doubtful,
    /// The spool has said that it is durable.
    Durable,
    /// The spool did not take it, or lost it before it was durable.
    Gone,
}

/// One batch of an agent.
#[derive(Clone, Debug)]
struct Batch {
    kept: Kept,
    sequence: Option<u64>,
    samples: usize,
}

/// Everything known of one agent.
#[derive(Clone, Debug, Default)]
struct Account {
    batches: Vec<Batch>,
    /// The sequence that the next record gets.
    next: u64,
    /// Sequences up to this are acknowledged.
    acknowledged: u64,
    lost: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    /// Losses for damage: each has set a file aside.
    damaged: usize,
    /// Losses of files that were not there.
    missing: usize,
    /// Events handed in by the process that runs now, and by those before it.
    events: (Vec<String>, Vec<String>),
}

/// One value that an agent has put somewhere.
#[derive(Clone, Copy, Debug)]
struct Claim {
    agent: usize,
    batch: usize,
    bits: u64,
}

/// The accounts of all agents.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: Vec<Account>,
    claims: HashMap<Place, Vec<Claim>>,
    faults: Vec<String>,
}

/// The name of an agent.
pub(crate) fn name_of(agent: usize) -> String {
    format!("agent-{agent}")
}

fn index_of(name: &str) -> Option<usize> {
    name.strip_prefix("agent-")?.parse().ok()
}

impl Ledger {
    pub(crate) fn new(agents: usize) -> Self {
        let account = Account {
            next: 1,
            ..Account::default()
        };
        Self {
            accounts: vec![account; agents],
            ..Self::default()
        }
    }

    /// The agent has opened its spool.
    pub(crate) fn opened(&mut self, agent: usize, next: u64, lost: &[spool::Loss]) {
        let account = &mut self.accounts[agent];
        account.events.1.append(&mut account.events.0);
        let mut expected = account.next;
        for batch in &mut account.batches {
            let durable = batch.kept == Kept::Durable;
            match (batch.kept, batch.sequence) {
                (Kept::Offered, _) if next > expected => {
                    (batch.kept, batch.sequence) = (Kept::Durable, Some(expected));
                    expected += 1;
                }
                (Kept::Offered, _) => batch.kept = Kept::Gone,
                (Kept::Doubtful | Kept::Durable, Some(sequence)) if sequence >= next => {
                    (batch.kept, batch.sequence) = (Kept::Gone, None);
                    if durable {
                        let name = name_of(agent);
                        let fault =
                            format!("{name} would give out the durable sequence {sequence} again");
                        self.faults.push(fault);
                    }
                }
                (Kept::Doubtful, _) => batch.kept = Kept::Durable,
                (Kept::Durable | Kept::Gone, _) => {}
            }
        }
        if next > expected {
            let name = name_of(agent);
            self.faults.push(format!(
                "the spool of {name} goes on at {next} instead of {expected}"
            ));
        }
        account.next = next;
        for loss in lost {
            account.lost.extend(loss.first..=loss.last);
        }
    }

    /// A record is about to be put in; gives its number here.
    pub(crate) fn offer(&mut self, agent: usize, record: &Record) -> usize {
        let batch = self.accounts[agent].batches.len();
        let values = values_of(record);
        self.accounts[agent].batches.push(Batch {
            kept: Kept::Offered,
            sequence: None,
            samples: values.len(),
        });
        for (place, bits) in values {
            let claim = Claim { agent, batch, bits };
            self.claims.entry(place).or_default().push(claim);
        }
        batch
    }

    /// How it went: whether the spool took the record, and whether it said that all is durable.
    pub(crate) fn took(&mut self, agent: usize, batch: usize, taken: bool, durable: bool) {
        let account = &mut self.accounts[agent];
        let Some(offered) = account.batches.get_mut(batch) else {
            return;
        };
        if taken {
            offered.sequence = Some(account.next);
            account.next += 1;
        }
        offered.kept = match (taken, durable) {
            (true, true) => Kept::Durable,
            (true, false) => Kept::Doubtful,
            (false, _) => Kept::Gone,
        };
        if durable {
            let doubtful = account
                .batches
                .iter_mut()
                .filter(|it| it.kept == Kept::Doubtful);
            doubtful.for_each(|batch| batch.kept = Kept::Durable);
        }
    }

    /// An event was handed in.
    pub(crate) fn happened(&mut self, agent: usize, summary: String) {
        self.accounts[agent].events.0.push(summary);
    }

    /// What the programs say of losses, refusals and acknowledgements.
    pub(crate) fn heard(&mut self, fact: &Fact) {
        let speaker = index_of(&fact.node);
        let account = speaker.and_then(|index| self.accounts.get_mut(index));
        match (fact.message.as_str(), account) {
            ("acknowledged", Some(account)) => {
                account.acknowledged = account.acknowledged.max(fact.number("sequence"));
            }
            ("batches were lost before they were sent", Some(account)) => {
                account
                    .lost
                    .extend(fact.number("first")..=fact.number("last"));
                account.damaged += usize::from(fact.text("reason") == "damaged");
                // After a power loss what is acknowledged may be called missing: it costs nothing.
                let is_known = fact.number("last") <= account.acknowledged;
                account.missing += usize::from(!is_known && fact.text("reason") == "missing");
            }
            ("the coordinator refused a batch for good", Some(account)) => {
                account.refused.insert(fact.number("sequence"));
            }
            ("a block of a batch was refused", _) => {
                let account = index_of(fact.text("agent"));
                if let Some(account) = account.and_then(|it| self.accounts.get_mut(it)) {
                    account.refused.insert(fact.number("sequence"));
                }
            }
            ("task panicked" | "a record of the spool does not decode and is passed over", _) => {
                self.faults.push(format!(
                    "{} said: {} {}",
                    fact.node,
                    fact.message,
                    fact.text("task")
                ));
            }
            (message, _) if message.starts_with("the coordinator has batches that this spool") => {
                self.faults
                    .push(format!("{} has given out a sequence twice", fact.node));
            }
            _ => {}
        }
    }

    /// What has gone wrong so far.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.faults
            .first()
            .map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// How often an agent has lost something to damage, and how often because it was not there.
    pub(crate) fn damaged_and_missing(&self, agent: usize) -> (usize, usize) {
        let account = &self.accounts[agent];
        (account.damaged, account.missing)
    }

    /// Batches in all, those declared lost, and those refused.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let accounts = self.accounts.iter();
        accounts.fold((0, 0, 0), |(batches, lost, refused), account| {
            (
                batches + account.batches.len(),
                lost + account.lost.len(),
                refused + account.refused.len(),
            )
        })
    }
}

/// The samples of a record.
fn values_of(record: &Record) -> Vec<(Place, u64)> {
    let mut values = Vec::new();
    let spooled = SpooledBatch::decode(record.bytes.as_slice()).unwrap_or_default();
    for block in spooled.blocks {
        let series = codec::decode_labels_list(&block.series_list).unwrap_or_default();
        let columns = codec::decode_block(&block.columns).unwrap_or_default();
        for ((labels, _), column) in series.iter().zip(&columns.columns) {
            let rows: Vec<usize> = match &column.rows {
                Rows::All => (0..columns.times.len()).collect(),
                rows => rows.iter(columns.times.len()).collect(),
            };
            let times = rows.iter().filter_map(|row| columns.times.get(*row));
            let text = text_of(labels);
            let found = times.zip(&column.values);
            values.extend(found.map(|(time, value)| ((text.clone(), *time), value.to_bits())));
        }
    }
    values
}

/// The labels of a series on one line.
fn text_of(labels: &Labels) -> String {
    labels.to_string()
}
