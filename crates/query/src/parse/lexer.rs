//! Text into tokens.

use super::Fault;
use super::ast::Text;
use super::literal;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    End,
    /// A name or a keyword; the grammar tells them apart by place.
    Word(&'a str),
    Number(f64),
    /// A duration literal in milliseconds.
    Millis(i64),
    Text(Text),
    /// Punctuation and operators.
    Symbol(&'static str),
}

impl Token<'_> {
    /// How an error names it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::End => "end of input".to_owned(),
            Self::Word(word) => format!("identifier {word:?}"),
            Self::Number(number) => format!("number \"{number}\""),
            Self::Millis(millis) => format!("duration \"{millis}ms\""),
            Self::Text(text) => format!("string {:?}", text.value),
            Self::Symbol(symbol) => match *symbol {
                "(" => "left parenthesis \"(\"".to_owned(),
                ")" => "right parenthesis \")\"".to_owned(),
                "{" => "\"{\"".to_owned(),
                "[" => "\"[\"".to_owned(),
                symbol => format!("{symbol:?}"),
            },
        }
    }
}

/// Longest first, so that `==` is not read as `=` twice.
const SYMBOLS: [&str; 24] = [
    "==", "=~", "!=", "!~", "<=", ">=", "(", ")", "{", "}", "[", "]", ",", ":", "@", "+", "-", "*",
    "/", "%", "^", "=", "<", ">",
];

/// Reads tokens one by one.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Byte offset of what is next.
    pub(super) at: usize,
    /// Inside brackets a colon separates range and step; elsewhere it may begin a metric name.
    in_brackets: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            in_brackets: false,
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// Whether a parenthesis opens next.
    pub(super) fn opens(&self) -> bool {
        self.rest().trim_start().starts_with('(')
    }

    /// Skips blanks and comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// The next token and where it starts.
    pub(super) fn next(&mut self) -> Result<(Token<'a>, usize), Fault> {
        self.skip_blank();
        let start = self.at;
        let rest = self.rest();
        let Some(&first) = rest.as_bytes().first() else {
            return Ok((Token::End, start));
        };
        let token = match first {
            b'"' | b'\'' | b'`' => {
                let (text, length) =
                    literal::text(rest).map_err(|message| Fault::new(start, message))?;
                self.at += length;
                Token::Text(text)
            }
            b'0'..=b'9' => self.number(start)?,
            b'.' if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => self.number(start)?,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            b':' if !self.in_brackets => self.word(),
            _ => self.symbol(start)?,
        };
        Ok((token, start))
    }

    fn word(&mut self) -> Token<'a> {
        let rest = self.rest();
        let colons = !self.in_brackets;
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || (c == ':' && colons)))
            .unwrap_or(rest.len());
        self.at += end;
        let word = rest.get(..end).unwrap_or("");
        if word.eq_ignore_ascii_case("inf") {
            Token::Number(f64::INFINITY)
        } else if word.eq_ignore_ascii_case("nan") {
            Token::Number(f64::NAN)
        } else {
            Token::Word(word)
        }
    }

    fn number(&mut self, start: usize) -> Result<Token<'a>, Fault> {
        let rest = self.rest();
        let end = literal::number_end(rest);
        let word = rest.get(..end).unwrap_or("");
        self.at += end;
        if word.bytes().any(|byte| byte == b'.') || literal::duration(word).is_none() {
            return literal::number(word).map(Token::Number).ok_or_else(|| {
                Fault::new(start, format!("bad number or duration syntax: {word:?}"))
            });
        }
        match literal::duration(word) {
            Some(Some(millis)) => Ok(Token::Millis(millis)),
            _ => Err(Fault::new(start, "duration out of range")),
        }
    }

    fn symbol(&mut self, start: usize) -> Result<Token<'a>, Fault> {
        let rest = self.rest();
        let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) else {
            let found = rest.chars().next().unwrap_or(' ');
            return Err(Fault::new(
                start,
                format!("unexpected character: {found:?}"),
            ));
        };
        self.at += symbol.len();
        match *symbol {
            "[" => self.in_brackets = true,
            "]" => self.in_brackets = false,
            _ => {}
        }
        Ok(Token::Symbol(symbol))
    }
}
