//! A document whose every setting is of the right kind.

use std::time::Duration;

use crate::kind::{Kind, section_of, sections};
use crate::nearest::nearest;
use crate::problem::{Fault, Place, Problem, Problems};
use crate::shape::{Of, Setting, Shape, Wrong};
use crate::tree::{Node, Value};

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// Its number over all documents.
    pub(crate) id: usize,
    pub(crate) path: String,
    pub(crate) place: Place,
    /// As it was written.
    pub(crate) given: String,
    pub(crate) setting: Setting,
    /// What is missing where nothing puts it in force.
    pub(crate) missing: Option<&'static str>,
}

impl Leaf {
    /// The last name of its path, without an index: `accuracy`.
    pub(crate) fn name(&self) -> &str {
        let last = self.path.rsplit('.').next().unwrap_or(&self.path);
        last.split('[').next().unwrap_or(last)
    }

    pub(crate) fn flag(&self) -> bool {
        self.setting == Setting::Bool(true)
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self.setting {
            Setting::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn length(&self) -> Option<Duration> {
        match self.setting {
            Setting::Length(length) => Some(length),
            _ => None,
        }
    }
}

/// The settings of one kind in one document of one text.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) kind: Kind,
    pub(crate) source: String,
    pub(crate) leaves: Vec<Leaf>,
}

impl Document {
    /// The setting at a path.
    pub(crate) fn at(&self, path: &str) -> Option<&Leaf> {
        self.leaves.iter().find(|leaf| leaf.path == path)
    }

    /// The settings of the list at a path.
    pub(crate) fn list<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Leaf> {
        self.leaves.iter().filter(move |leaf| {
            leaf.path
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('['))
        })
    }

    /// The settings below a path.
    pub(crate) fn below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Leaf> {
        self.leaves.iter().filter(move |leaf| {
            leaf.path
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// The names right below a path, in the order of the document, each once.
    pub(crate) fn names<'a>(&'a self, path: &'a str) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for leaf in self.below(path) {
            let rest = &leaf.path.get(path.len() + 1..).unwrap_or_default();
            let name = rest.split(['.', '[']).next().unwrap_or(rest);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// `FILE:LINE: PATH` of a setting, for what contradicts it.
    pub(crate) fn spot(&self, leaf: &Leaf) -> String {
        format!("{} ({}:{})", leaf.path, self.source, leaf.place.line)
    }

    pub(crate) fn problem(&self, leaf: &Leaf, fault: Fault) -> Problem {
        Problem {
            source: self.source.clone(),
            place: leaf.place,
            path: leaf.path.clone(),
            fault: Box::new(fault),
            suggestion: None,
        }
    }

    pub(crate) fn bad_value(&self, leaf: &Leaf, why: impl Into<String>) -> Problem {
        let found = leaf.given.clone();
        self.problem(
            leaf,
            Fault::BadValue {
                found,
                why: why.into(),
            },
        )
    }
}

/// Checks one document of a text. A mapping may hold sections of several kinds; each kind is one
/// [`Document`].
pub(crate) fn check(
    source: &str,
    node: &Node,
    next_id: &mut usize,
    problems: &mut Problems,
) -> Vec<Document> {
    let mut documents: Vec<Document> = Vec::new();
    let mut walk = Walk {
        source,
        next_id,
        problems,
        leaves: Vec::new(),
    };
    if !matches!(node.value, Value::Map(_)) {
        walk.wrong_type("", node, "a mapping with the settings of a document");
        return documents;
    }
    for entry in node.entries() {
        let Some(section) = section_of(entry, node) else {
            let known = sections().map(|section| section.key);
            let meant = nearest(&entry.key, known);
            walk.unknown(&entry.key, entry.place, meant);
            continue;
        };
        walk.walk(&entry.key, &section.shape, &entry.node, None);
        let leaves = std::mem::take(&mut walk.leaves);
        match documents
            .iter_mut()
            .find(|known| known.kind == section.kind)
        {
            Some(document) => document.leaves.extend(leaves),
            None => documents.push(Document {
                kind: section.kind,
                source: source.to_owned(),
                leaves,
            }),
        }
    }
    documents
}

/// Names that users choose are no longer.
const NAME_MAX: usize = 128;

struct Walk<'a> {
    source: &'a str,
    next_id: &'a mut usize,
    problems: &'a mut Problems,
    leaves: Vec<Leaf>,
}

impl Walk<'_> {
    fn walk(&mut self, path: &str, shape: &Shape, node: &Node, missing: Option<&'static str>) {
        match (shape, &node.value) {
            (Shape::Later(missing, shape), _) => self.walk(path, shape, node, Some(missing)),
            (Shape::Map(_) | Shape::Each(_), Value::Map(entries)) if entries.is_empty() => {
                self.empty(path, node);
            }
            (Shape::Map(_), Value::Map(_)) => self.fields(path, shape, node, missing),
            (Shape::Each(shape), Value::Map(entries)) => {
                for entry in entries {
                    let below = format!("{path}.{}", entry.key);
                    if is_name(&entry.key) {
                        self.walk(&below, shape, &entry.node, missing);
                    } else {
                        let why = "a name is made of letters, digits, _ and -";
                        self.bad(&below, entry.place, &entry.key, why, None);
                    }
                }
            }
            (Shape::List(_) | Shape::Maps(_), Value::List(items)) if items.is_empty() => {
                self.empty(path, node);
            }
            (Shape::List(of), Value::List(items)) => {
                for (at, item) in items.iter().enumerate() {
                    self.leaf(&format!("{path}[{at}]"), *of, item, missing);
                }
            }
            (Shape::Maps(shape), Value::List(items)) => {
                for (at, item) in items.iter().enumerate() {
                    self.walk(&format!("{path}[{at}]"), shape, item, missing);
                }
            }
            (Shape::One(of), _) => self.leaf(path, *of, node, missing),
            (Shape::Map(_) | Shape::Each(_), _) => self.wrong_type(path, node, "a mapping"),
            (Shape::List(_) | Shape::Maps(_), _) => self.wrong_type(path, node, "a list"),
        }
    }

    fn fields(&mut self, path: &str, shape: &Shape, node: &Node, missing: Option<&'static str>) {
        let Shape::Map(fields) = shape else {
            return;
        };
        for entry in node.entries() {
            let below = format!("{path}.{}", entry.key);
            match fields.iter().find(|field| field.key == entry.key) {
                Some(field) => self.walk(&below, &field.shape, &entry.node, missing),
                None => {
                    let known = fields.iter().map(|field| field.key);
                    let meant = nearest(&entry.key, known);
                    self.unknown(&below, entry.place, meant);
                }
            }
        }
        for field in fields.iter().filter(|field| field.needed) {
            if node.get(field.key).is_none() {
                self.push(path, node.place, Fault::Missing(field.key), None);
            }
        }
    }

    fn leaf(&mut self, path: &str, of: Of, node: &Node, missing: Option<&'static str>) {
        match of.check(node) {
            Ok(setting) => {
                self.leaves.push(Leaf {
                    id: *self.next_id,
                    path: path.to_owned(),
                    place: node.place,
                    given: given(node),
                    setting,
                    missing,
                });
                *self.next_id += 1;
            }
            Err(Wrong::Type(wanted)) => self.wrong_type(path, node, &wanted),
            Err(Wrong::Value(why, meant)) => {
                self.bad(path, node.place, &given(node), &why, meant);
            }
        }
    }

    fn push(&mut self, path: &str, place: Place, fault: Fault, meant: Option<&str>) {
        self.problems.push(Problem {
            source: self.source.to_owned(),
            place,
            path: path.to_owned(),
            fault: Box::new(fault),
            suggestion: meant.map(|meant| format!("did you mean {meant}?")),
        });
    }

    fn unknown(&mut self, path: &str, place: Place, meant: Option<&str>) {
        self.push(path, place, Fault::UnknownKey, meant);
    }

    fn bad(&mut self, path: &str, place: Place, found: &str, why: &str, meant: Option<&str>) {
        let (found, why) = (found.to_owned(), why.to_owned());
        self.push(path, place, Fault::BadValue { found, why }, meant);
    }

    fn empty(&mut self, path: &str, node: &Node) {
        let why = "it is empty, which says nothing: leave it out";
        self.bad(path, node.place, "this", why, None);
    }

    fn wrong_type(&mut self, path: &str, node: &Node, wanted: &str) {
        let (wanted, found) = (wanted.to_owned(), node.kind());
        self.push(path, node.place, Fault::WrongType { wanted, found }, None);
    }
}

fn is_name(text: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    !text.is_empty() && text.len() <= NAME_MAX && text.chars().all(letter)
}

/// A setting as it was written, near enough.
fn given(node: &Node) -> String {
    match &node.value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(it) => it.to_string(),
        Value::Number(it) => it.to_string(),
        Value::Text(it) => it.clone(),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}
