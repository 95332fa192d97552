//! What is said, by templates: those built in, and those of the configuration in their place.
//!
//! A file holds the sections of its channel, each behind a line such as `=== subject`; one without such
//! lines is the channel's main section. A section that a file leaves out is the built-in one.
//! Errors are found when a file is loaded: syntax, names that nothing has, and what fails on an example
//! of every kind. What fails still when a message is made is replaced by the built-in section.

mod sections;

use std::io;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use spec::Channel;

use crate::example;
use crate::words::Words;
pub(crate) use sections::escape_slack;
use sections::{Section, of_channel};

/// Steps that one section may take: some hundred for each of fifty alerts, and no endless loop.
const FUEL_MAX: u64 = 200_000;

/// Bytes that one section may make. Mail has no bound of its own; what is longer is not read.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// Depth of templates in templates; ours have none.
const RECURSION_MAX: usize = 50;

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has a section that no channel has, or none at all.
    #[error("the template {name}: {fault}")]
    Sections {
        /// The template.
        name: String,
        /// What is wrong, and what there could be.
        fault: String,
    },
    /// It is no template.
    #[error("the section {section} of the template {name} cannot be read")]
    Syntax {
        /// The template.
        name: String,
        /// Its section.
        section: &'static str,
        /// What is wrong, and where.
        #[source]
        source: minijinja::Error,
    },
    /// It names what no message has.
    #[error(
        "the section {section} of the template {name} names {variables}, which no message has; see notify::Words for what there is"
    )]
    Unknown {
        /// The template.
        name: String,
        /// Its section.
        section: &'static str,
        /// The names.
        variables: String,
    },
    /// It fails on an example.
    #[error("the section {section} of the template {name} fails on an example")]
    Fails {
        /// The template.
        name: String,
        /// Its section.
        section: &'static str,
        /// What is wrong, and where.
        #[source]
        source: minijinja::Error,
    },
    /// No such template is built in or configured.
    #[error("there is no template {0}; add it to [notify.templates] or use one that is built in")]
    Missing(String),
}

impl Error {
    /// Never: the file must be mended.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Sections { .. }
            | Self::Syntax { .. }
            | Self::Unknown { .. }
            | Self::Fails { .. }
            | Self::Missing(_) => false,
        }
    }
}

/// All templates, ready to use.
#[derive(Debug)]
pub(crate) struct Templates {
    environment: Environment<'static>,
}

/// The template of a channel that is used where none is asked for. Webhooks and Alertmanagers take
/// payloads whose form is given.
#[must_use]
pub fn built_in(channel: Channel) -> Option<&'static str> {
    sections::BUILT_IN
        .iter()
        .find(|built_in| built_in.channel == channel)
        .map(|built_in| built_in.name)
}

/// What a section is asked to say, and what went wrong with the template that was meant to say it.
pub(crate) struct Rendering<'a> {
    templates: &'a Templates,
    channel: Channel,
    name: Option<&'a str>,
    words: &'a Words,
    /// Why the built-in template spoke in the place of another, the first reason.
    pub(crate) fallback: Option<String>,
}

impl Templates {
    /// The built-in templates, and these in their place or beside them: name and text of each.
    ///
    /// # Errors
    /// When one of the texts is no template that could be used.
    pub(crate) fn new<'a>(
        own: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(escaping);
        environment.set_formatter(sections::write_escaped);
        environment.set_fuel(Some(FUEL_MAX));
        environment.set_recursion_limit(RECURSION_MAX);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        let mut templates = Self { environment };
        for built_in in sections::BUILT_IN {
            templates.add("", built_in.name, built_in.text)?;
        }
        for (name, text) in own {
            templates.add("own:", name, text)?;
        }
        Ok(templates)
    }

    /// Adds a template for every channel that has its sections.
    fn add(&mut self, prefix: &str, name: &str, text: &str) -> Result<(), Error> {
        let mut found = false;
        for section in sections::split(name, text)? {
            found = true;
            let key = key(prefix, section.channel, name, section.name);
            let fail = |source| Error::Syntax {
                name: name.to_owned(),
                section: section.name,
                source,
            };
            self.environment
                .add_template_owned(key.clone(), section.text.clone())
                .map_err(fail)?;
            self.check(&key, name, &section)?;
        }
        if found {
            Ok(())
        } else {
            Err(Error::Sections {
                name: name.to_owned(),
                fault: "it is empty".to_owned(),
            })
        }
    }

    /// Tries one section on an example of every kind.
    fn check(&self, key: &str, name: &str, section: &Section) -> Result<(), Error> {
        let fails = |source| Error::Fails {
            name: name.to_owned(),
            section: section.name,
            source,
        };
        let template = self.environment.get_template(key).map_err(fails)?;
        let known = context(&example_words(alert::Kind::Trigger), section.per_alert);
        let mut variables: Vec<String> = template
            .undeclared_variables(false)
            .into_iter()
            .filter(|variable| known.get_attr(variable).map_or(true, |v| v.is_undefined()))
            .filter(|variable| {
                !self
                    .environment
                    .globals()
                    .any(|(global, _)| global == variable)
            })
            .collect();
        variables.sort();
        if !variables.is_empty() {
            return Err(Error::Unknown {
                name: name.to_owned(),
                section: section.name,
                variables: variables.join(", "),
            });
        }
        for kind in example_kinds() {
            let context = context(&example_words(kind), section.per_alert);
            self.render(key, context).map_err(fails)?;
        }
        Ok(())
    }

    fn render(&self, key: &str, context: Value) -> Result<String, minijinja::Error> {
        let mut output = Bounded(Vec::new());
        self.environment
            .get_template(key)?
            .render_captured_to(context, &mut output)?;
        // Templates write whole strings.
        Ok(String::from_utf8_lossy(&output.0).trim().to_owned())
    }

    /// Whether this name may be asked for in this channel.
    ///
    /// # Errors
    /// When there is no such template.
    pub(crate) fn find(&self, channel: Channel, name: &str) -> Result<(), Error> {
        let is_there = of_channel(channel).any(|section| {
            ["own:", ""].iter().any(|prefix| {
                let key = key(prefix, channel, name, section);
                self.environment.get_template(&key).is_ok()
            })
        });
        if is_there {
            Ok(())
        } else {
            Err(Error::Missing(name.to_owned()))
        }
    }

    /// Begins to say `words` in a channel by the template of this name, or by its own.
    pub(crate) fn say<'a>(
        &'a self,
        channel: Channel,
        name: Option<&'a str>,
        words: &'a Words,
    ) -> Rendering<'a> {
        let missing = name.and_then(|name| self.find(channel, name).err());
        Rendering {
            templates: self,
            channel,
            name,
            words,
            fallback: missing.map(|error| error.to_string()),
        }
    }
}

impl Rendering<'_> {
    /// One section of it.
    pub(crate) fn section(&mut self, section: &'static str) -> String {
        let context = Value::from(Serde(self.words));
        self.with(section, &context)
    }

    /// The section that is said of each alert, for the one at this place.
    pub(crate) fn alert(&mut self, section: &'static str, index: usize) -> String {
        let context = alert_context(self.words, index);
        self.with(section, &context)
    }

    /// Whether what is said is our own choice of words.
    pub(crate) fn is_built_in(&self, section: &'static str) -> bool {
        self.own(section).is_none()
    }

    /// The template of the configuration that says a section, if there is one.
    fn own(&self, section: &'static str) -> Option<String> {
        let environment = &self.templates.environment;
        self.name
            .into_iter()
            .chain(built_in(self.channel))
            .map(|name| key("own:", self.channel, name, section))
            .find(|key| environment.get_template(key).is_ok())
    }

    fn with(&mut self, section: &'static str, context: &Value) -> String {
        if let Some(own) = self.own(section) {
            match self.templates.render(&own, context.clone()) {
                Ok(text) => return text,
                Err(error) => {
                    let name = own.strip_prefix("own:").unwrap_or(&own);
                    let fault = format!("the template {name} failed: {error}");
                    self.fallback.get_or_insert(fault);
                }
            }
        }
        built_in(self.channel)
            .map(|name| key("", self.channel, name, section))
            .and_then(|key| self.templates.render(&key, context.clone()).ok())
            // The built-in ones are tried at every start; a title is better than no word at all.
            .unwrap_or_else(|| self.words.headline.clone())
    }
}

fn key(prefix: &str, channel: Channel, name: &str, section: &str) -> String {
    format!("{prefix}{}/{name}/{section}", channel.as_str())
}

fn escaping(key: &str) -> AutoEscape {
    let key = key.strip_prefix("own:").unwrap_or(key);
    if key.starts_with("email/") && key.ends_with("/html") {
        AutoEscape::Html
    } else if key.starts_with("slack/") && !key.ends_with("/header") {
        AutoEscape::Custom(sections::SLACK.into())
    } else {
        AutoEscape::None
    }
}

fn context(words: &Words, per_alert: bool) -> Value {
    if per_alert {
        alert_context(words, 0)
    } else {
        Value::from(Serde(words))
    }
}

/// The words of a message, and of one of its alerts as `alert`.
fn alert_context(words: &Words, index: usize) -> Value {
    let alert = words
        .alerts
        .get(index)
        .map(|alert| Value::from(Serde(alert)));
    minijinja::context! {
        alert => alert,
        ..Value::from(Serde(words))
    }
}

fn example_words(kind: alert::Kind) -> Words {
    Words::new(
        &example::message(kind, 12),
        Some("https://vedette.example/{incident}"),
    )
}

fn example_kinds() -> [alert::Kind; 8] {
    use alert::Kind;
    [
        Kind::Trigger,
        Kind::Update,
        Kind::Remind,
        Kind::Escalate {
            rung: "level_2".to_owned(),
        },
        Kind::Acknowledge {
            by: "ada".to_owned(),
        },
        Kind::Resolve,
        Kind::Digest { words: 3 },
        Kind::Test,
    ]
}

/// Takes so many bytes and no more.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > OUTPUT_BYTES_MAX.saturating_sub(self.0.len()) {
            return Err(io::Error::other("it says more than 1 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
