//! A text as documents of places and values. YAML 1.2, of which JSON is a part.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, Options, Spanned};

use crate::problem::{Fault, Place, Problem};

/// Most bytes of one text; the fifteen documents of the specification are 14 KiB together.
pub const BYTES_MAX: usize = 1 << 20;
/// Deepest nesting. The specification goes six deep.
pub const DEPTH_MAX: usize = 16;
/// Most documents in one text.
pub const DOCUMENTS_MAX: usize = 64;
/// Most values and keys in one text. The specification has some 900; some of the work grows with the
/// square of what one document has.
pub const NODES_MAX: usize = 20_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Node {
    /// The value of a key, where this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.node)
    }

    /// The entries, where this is a mapping.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What it is, in words.
    pub(crate) fn kind(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(it) => format!("{it}"),
            Value::Number(it) => format!("the number {it}"),
            Value::Text(it) => format!("the text {it:?}"),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// Reads all documents of a text; empty ones are left out.
pub(crate) fn read(source: &str, text: &str) -> Result<Vec<Node>, Problem> {
    let problem = |place, why: String| Problem {
        source: source.to_owned(),
        place,
        path: String::new(),
        fault: Box::new(Fault::Unreadable(why)),
        suggestion: None,
    };
    if text.len() > BYTES_MAX {
        let why = format!("it has {} bytes, more than {BYTES_MAX}", text.len());
        return Err(problem(Place::default(), why));
    }
    let documents: Vec<Node> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| {
            let place = error.location().map(place).unwrap_or_default();
            let whole = error.without_snippet().to_string();
            // The place is said apart, and how the reader could be set is nobody's matter.
            let first = whole.lines().next().unwrap_or_default();
            let first = first.split(" at line ").next().unwrap_or(first);
            let first = first.split(", set ").next().unwrap_or(first);
            problem(place, first.to_owned())
        })?;
    Ok(documents
        .into_iter()
        .filter(|document| document.value != Value::Null)
        .collect())
}

/// Everything bounded, and nothing that lets a short text stand for a long one.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_documents: DOCUMENTS_MAX,
            max_nodes: NODES_MAX,
            max_events: 4 * NODES_MAX,
            max_aliases: 100,
            max_anchors: 100,
            max_total_scalar_bytes: BYTES_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    }
}

fn place(location: Location) -> Place {
    let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
    Place {
        line: small(location.line()),
        column: small(location.column()),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            place: place(spanned.referenced),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "no setting counts to 2^53; a threshold is a float in the end"
    )]
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "no setting counts to 2^53; a threshold is a float in the end"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let node = access.next_value()?;
            entries.push(Entry {
                key: key.value,
                place: place(key.referenced),
                node,
            });
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        read("a.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn yaml_and_json_give_the_same_and_know_their_places() {
        let yaml = read("a", "a:\n  b: 5m\n  c:\n  - 1\n  - true\n  d: none\n").unwrap();
        let json = read("a", r#"{"a": {"b": "5m", "c": [1, true], "d": "none"}}"#).unwrap();
        let c = yaml[0].get("a").and_then(|a| a.get("c")).unwrap();
        let Value::List(items) = &c.value else {
            panic!("no list");
        };
        assert_eq!(items[1].place, Place { line: 5, column: 5 });
        assert_eq!(items[1].value, Value::Bool(true));
        let d = json[0].get("a").and_then(|a| a.get("d")).unwrap();
        assert_eq!(d.value, Value::Text("none".to_owned()));
        let entry = &yaml[0].get("a").unwrap().entries()[1];
        assert_eq!((entry.key.as_str(), entry.place.line), ("c", 3));
    }

    #[test]
    fn several_documents_are_several_and_empty_ones_none() {
        assert_eq!(read("a", "a: 1\n---\n---\nb: 2\n").unwrap().len(), 2);
        assert_eq!(read("a", "").unwrap().len(), 0);
        assert_eq!(read("a", "# nothing\n").unwrap().len(), 0);
    }

    #[test]
    fn what_is_no_document_or_beyond_a_bound_is_said_with_its_place() {
        assert!(wrong("a: [1").starts_with("a.yaml:"), "{}", wrong("a: [1"));
        assert!(
            wrong("a: 1\na: 2\n").contains("a.yaml:2:1"),
            "{}",
            wrong("a: 1\na: 2\n")
        );
        assert!(wrong(&"[".repeat(100)).contains("a.yaml"));
        assert!(wrong(&"a: 1\n---\n".repeat(100)).contains("a.yaml"));
        assert!(wrong(&"x".repeat(BYTES_MAX + 1)).contains("more than"));
        assert!(wrong(&format!("a: [{}]", "1,".repeat(NODES_MAX))).contains("a.yaml"));
        assert!(wrong("<<: {a: 1}").contains("a.yaml"));
    }
}
