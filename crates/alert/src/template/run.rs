//! Runs the tree of a template.

use std::rc::Rc;

use super::functions::{self, Failed};
use super::node::{Arg, ArgKind, Branch, Command, Node, Number, Pipe, Program};
use super::value::{Alert, Value};
use super::{DEPTH_MAX, OUTPUT_BYTES_MAX, STEPS_MAX, Scope};

/// Why it stopped: where, at what, and why.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) at: usize,
    pub(super) context: String,
    pub(super) message: String,
}

/// How a list of nodes ended.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

pub(super) struct Run<'p> {
    program: &'p Program,
    scope: &'p Scope<'p>,
    out: String,
    variables: Vec<(String, Value)>,
    steps: usize,
    depth: usize,
}

impl<'p> Run<'p> {
    pub(super) fn new(program: &'p Program, scope: &'p Scope<'p>, alert: &Rc<Alert>) -> Self {
        let variables = [
            ("$", Value::Alert(Rc::clone(alert))),
            ("$labels", Value::Labels(Rc::clone(&alert.labels))),
            (
                "$externalLabels",
                Value::Labels(Rc::clone(&alert.external_labels)),
            ),
            ("$externalURL", Value::Text(alert.external_url.clone())),
            ("$value", Value::Float(alert.value)),
        ];
        Self {
            program,
            scope,
            out: String::new(),
            variables: variables
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            steps: 0,
            depth: 0,
        }
    }

    pub(super) fn run(mut self, alert: Rc<Alert>) -> Result<String, Stopped> {
        self.list(&self.program.body, &Value::Alert(alert))?;
        Ok(self.out)
    }

    fn stop<T>(at: usize, context: &str, message: impl Into<String>) -> Result<T, Stopped> {
        Err(Stopped {
            at,
            context: context.to_owned(),
            message: message.into(),
        })
    }

    fn step(&mut self, at: usize, context: &dyn Fn() -> String) -> Result<(), Stopped> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Self::stop(at, &context(), format!("more than {STEPS_MAX} steps"));
        }
        Ok(())
    }

    fn write(
        &mut self,
        text: &str,
        at: usize,
        context: &dyn Fn() -> String,
    ) -> Result<(), Stopped> {
        if self.out.len() + text.len() > OUTPUT_BYTES_MAX {
            let message = format!("more than {OUTPUT_BYTES_MAX} bytes of text");
            return Self::stop(at, &context(), message);
        }
        self.out.push_str(text);
        Ok(())
    }

    /// One level deeper: lists, templates and parentheses take stack.
    fn enter(&mut self, at: usize, context: &dyn Fn() -> String) -> Result<(), Stopped> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Self::stop(at, &context(), "exceeded maximum template depth");
        }
        Ok(())
    }

    fn list(&mut self, nodes: &'p [Node], dot: &Value) -> Result<Flow, Stopped> {
        self.enter(0, &String::new)?;
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::On {
                break;
            }
        }
        self.depth -= 1;
        Ok(flow)
    }

    fn node(&mut self, node: &'p Node, dot: &Value) -> Result<Flow, Stopped> {
        match node {
            Node::Text(text) => self.write(text, 0, &String::new)?,
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    let shown = match value {
                        Value::Nil => "<no value>".to_owned(),
                        value => value.shown(),
                    };
                    self.write(&shown, pipe.at, &|| pipe.to_string())?;
                }
            }
            Node::If(branch) => return self.branch(branch, dot, false),
            Node::With(branch) => return self.branch(branch, dot, true),
            Node::Range(branch) => return self.range(branch, dot),
            Node::Template { at, name, pipe } => {
                let value = match pipe {
                    Some(pipe) => self.pipe(pipe, dot)?,
                    None => Value::Nil,
                };
                self.template(name, &value, *at)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn branch(&mut self, branch: &'p Branch, dot: &Value, sets_dot: bool) -> Result<Flow, Stopped> {
        let mark = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = if !value.is_true() {
            self.list(&branch.otherwise, dot)
        } else if sets_dot {
            self.list(&branch.body, &value)
        } else {
            self.list(&branch.body, dot)
        };
        self.variables.truncate(mark);
        flow
    }

    fn range(&mut self, branch: &'p Branch, dot: &Value) -> Result<Flow, Stopped> {
        let mark = self.variables.len();
        let pipe = &branch.pipe;
        let over = self.commands(pipe, dot)?;
        let items: Vec<(Value, Value)> = match over {
            Value::Samples(samples) => (0_i64..)
                .zip(samples.iter())
                .map(|(index, sample)| (Value::Int(index), Value::Sample(Rc::clone(sample))))
                .collect(),
            Value::Labels(labels) => labels
                .iter()
                .map(|(name, value)| (Value::Text(name.clone()), Value::Text(value.clone())))
                .collect(),
            Value::Map(map) => map
                .iter()
                .map(|(name, value)| (Value::Text(name.clone()), value.clone()))
                .collect(),
            Value::Nil => Vec::new(),
            other => {
                let message = format!("range can't iterate over {}", other.shown());
                return Self::stop(pipe.at, &pipe.to_string(), message);
            }
        };
        if items.is_empty() {
            let flow = self.list(&branch.otherwise, dot);
            self.variables.truncate(mark);
            return flow;
        }
        for (key, item) in items {
            self.step(pipe.at, &|| pipe.to_string())?;
            let item_mark = self.variables.len();
            match pipe.variables.as_slice() {
                [item_name] => self.set(item_name, item.clone(), pipe.is_assignment),
                [key_name, item_name] => {
                    self.set(key_name, key, pipe.is_assignment);
                    self.set(item_name, item.clone(), pipe.is_assignment);
                }
                _ => {}
            }
            let flow = self.list(&branch.body, &item)?;
            self.variables.truncate(item_mark);
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(mark);
        Ok(Flow::On)
    }

    /// Runs a template by its name; its variables are its own.
    fn template(&mut self, name: &str, value: &Value, at: usize) -> Result<(), Stopped> {
        let Some(body) = self.program.defined.get(name) else {
            let context = format!("{{{{template {name:?}}}}}");
            return Self::stop(at, &context, format!("template {name:?} not defined"));
        };
        self.enter(at, &|| format!("{{{{template {name:?}}}}}"))?;
        self.step(at, &|| name.to_owned())?;
        let dollar = vec![("$".to_owned(), value.clone())];
        let before = std::mem::replace(&mut self.variables, dollar);
        self.list(body, value)?;
        self.variables = before;
        self.depth -= 1;
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value, is_assignment: bool) {
        let known = self.variables.iter_mut().rev();
        let place = known
            .filter(|_| is_assignment)
            .find(|(known, _)| known == name);
        match place {
            Some((_, held)) => *held = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipe(&mut self, pipe: &'p Pipe, dot: &Value) -> Result<Value, Stopped> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            self.set(name, value.clone(), pipe.is_assignment);
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &'p Pipe, dot: &Value) -> Result<Value, Stopped> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or(Value::Nil))
    }

    fn command(
        &mut self,
        command: &'p Command,
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, Stopped> {
        let Some((first, rest)) = command.args.split_first() else {
            return Ok(Value::Nil);
        };
        self.step(first.at, &|| command.to_string())?;
        let is_last = rest.is_empty() && piped.is_none();
        match &first.kind {
            ArgKind::Function(name) => self.function(name, first.at, command, dot, piped),
            ArgKind::Nil => Self::stop(first.at, "nil", "nil is not a command"),
            _ if is_last => self.arg(first, dot),
            ArgKind::Field(_) | ArgKind::Variable(..) | ArgKind::Chain(..) => {
                let shown = first.to_string();
                let message = format!("{shown} has arguments but cannot be invoked as function");
                Self::stop(first.at, &shown, message)
            }
            _ => {
                let shown = first.to_string();
                let message = format!("can't give argument to non-function {shown}");
                Self::stop(first.at, &shown, message)
            }
        }
    }

    fn function(
        &mut self,
        name: &str,
        at: usize,
        command: &'p Command,
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, Stopped> {
        let given = command.args.get(1..).unwrap_or_default();
        let context = || command.to_string();
        functions::check_count(name, given.len() + usize::from(piped.is_some()))
            .or_else(|message| Self::stop(at, name, message))?;
        if name == "and" || name == "or" {
            // Only what decides is looked at.
            let mut value = Value::Nil;
            for arg in given {
                value = self.arg(arg, dot)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(piped.unwrap_or(value));
        }
        let mut args = Vec::with_capacity(given.len() + 1);
        for arg in given {
            args.push(self.arg(arg, dot)?);
        }
        args.extend(piped);
        if name == "tmpl" {
            return self.computed(&args, at, &context());
        }
        match functions::call(name, &args, self.scope) {
            Ok(Value::Text(text)) if text.len() > OUTPUT_BYTES_MAX => {
                let message = format!("more than {OUTPUT_BYTES_MAX} bytes of text");
                Self::stop(at, &context(), message)
            }
            Ok(value) => Ok(value),
            Err(Failed::Arg(index, expected)) => {
                let value = args.get(index).unwrap_or(&Value::Nil);
                match given.get(index) {
                    Some(arg) => Self::stop(arg.at, &arg.to_string(), wrong(arg, value, expected)),
                    None => Self::stop(at, &context(), wrong_value(value, expected)),
                }
            }
            Err(Failed::Called(message)) => {
                Self::stop(at, &context(), format!("error calling {name}: {message}"))
            }
        }
    }

    /// `tmpl`: what a template of a computed name writes, as a value.
    fn computed(&mut self, args: &[Value], at: usize, context: &str) -> Result<Value, Stopped> {
        let [Value::Text(name), value] = args else {
            return Self::stop(at, context, "wrong type for value; expected string");
        };
        let before = std::mem::take(&mut self.out);
        self.template(name, value, at)?;
        Ok(Value::Text(std::mem::replace(&mut self.out, before)))
    }

    fn arg(&mut self, arg: &'p Arg, dot: &Value) -> Result<Value, Stopped> {
        Ok(match &arg.kind {
            ArgKind::Dot => dot.clone(),
            ArgKind::Nil => Value::Nil,
            ArgKind::Bool(value) => Value::Bool(*value),
            ArgKind::Number { value, .. } => match value {
                Number::Int(value) => Value::Int(*value),
                Number::Float(value) => Value::Float(*value),
            },
            ArgKind::Text { value, .. } => Value::Text(value.clone()),
            ArgKind::Function(name) => {
                functions::check_count(name, 0)
                    .or_else(|message| Self::stop(arg.at, name, message))?;
                match functions::call(name, &[], self.scope) {
                    Ok(value) => value,
                    Err(Failed::Arg(_, message)) => return Self::stop(arg.at, name, message),
                    Err(Failed::Called(message)) => return Self::stop(arg.at, name, message),
                }
            }
            ArgKind::Field(names) => fields(dot.clone(), names, arg)?,
            ArgKind::Variable(name, names) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = found.map_or(Value::Nil, |(_, value)| value.clone());
                fields(value, names, arg)?
            }
            ArgKind::Pipe(pipe) => {
                self.enter(arg.at, &|| arg.to_string())?;
                let value = self.pipe(pipe, dot)?;
                self.depth -= 1;
                value
            }
            ArgKind::Chain(of, names) => {
                let value = self.arg(of, dot)?;
                fields(value, names, arg)?
            }
        })
    }
}

/// That an argument is of a wrong type, in Go's words for constants and for values.
fn wrong(arg: &Arg, value: &Value, expected: &str) -> String {
    let is_constant = matches!(
        arg.kind,
        ArgKind::Bool(_) | ArgKind::Number { .. } | ArgKind::Text { .. } | ArgKind::Nil
    );
    match (is_constant, expected) {
        (true, "string") => format!("expected string; found {arg}"),
        (true, expected) => format!("can't handle {arg} for arg of type {expected}"),
        (false, expected) => wrong_value(value, expected),
    }
}

fn wrong_value(value: &Value, expected: &str) -> String {
    let got = value.type_name();
    format!("wrong type for value; expected {expected}; got {got}")
}

/// Follows `.name.name` from a value.
fn fields(mut value: Value, names: &[String], arg: &Arg) -> Result<Value, Stopped> {
    // Go points to the first field of a variable.
    let at = match &arg.kind {
        ArgKind::Variable(variable, _) => arg.at + variable.len(),
        _ => arg.at,
    };
    for name in names {
        value = field(&value, name).or_else(|message| Run::stop(at, &arg.to_string(), message))?;
    }
    Ok(value)
}

fn field(value: &Value, name: &str) -> Result<Value, String> {
    let found = match value {
        Value::Alert(alert) => match name {
            "Labels" => Some(Value::Labels(Rc::clone(&alert.labels))),
            "ExternalLabels" => Some(Value::Labels(Rc::clone(&alert.external_labels))),
            "ExternalURL" => Some(Value::Text(alert.external_url.clone())),
            "Value" => Some(Value::Float(alert.value)),
            _ => None,
        },
        // As with Prometheus' `missingkey=zero`.
        Value::Labels(labels) => Some(Value::Text(labels.get(name).cloned().unwrap_or_default())),
        Value::Map(map) => Some(map.get(name).cloned().unwrap_or(Value::Nil)),
        Value::Sample(sample) => match name {
            "Labels" => Some(Value::Labels(Rc::new(sample.labels.clone()))),
            "Value" => Some(Value::Float(sample.value)),
            _ => None,
        },
        Value::Time(millis) => super::time::part(*millis, name).map(Value::Int),
        Value::Nil => return Err(format!("nil data; no entry for key {name:?}")),
        _ => None,
    };
    found.ok_or_else(|| format!("can't evaluate field {name} in type {}", value.type_name()))
}
