//! The tree of a template.

use std::collections::BTreeMap;
use std::fmt;

/// A parsed template and those defined inside it.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) body: Vec<Node>,
    pub(super) defined: BTreeMap<String, Vec<Node>>,
    /// Whether it looks at the value.
    pub(super) uses_value: bool,
    /// Whether it asks queries or for the time, so that the same labels and value may give another text.
    pub(super) uses_queries: bool,
}

/// One piece.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Template {
        at: usize,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// What has a pipeline, a body and an `else`.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each fed with the value of the one before; and the variables that take the last value.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) at: usize,
    pub(super) variables: Vec<String>,
    /// Whether the variables are set anew rather than declared.
    pub(super) is_assignment: bool,
    pub(super) commands: Vec<Command>,
}

/// A function or a value, and its arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) args: Vec<Arg>,
}

/// One operand.
#[derive(Debug)]
pub(super) struct Arg {
    pub(super) at: usize,
    pub(super) kind: ArgKind,
}

/// What an operand is.
#[derive(Debug)]
pub(super) enum ArgKind {
    Dot,
    Nil,
    Bool(bool),
    Number { text: String, value: Number },
    Text { quoted: String, value: String },
    Function(String),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Pipe(Pipe),
    Chain(Box<Arg>, Vec<String>),
}

/// A constant: as Go does, what has no point and no exponent is an integer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.is_assignment { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{arg}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, names: &[String]| {
            names.iter().try_for_each(|name| write!(f, ".{name}"))
        };
        match &self.kind {
            ArgKind::Dot => f.write_str("."),
            ArgKind::Nil => f.write_str("nil"),
            ArgKind::Bool(value) => write!(f, "{value}"),
            ArgKind::Number { text, .. } => f.write_str(text),
            ArgKind::Text { quoted, .. } => f.write_str(quoted),
            ArgKind::Function(name) => f.write_str(name),
            ArgKind::Field(names) => fields(f, names),
            ArgKind::Variable(name, names) => {
                f.write_str(name)?;
                fields(f, names)
            }
            ArgKind::Pipe(pipe) => write!(f, "({pipe})"),
            ArgKind::Chain(of, names) => {
                match of.kind {
                    ArgKind::Pipe(_) => write!(f, "{of}")?,
                    _ => write!(f, "({of})")?,
                }
                fields(f, names)
            }
        }
    }
}
