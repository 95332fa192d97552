//! What people do.

use serde::{Deserialize, Serialize};
use spec::Channel;

use super::rows::Key;
use super::{Centre, SILENCES_MAX};
use crate::silence::{Condition, ConditionError, Conditions};
use crate::{
    Acknowledgement, Held, Incident, Kind, Message, Said, Silence, Standing, Target, Verdict,
};

/// Something a person wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// I see to this incident.
    Acknowledge {
        /// Which.
        incident: String,
        /// For how long; else as long as is usual.
        for_millis: Option<i64>,
        /// What else there is to say.
        note: String,
    },
    /// This incident is someone's.
    Assign {
        /// Which.
        incident: String,
        /// Whose.
        to: String,
    },
    /// This incident is over, whatever fires.
    Resolve {
        /// Which.
        incident: String,
        /// What else there is to say.
        note: String,
    },
    /// This incident is not over.
    Reopen {
        /// Which.
        incident: String,
    },
    /// The next rung is to be told now.
    Escalate {
        /// Of which.
        incident: String,
    },
    /// What this incident was.
    Verdict {
        /// Which.
        incident: String,
        /// What.
        verdict: Verdict,
        /// What else there is to say.
        note: String,
    },
    /// These two are one.
    Merge {
        /// The one that goes.
        from: String,
        /// The one that stays.
        into: String,
    },
    /// These alerts are another incident.
    Split {
        /// Which holds them.
        incident: String,
        /// Their fingerprints.
        fingerprints: Vec<String>,
    },
    /// Tell nobody of such alerts for a time.
    Silence {
        /// What they are like; all must hold.
        conditions: Vec<Condition>,
        /// From when, in milliseconds since the Unix epoch.
        starts_millis: i64,
        /// Until when.
        ends_millis: i64,
        /// Whether it was planned.
        maintenance: bool,
        /// Why.
        comment: String,
    },
    /// End a silence.
    Unsilence {
        /// Which.
        silence: String,
    },
    /// Try whether someone can be reached.
    Test {
        /// Whom.
        target: Target,
    },
}

/// Why something cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is none of that name.
    #[error("there is no {what} {id:?}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// It is not in a state for that.
    #[error("incident {id} is {standing}: {why}")]
    Standing {
        /// Which.
        id: String,
        /// Where it is.
        standing: &'static str,
        /// Why that does not go together.
        why: &'static str,
    },
    /// There is nobody to escalate to.
    #[error("there is no rung left to escalate incident {0} to")]
    Ladder(String),
    /// A silence cannot be made.
    #[error(transparent)]
    Condition(#[from] ConditionError),
    /// A time is no use.
    #[error("{0}")]
    Time(&'static str),
    /// There are too many of something.
    #[error("there are {SILENCES_MAX} silences; end some first")]
    TooMany,
}

impl Centre {
    /// Does what a person wants; gives the id of what it was done to or what was made.
    ///
    /// # Errors
    /// When it cannot be done; then nothing is changed.
    pub fn command(
        &mut self,
        by: &str,
        command: Command,
        now_millis: i64,
    ) -> Result<String, CommandError> {
        let said = |note: String| Said {
            by: by.to_owned(),
            at_millis: now_millis,
            note,
        };
        let done = match command {
            Command::Acknowledge {
                incident,
                for_millis,
                note,
            } => self.acknowledge(incident, for_millis, said(note), now_millis),
            Command::Assign { incident, to } => self.assign(incident, to, by, now_millis),
            Command::Resolve { incident, note } => {
                self.resolve_by_hand(incident, said(note), now_millis)
            }
            Command::Reopen { incident } => self.reopen_by_hand(incident, by, now_millis),
            Command::Escalate { incident } => self.escalate_by_hand(incident, by, now_millis),
            Command::Verdict {
                incident,
                verdict,
                note,
            } => self.judge(incident, verdict, said(note), now_millis),
            Command::Merge { from, into } => self.merge(from, into, by, now_millis),
            Command::Split {
                incident,
                fingerprints,
            } => self.split(&incident, &fingerprints, by, now_millis),
            Command::Silence {
                conditions,
                starts_millis,
                ends_millis,
                maintenance,
                comment,
            } => {
                let silence = Silence {
                    id: String::new(),
                    conditions,
                    starts_millis,
                    ends_millis,
                    maintenance,
                    by: by.to_owned(),
                    comment,
                };
                self.silence(silence, now_millis)
            }
            Command::Unsilence { silence } => self.unsilence(silence, now_millis),
            Command::Test { target } => Ok(self.test(target, by, now_millis)),
        }?;
        self.tick(now_millis);
        Ok(done)
    }

    fn known(&self, id: &str) -> Result<&Incident, CommandError> {
        self.incidents.get(id).ok_or_else(|| CommandError::Unknown {
            what: "incident",
            id: id.to_owned(),
        })
    }

    fn known_open(&self, id: &str) -> Result<(), CommandError> {
        let incident = self.known(id)?;
        if incident.is_open() {
            return Ok(());
        }
        Err(CommandError::Standing {
            id: id.to_owned(),
            standing: incident.standing.as_str(),
            why: "reopen it first",
        })
    }

    fn acknowledge(
        &mut self,
        id: String,
        for_millis: Option<i64>,
        said: Said,
        now_millis: i64,
    ) -> Result<String, CommandError> {
        self.known_open(&id)?;
        let hold = for_millis.unwrap_or(self.routes.timing.acknowledged);
        if hold <= 0 {
            return Err(CommandError::Time(
                "an acknowledgement has to hold for some time",
            ));
        }
        self.withdraw(&id, "it was acknowledged", now_millis);
        self.with_incident(&id, |centre, incident| {
            let expires_millis = now_millis.saturating_add(hold);
            incident.note(now_millis, format!("acknowledged by {}", said.by));
            incident.standing = Standing::Acknowledged;
            if incident.acknowledged_millis.is_none() {
                incident.acknowledged_millis = Some(now_millis);
                incident.paused_before_millis = incident.paused_millis;
            }
            incident.dues.escalate = None;
            incident.dues.acknowledged = Some(expires_millis);
            let kind = Kind::Acknowledge {
                by: said.by.clone(),
            };
            incident.acknowledgement = Some(Acknowledgement {
                said,
                expires_millis,
            });
            let told = incident.told.iter().filter(|target| {
                matches!(
                    target.channel,
                    Channel::Pagerduty | Channel::Slack | Channel::Webhook
                )
            });
            let told = told.cloned().collect();
            centre.say(incident, &kind, told, now_millis);
        });
        Ok(id)
    }

    fn assign(
        &mut self,
        id: String,
        to: String,
        by: &str,
        now_millis: i64,
    ) -> Result<String, CommandError> {
        self.known_open(&id)?;
        let whose = self.routes.receivers.get(&to).cloned().unwrap_or_default();
        self.with_incident(&id, |centre, incident| {
            incident.note(now_millis, format!("given to {to} by {by}"));
            incident.assignee = Some(to);
            let (known, new) = whose
                .into_iter()
                .partition(|target| incident.told.contains(target));
            centre.say(incident, &Kind::Update, known, now_millis);
            centre.say(incident, &Kind::Trigger, new, now_millis);
        });
        Ok(id)
    }

    fn resolve_by_hand(
        &mut self,
        id: String,
        said: Said,
        now_millis: i64,
    ) -> Result<String, CommandError> {
        self.known_open(&id)?;
        self.with_incident(&id, |centre, incident| {
            centre.resolve(incident, Some(said), now_millis);
        });
        Ok(id)
    }

    fn reopen_by_hand(
        &mut self,
        id: String,
        by: &str,
        now_millis: i64,
    ) -> Result<String, CommandError> {
        let incident = self.known(&id)?;
        let why = match (incident.is_open(), &incident.merged_into) {
            (true, _) => Some("it is not over"),
            (false, Some(_)) => Some("it was merged into another"),
            (false, None) => None,
        };
        if let Some(why) = why {
            return Err(CommandError::Standing {
                id,
                standing: incident.standing.as_str(),
                why,
            });
        }
        self.reopen(&id, &format!("by {by}"), now_millis);
        self.bring_back(&id, &format!("{by}'s hand"), now_millis);
        self.settle_quiet(&id, now_millis);
        Ok(id)
    }

    /// What fired when an incident was resolved by hand, and fires still, belongs to it again.
    fn bring_back(&mut self, id: &str, reason: &str, now_millis: i64) {
        let let_go = self.alerts.values().filter(|alert| {
            let by_hand =
                matches!(&alert.held, Some(Held::Hand { incident }) if incident.as_str() == id);
            alert.firing && by_hand
        });
        let let_go: Vec<String> = let_go.map(|alert| alert.fingerprint.clone()).collect();
        for fingerprint in let_go {
            self.enter(&fingerprint, id, reason, now_millis);
        }
    }

    fn escalate_by_hand(
        &mut self,
        id: String,
        by: &str,
        now_millis: i64,
    ) -> Result<String, CommandError> {
        self.known_open(&id)?;
        let climbed = self.with_incident(&id, |centre, incident| {
            incident.note(now_millis, format!("{by} asks for the next rung"));
            centre.climb(incident, now_millis)
        });
        if climbed == Some(true) {
            Ok(id)
        } else {
            Err(CommandError::Ladder(id))
        }
    }

    fn judge(
        &mut self,
        id: String,
        verdict: Verdict,
        said: Said,
        now_millis: i64,
    ) -> Result<String, CommandError> {
        self.known(&id)?;
        self.with_incident(&id, |_, incident| {
            incident.note(now_millis, format!("{}: {}", said.by, verdict.as_str()));
            incident.verdict = Some((verdict, said));
        });
        Ok(id)
    }

    fn merge(
        &mut self,
        from: String,
        into: String,
        by: &str,
        now_millis: i64,
    ) -> Result<String, CommandError> {
        self.known_open(&from)?;
        self.known_open(&into)?;
        if from == into {
            return Err(CommandError::Standing {
                id: from,
                standing: "one",
                why: "it cannot be merged into itself",
            });
        }
        self.joints.redirect(&from, &into);
        for fingerprint in self.members_of(&from) {
            self.leave(&fingerprint);
            self.enter(&fingerprint, &into, &format!("{by}'s hand"), now_millis);
        }
        let let_go = self.incidents.get(&from).map_or(0, |it| it.let_go);
        self.with_incident(&into, |_, incident| incident.let_go += let_go);
        let said = Said {
            by: by.to_owned(),
            at_millis: now_millis,
            note: format!("merged into {into}"),
        };
        self.with_incident(&from, |centre, incident| {
            incident.merged_into = Some(into.clone());
            centre.resolve(incident, Some(said), now_millis);
        });
        self.settle_quiet(&into, now_millis);
        Ok(into)
    }

    fn split(
        &mut self,
        id: &str,
        fingerprints: &[String],
        by: &str,
        now_millis: i64,
    ) -> Result<String, CommandError> {
        self.known_open(id)?;
        for fingerprint in fingerprints {
            if !self.is_of(fingerprint, id) {
                return Err(CommandError::Unknown {
                    what: "alert of that incident",
                    id: fingerprint.clone(),
                });
            }
        }
        let Some(first) = fingerprints.first() else {
            return Err(CommandError::Unknown {
                what: "alert",
                id: String::new(),
            });
        };
        let new = self.open(first, now_millis);
        for fingerprint in fingerprints {
            self.leave(fingerprint);
            self.enter(fingerprint, &new, &format!("{by}'s hand"), now_millis);
        }
        self.with_incident(id, |_, incident| {
            let what = format!("{by} made {} of its alerts {new}", fingerprints.len());
            incident.note(now_millis, what);
        });
        self.settle_quiet(id, now_millis);
        self.settle_quiet(&new, now_millis);
        Ok(new)
    }

    /// An incident none of whose alerts fires is soon over.
    fn settle_quiet(&mut self, id: &str, now_millis: i64) {
        if self.firing_of(id).next().is_none() {
            let due = now_millis + self.routes.timing.resolve;
            self.with_incident(id, |_, incident| {
                incident.dues.resolve.get_or_insert(due);
            });
        }
    }

    fn silence(&mut self, mut silence: Silence, now_millis: i64) -> Result<String, CommandError> {
        if silence.ends_millis <= silence.starts_millis || silence.ends_millis <= now_millis {
            return Err(CommandError::Time(
                "a silence has to end after it begins, and after now",
            ));
        }
        if self.silences.len() >= SILENCES_MAX {
            return Err(CommandError::TooMany);
        }
        let conditions = Conditions::new(&silence.conditions)?;
        self.counters.silences += 1;
        let id = format!("{}s{}", self.prefix, self.counters.silences);
        silence.id.clone_from(&id);
        self.silences.insert(id.clone(), (silence, conditions));
        self.dirty.insert(Key::Counters);
        self.dirty.insert(Key::Silence(id.clone()));
        Ok(id)
    }

    fn unsilence(&mut self, id: String, now_millis: i64) -> Result<String, CommandError> {
        let Some((silence, _)) = self.silences.get_mut(&id) else {
            return Err(CommandError::Unknown {
                what: "silence",
                id,
            });
        };
        silence.ends_millis = now_millis;
        self.end_silences(now_millis);
        Ok(id)
    }

    fn test(&mut self, target: Target, by: &str, now_millis: i64) -> String {
        let id = self.other_id("test");
        let message = Message {
            incident: id.clone(),
            title: format!("{by} tries whether you can be reached"),
            ..Message::test(now_millis)
        };
        self.queue(id.clone(), target, message, now_millis);
        id
    }
}
