//! Tokens into a tree, with Go's checks: functions and variables must be known.

use super::lex::{Fault, Placed, Token, tokens};
use super::node::{Arg, ArgKind, Branch, Command, Node, Pipe, Program};
use super::{functions, number};

/// Most levels of actions and parentheses inside each other; people write three.
const DEPTH_MAX: usize = 40;

/// The variables that Prometheus sets before a template begins.
const GIVEN: [&str; 5] = ["$", "$labels", "$externalLabels", "$externalURL", "$value"];

pub(super) fn parse(text: &str) -> Result<Program, Fault> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        end: text.len(),
        variables: GIVEN.map(str::to_owned).to_vec(),
        depth: 0,
        loops: 0,
        program: Program::default(),
    };
    let (body, end) = parser.list(true)?;
    match end {
        End::OfText => {
            parser.program.body = body;
            Ok(parser.program)
        }
        End::Word(at, word) => Err(Fault::new(at, format!("unexpected {{{{{word}}}}}"))),
    }
}

/// What a list of nodes ended at.
enum End {
    OfText,
    /// `end` or `else`, behind which the parser stands.
    Word(usize, &'static str),
}

struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    end: usize,
    variables: Vec<String>,
    depth: usize,
    loops: usize,
    program: Program,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|placed| &placed.token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |it| it.at)
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol)
    }

    fn is_spaced(&self) -> bool {
        self.tokens.get(self.next).is_none_or(|it| it.is_spaced)
    }

    fn close(&mut self, of: &str) -> Result<(), Fault> {
        if self.peek() == Some(&Token::Close) {
            self.next += 1;
            return Ok(());
        }
        Err(self.unexpected(of))
    }

    fn unexpected(&self, of: &str) -> Fault {
        let found = match self.peek() {
            None => "EOF".to_owned(),
            Some(token) => match token {
                Token::Text(text) => format!("{text:?}"),
                Token::Open => "{{".to_owned(),
                Token::Close => "\"}}\"".to_owned(),
                Token::Dot => "<.>".to_owned(),
                Token::Field(name) => format!("<.{name}>"),
                Token::Variable(name) => format!("{name:?}"),
                Token::Word(word) => format!("<{word}>"),
                Token::Number(text) => format!("{text:?}"),
                Token::Quoted(quoted, _) => format!("{quoted:?}"),
                Token::Symbol(symbol) => format!("{symbol:?}"),
            },
        };
        Fault::new(self.at(), format!("unexpected {found} in {of}"))
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Fault::new(
                self.at(),
                format!("more than {DEPTH_MAX} levels inside each other"),
            ));
        }
        Ok(())
    }

    /// Nodes up to the end of the text, an `end` or an `else`.
    fn list(&mut self, is_top: bool) -> Result<(Vec<Node>, End), Fault> {
        self.enter()?;
        let mut nodes = Vec::new();
        loop {
            let at = self.at();
            match self.tokens.get(self.next).map(|it| it.token.clone()) {
                None if is_top => {
                    self.depth -= 1;
                    return Ok((nodes, End::OfText));
                }
                None => return Err(Fault::new(at, "unexpected EOF")),
                Some(Token::Text(text)) => {
                    self.next += 1;
                    nodes.push(Node::Text(text));
                }
                Some(_) => {
                    self.next += 1;
                    let word = match self.peek() {
                        Some(Token::Word(word)) => word.clone(),
                        _ => String::new(),
                    };
                    let ends = ["end", "else"].into_iter().find(|end| *end == word);
                    if let Some(end) = ends {
                        self.next += 1;
                        self.depth -= 1;
                        return Ok((nodes, End::Word(at, end)));
                    }
                    if let Some(node) = self.action(&word, at)? {
                        nodes.push(node);
                    }
                }
            }
        }
    }

    fn action(&mut self, word: &str, at: usize) -> Result<Option<Node>, Fault> {
        let keyword = ["if", "with", "range", "template", "block", "define"].contains(&word);
        if keyword || word == "break" || word == "continue" {
            self.next += 1;
        }
        Ok(match word {
            "if" => Some(Node::If(self.branch("if")?)),
            "with" => Some(Node::With(self.branch("with")?)),
            "range" => Some(Node::Range(self.branch("range")?)),
            "template" => Some(self.template("template clause")?),
            "block" => {
                let node = self.template("block clause")?;
                let Node::Template { name, .. } = &node else {
                    return Ok(Some(node));
                };
                self.define(name.clone())?;
                Some(node)
            }
            "define" => {
                let name = self.name("define clause")?;
                self.close("define clause")?;
                self.define(name)?;
                None
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return Err(Fault::new(
                        at,
                        format!("{{{{{word}}}}} outside {{{{range}}}}"),
                    ));
                }
                self.close(&format!("{{{{{word}}}}}"))?;
                Some(if word == "break" {
                    Node::Break
                } else {
                    Node::Continue
                })
            }
            _ => {
                let pipe = self.pipe("command", true)?;
                self.close("command")?;
                Some(Node::Action(pipe))
            }
        })
    }

    fn name(&mut self, of: &str) -> Result<String, Fault> {
        let Some(Token::Quoted(_, name)) = self.peek().cloned() else {
            return Err(self.unexpected(of));
        };
        self.next += 1;
        Ok(name)
    }

    fn template(&mut self, of: &str) -> Result<Node, Fault> {
        let at = self.at();
        let name = self.name(of)?;
        let pipe = if self.peek() == Some(&Token::Close) {
            None
        } else {
            Some(self.pipe(of, true)?)
        };
        self.close(of)?;
        Ok(Node::Template { at, name, pipe })
    }

    /// The body of a `define` or `block`; its variables are its own.
    fn define(&mut self, name: String) -> Result<(), Fault> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, end) = self.list(false)?;
        match end {
            End::Word(_, "end") => self.close("end")?,
            End::Word(at, _) => return Err(Fault::new(at, "unexpected {{else}} in define clause")),
            End::OfText => return Err(Fault::new(self.end, "unexpected EOF")),
        }
        self.variables = variables;
        self.loops = loops;
        self.program.defined.insert(name, body);
        Ok(())
    }

    fn branch(&mut self, of: &'static str) -> Result<Box<Branch>, Fault> {
        self.enter()?;
        let scope = self.variables.len();
        let pipe = self.pipe(of, true)?;
        self.close(of)?;
        let is_loop = usize::from(of == "range");
        self.loops += is_loop;
        let (body, end) = self.list(false)?;
        self.loops -= is_loop;
        let mut otherwise = Vec::new();
        if let End::Word(at, "else") = end {
            // `else if` and `else with` are one branch inside the other, and end with it.
            match self.peek() {
                Some(Token::Word(word)) if word == "if" && of == "if" => {
                    self.next += 1;
                    otherwise.push(Node::If(self.branch("if")?));
                }
                Some(Token::Word(word)) if word == "with" && of == "with" => {
                    self.next += 1;
                    otherwise.push(Node::With(self.branch("with")?));
                }
                _ => {
                    self.close("else")?;
                    let (nodes, end) = self.list(false)?;
                    let End::Word(_, "end") = end else {
                        return Err(Fault::new(at, "expected end; found {{else}}"));
                    };
                    otherwise = nodes;
                    self.close("end")?;
                }
            }
        } else {
            self.close("end")?;
        }
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Box::new(Branch {
            pipe,
            body,
            otherwise,
        }))
    }

    /// A pipeline up to what ends it, which stays.
    fn pipe(&mut self, of: &str, may_declare: bool) -> Result<Pipe, Fault> {
        self.enter()?;
        let at = self.at();
        let (variables, is_assignment) = if may_declare {
            self.declared(of)?
        } else {
            (Vec::new(), false)
        };
        let mut commands = Vec::new();
        loop {
            let command = self.command(of)?;
            if commands.is_empty() && command.args.is_empty() {
                return Err(Fault::new(self.at(), format!("missing value for {of}")));
            }
            commands.push(command);
            if !self.is_symbol("|") {
                break;
            }
            self.next += 1;
        }
        for command in commands.iter().skip(1) {
            let is_function = |arg: &Arg| {
                matches!(
                    arg.kind,
                    ArgKind::Function(_)
                        | ArgKind::Field(_)
                        | ArgKind::Variable(..)
                        | ArgKind::Chain(..)
                )
            };
            if !command.args.first().is_some_and(is_function) {
                let shown = command.to_string();
                let message = format!("non executable command in pipeline stage 2: {shown}");
                return Err(Fault::new(at, message));
            }
        }
        if !is_assignment {
            self.variables.extend(variables.iter().cloned());
        }
        self.depth -= 1;
        Ok(Pipe {
            at,
            variables,
            is_assignment,
            commands,
        })
    }

    /// `$a :=`, `$a, $b :=` or `$a =`, if the pipeline begins so.
    fn declared(&mut self, of: &str) -> Result<(Vec<String>, bool), Fault> {
        let variable = |parser: &Self, ahead: usize| match parser.tokens.get(parser.next + ahead) {
            Some(Placed {
                token: Token::Variable(name),
                ..
            }) => Some(name.clone()),
            _ => None,
        };
        let symbol = |parser: &Self, ahead: usize| match parser.tokens.get(parser.next + ahead) {
            Some(Placed {
                token: Token::Symbol(symbol),
                ..
            }) => *symbol,
            _ => "",
        };
        let Some(first) = variable(self, 0) else {
            return Ok((Vec::new(), false));
        };
        let (names, length) = match (symbol(self, 1), variable(self, 2)) {
            (":=" | "=", _) => (vec![first], 1),
            (",", Some(second)) if of == "range" && [":=", "="].contains(&symbol(self, 3)) => {
                (vec![first, second], 3)
            }
            _ => return Ok((Vec::new(), false)),
        };
        let is_assignment = symbol(self, length) == "=";
        if is_assignment {
            for name in &names {
                self.known(name, self.at())?;
            }
        }
        self.next += length + 1;
        Ok((names, is_assignment))
    }

    fn known(&self, name: &str, at: usize) -> Result<(), Fault> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(Fault::new(at, format!("undefined variable {name:?}")))
    }

    fn command(&mut self, of: &str) -> Result<Command, Fault> {
        let mut args = Vec::new();
        while let Some(arg) = self.operand()? {
            args.push(arg);
        }
        if args.is_empty() {
            return Err(match self.peek() {
                Some(Token::Close) | None => {
                    Fault::new(self.at(), format!("missing value for {of}"))
                }
                Some(_) => self.unexpected(of),
            });
        }
        Ok(Command { args })
    }

    /// An operand with the fields behind it; none where the command ends.
    fn operand(&mut self) -> Result<Option<Arg>, Fault> {
        let at = self.at();
        let Some(token) = self.peek().cloned() else {
            return Ok(None);
        };
        let kind = match token {
            Token::Dot => {
                // It may be the whole alert, which shows its value.
                self.program.uses_value = true;
                ArgKind::Dot
            }
            Token::Field(name) => {
                self.program.uses_value |= name == "Value";
                ArgKind::Field(vec![name])
            }
            Token::Variable(name) => {
                self.known(&name, at)?;
                self.program.uses_value |= name == "$value" || name == "$";
                ArgKind::Variable(name, Vec::new())
            }
            Token::Number(text) => {
                let value = number::read(&text)
                    .ok_or_else(|| Fault::new(at, format!("bad number syntax: {text:?}")))?;
                ArgKind::Number { text, value }
            }
            Token::Quoted(quoted, value) => ArgKind::Text { quoted, value },
            Token::Word(word) => self.word(&word, at)?,
            Token::Symbol("(") => {
                self.next += 1;
                let pipe = self.pipe("parenthesized pipeline", false)?;
                if !self.is_symbol(")") {
                    return Err(self.unexpected("parenthesized pipeline"));
                }
                ArgKind::Pipe(pipe)
            }
            _ => return Ok(None),
        };
        self.next += 1;
        self.with_fields(Arg { at, kind }).map(Some)
    }

    fn word(&mut self, word: &str, at: usize) -> Result<ArgKind, Fault> {
        Ok(match word {
            "true" => ArgKind::Bool(true),
            "false" => ArgKind::Bool(false),
            "nil" => ArgKind::Nil,
            word if functions::is_known(word) => {
                // What a computed template does is not known before.
                let depends = ["query", "now", "tmpl"].contains(&word);
                self.program.uses_queries |= depends;
                ArgKind::Function(word.to_owned())
            }
            _ => {
                return Err(Fault::new(at, format!("function {word:?} not defined")));
            }
        })
    }

    fn with_fields(&mut self, arg: Arg) -> Result<Arg, Fault> {
        let mut names = Vec::new();
        while !self.is_spaced()
            && let Some(Token::Field(name)) = self.peek().cloned()
        {
            self.program.uses_value |= name == "Value";
            names.push(name);
            self.next += 1;
        }
        if names.is_empty() {
            return Ok(arg);
        }
        let Arg { at, kind } = arg;
        let kind = match kind {
            ArgKind::Field(mut before) => {
                before.extend(names);
                ArgKind::Field(before)
            }
            ArgKind::Variable(name, _) => ArgKind::Variable(name, names),
            ArgKind::Bool(_) | ArgKind::Number { .. } | ArgKind::Text { .. } | ArgKind::Nil => {
                let message = format!("unexpected . after term {:?}", Arg { at, kind }.to_string());
                return Err(Fault::new(at, message));
            }
            kind => ArgKind::Chain(Box::new(Arg { at, kind }), names),
        };
        Ok(Arg { at, kind })
    }
}
