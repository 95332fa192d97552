//! What documents look like: which keys there are, and what each value has to be.

use std::time::Duration;

use crate::tree::{Node, Value};
use crate::trigger::{self, Trigger};
use crate::{Channel, duration};

/// The shape of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// A mapping with these keys and no others.
    Map(&'static [Field]),
    /// A mapping whose keys are names of the user's.
    Each(&'static Shape),
    /// A list of settings.
    List(Of),
    /// A list of mappings.
    Maps(&'static Shape),
    /// One setting.
    One(Of),
    /// Its settings are refused by name unless something puts them in force: this is missing.
    Later(&'static str, &'static Shape),
}

/// A key and the shape of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) shape: Shape,
    /// Whether a document makes no sense without it.
    pub(crate) needed: bool,
}

/// A key that may be left out.
pub(crate) const fn may(key: &'static str, shape: Shape) -> Field {
    Field {
        key,
        shape,
        needed: false,
    }
}

/// A key that must be there.
pub(crate) const fn must(key: &'static str, shape: Shape) -> Field {
    Field {
        key,
        shape,
        needed: true,
    }
}

/// What a setting may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    /// `true` or `false`.
    Bool,
    /// A number from the first to the second.
    Number(f64, f64),
    /// A whole number from the first to the second.
    Whole(u32, u32),
    /// Any text that is not empty.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A length of time that is more than nothing.
    Length,
    /// A length of time, or one of these words for one.
    LengthOr(&'static [&'static str]),
    /// A way to reach someone.
    Channel,
    /// A trigger.
    Trigger,
    /// `7d_rolling_mean`, or a number.
    Baseline,
    /// `< 5%`.
    Share,
}

/// Any number.
pub(crate) const NUMBER: Of = Of::Number(f64::MIN, f64::MAX);
/// A number from 0 to 1.
pub(crate) const RATIO: Of = Of::Number(0.0, 1.0);
/// Texts longer than this are no names.
const TEXT_MAX: usize = 1024;

/// A setting that is as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Setting {
    Bool(bool),
    Number(f64),
    Text(String),
    Length(Duration),
    Channel(Channel),
    Trigger(Trigger),
}

/// Why a setting is not as it should be: of another kind, or out of place.
pub(crate) enum Wrong {
    Type(String),
    Value(String, Option<&'static str>),
}

impl Of {
    /// What is wanted, in words.
    fn wanted(self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Number(..) => "a number".to_owned(),
            Self::Whole(..) => "a whole number".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Length => "a length of time such as 5m".to_owned(),
            Self::LengthOr(words) => {
                format!("a length of time such as 5m, or {}", words.join(", "))
            }
            Self::Channel => "the name of a channel".to_owned(),
            Self::Trigger => "a trigger such as cpu_usage > 80% for 5m".to_owned(),
            Self::Baseline => "7d_rolling_mean or a number".to_owned(),
            Self::Share => "a bound such as < 5%".to_owned(),
        }
    }

    /// Checks a value.
    pub(crate) fn check(self, node: &Node) -> Result<Setting, Wrong> {
        match (self, &node.value) {
            (Self::Bool, Value::Bool(it)) => Ok(Setting::Bool(*it)),
            (Self::Number(least, most), Value::Number(it)) => between(*it, least, most),
            (Self::Whole(least, most), Value::Number(it)) if it.fract() == 0.0 => {
                between(*it, f64::from(least), f64::from(most))
            }
            (Self::Baseline, Value::Number(it)) => Ok(Setting::Number(*it)),
            (_, Value::Text(text)) => self.check_text(text),
            _ => Err(Wrong::Type(self.wanted())),
        }
    }

    fn check_text(self, text: &str) -> Result<Setting, Wrong> {
        let plain = || Setting::Text(text.to_owned());
        let refused = |why: &str| Wrong::Value(why.to_owned(), None);
        if text.trim().is_empty() {
            return Err(refused("it is empty"));
        }
        if text.len() > TEXT_MAX {
            return Err(refused("it is too long"));
        }
        match self {
            Self::Text => Ok(plain()),
            Self::Word(words) if words.contains(&text) => Ok(plain()),
            Self::Word(words) => {
                let meant = crate::nearest::nearest(text, words.iter().copied());
                Err(Wrong::Value(self.wanted(), meant))
            }
            Self::Length => length(text),
            Self::LengthOr(words) => match duration::word(text) {
                Some(length) if words.contains(&text) => Ok(Setting::Length(length)),
                _ => length(text).map_err(|_wrong| {
                    let meant = crate::nearest::nearest(text, words.iter().copied());
                    Wrong::Value(self.wanted(), meant)
                }),
            },
            Self::Channel => {
                let all = Channel::ALL.map(Channel::as_str);
                let wanted = || format!("a channel is one of {}", all.join(", "));
                Channel::from_word(text)
                    .map(Setting::Channel)
                    .ok_or_else(|| Wrong::Value(wanted(), crate::nearest::nearest(text, all)))
            }
            Self::Trigger => trigger::parse(text)
                .map(Setting::Trigger)
                .map_err(|why| Wrong::Value(why, None)),
            Self::Baseline => match text.strip_suffix("_rolling_mean").map(duration::parse) {
                Some(Ok(_)) => Ok(plain()),
                _ => Err(refused("a baseline is 7d_rolling_mean or a number")),
            },
            Self::Share => {
                let share = text.trim_start_matches('<').trim().strip_suffix('%');
                match share.map(str::parse::<f64>) {
                    Some(Ok(share)) if (0.0..=100.0).contains(&share) => Ok(plain()),
                    _ => Err(refused("a bound is written as < 5%")),
                }
            }
            Self::Bool | Self::Number(..) | Self::Whole(..) => Err(Wrong::Type(self.wanted())),
        }
    }
}

fn between(value: f64, least: f64, most: f64) -> Result<Setting, Wrong> {
    if (least..=most).contains(&value) {
        return Ok(Setting::Number(value));
    }
    Err(Wrong::Value(
        format!("it goes from {least} to {most}"),
        None,
    ))
}

fn length(text: &str) -> Result<Setting, Wrong> {
    match duration::parse(text) {
        Ok(Duration::ZERO) => Err(Wrong::Value("it is no time at all".to_owned(), None)),
        Ok(length) => Ok(Setting::Length(length)),
        Err(why) => Err(Wrong::Value(why.to_owned(), None)),
    }
}
