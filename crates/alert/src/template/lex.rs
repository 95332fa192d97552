//! A template's text into tokens.

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Text outside actions.
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// `.`
    Dot,
    /// `.name`
    Field(String),
    /// `$name`, or `$`.
    Variable(String),
    /// A word.
    Word(String),
    /// A number or a character constant as written.
    Number(String),
    /// A string literal: as written, and what it says.
    Quoted(String, String),
    /// `|`, `(`, `)`, `,`, `=` or `:=`.
    Symbol(&'static str),
}

/// A token, where it begins, and whether a blank stands before it.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) at: usize,
    pub(super) is_spaced: bool,
}

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, Fault> {
    let mut lexer = Lexer {
        text,
        at: 0,
        tokens: Vec::new(),
    };
    let mut trims = false;
    loop {
        let rest = lexer.rest();
        let end = rest.find("{{").unwrap_or(rest.len());
        let (before, action) = rest.split_at(end);
        let trims_before = action.get(2..).is_some_and(begins_with_trim);
        let mut kept = before;
        if trims {
            kept = kept.trim_start_matches(SPACES);
        }
        if trims_before {
            kept = kept.trim_end_matches(SPACES);
        }
        if !kept.is_empty() {
            lexer.push(Token::Text(kept.to_owned()), lexer.at, false);
        }
        lexer.at += end;
        if action.is_empty() {
            return Ok(lexer.tokens);
        }
        let open = lexer.at;
        lexer.at += if trims_before { 3 } else { 2 };
        trims = lexer.action(open)?;
    }
}

/// Whether what follows `{{` is a dash and a blank.
fn begins_with_trim(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(SPACES))
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Placed>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, token: Token, at: usize, is_spaced: bool) {
        self.tokens.push(Placed {
            token,
            at,
            is_spaced,
        });
    }

    /// The inside of an action and its end; whether the end takes the blanks behind it.
    fn action(&mut self, open: usize) -> Result<bool, Fault> {
        let after = self.rest().trim_start_matches(SPACES);
        if after.starts_with("/*") {
            return self.comment(open);
        }
        self.push(Token::Open, open, false);
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches(SPACES);
            let is_spaced = trimmed.len() < rest.len();
            self.at += rest.len() - trimmed.len();
            let at = self.at;
            if is_spaced && trimmed.starts_with("-}}") {
                self.at += 3;
                self.push(Token::Close, at, true);
                return Ok(true);
            }
            if trimmed.starts_with("}}") {
                self.at += 2;
                self.push(Token::Close, at, is_spaced);
                return Ok(false);
            }
            let (token, length) = token(trimmed).map_err(|message| Fault::new(at, message))?;
            self.at += length;
            self.push(token, at, is_spaced);
        }
    }

    fn comment(&mut self, open: usize) -> Result<bool, Fault> {
        let rest = self.rest();
        let end = rest
            .find("*/")
            .ok_or_else(|| Fault::new(open, "unclosed comment"))?;
        let after = rest.get(end + 2..).unwrap_or_default();
        let trimmed = after.trim_start_matches(SPACES);
        let trims = trimmed.len() < after.len() && trimmed.starts_with("-}}");
        if !trims && !after.starts_with("}}") {
            return Err(Fault::new(open, "comment ends before closing delimiter"));
        }
        self.at += rest.len() - if trims { trimmed.len() } else { after.len() };
        self.at += if trims { 3 } else { 2 };
        Ok(trims)
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn word_length(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// The token that a text begins with, and its length.
fn token(text: &str) -> Result<(Token, usize), String> {
    let mut chars = text.chars();
    let first = chars.next().ok_or("unclosed action")?;
    let second = chars.next().unwrap_or(' ');
    let word_after = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        let length = word_length(rest);
        (rest.get(..length).unwrap_or_default().to_owned(), length)
    };
    Ok(match first {
        '|' => (Token::Symbol("|"), 1),
        '(' => (Token::Symbol("("), 1),
        ')' => (Token::Symbol(")"), 1),
        ',' => (Token::Symbol(","), 1),
        '=' => (Token::Symbol("="), 1),
        ':' if second == '=' => (Token::Symbol(":="), 2),
        ':' => return Err("expected :=".to_owned()),
        '"' | '`' => {
            let (value, length) = query::string_literal(text)
                .map_err(|message| format!("bad string in action: {message}"))?;
            let quoted = text.get(..length).unwrap_or_default().to_owned();
            (Token::Quoted(quoted, value), length)
        }
        '\'' => {
            let (_, length) = query::string_literal(text)
                .map_err(|_unclosed| "unterminated character constant".to_owned())?;
            let quoted = text.get(..length).unwrap_or_default().to_owned();
            (Token::Number(quoted), length)
        }
        '$' => {
            let (name, length) = word_after(1);
            (Token::Variable(format!("${name}")), length + 1)
        }
        '.' if second.is_ascii_digit() => number(text),
        '.' => {
            let (name, length) = word_after(1);
            if length == 0 {
                (Token::Dot, 1)
            } else {
                (Token::Field(name), length + 1)
            }
        }
        '+' | '-' | '0'..='9' => number(text),
        c if is_word(c) => {
            let (word, length) = word_after(0);
            (Token::Word(word), length)
        }
        c => return Err(format!("unexpected {c:?} in action")),
    })
}

fn number(text: &str) -> (Token, usize) {
    let bytes = text.as_bytes();
    let is_hex = bytes.iter().any(|byte| matches!(byte, b'x' | b'X'));
    let mut end = 1;
    while let Some(&byte) = bytes.get(end) {
        let is_exponent_sign = matches!(byte, b'+' | b'-')
            && matches!(bytes[end - 1], b'e' | b'E' | b'p' | b'P')
            && !(is_hex && matches!(bytes[end - 1], b'e' | b'E'));
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || is_exponent_sign) {
            break;
        }
        end += 1;
    }
    (
        Token::Number(text.get(..end).unwrap_or_default().to_owned()),
        end,
    )
}
