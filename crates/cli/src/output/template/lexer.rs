//! Template source → tokens.

use super::{Error, Position};

/// A token of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// Text outside actions.
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// `.` alone.
    Dot,
    /// `.Name`
    Field(String),
    /// `$` or `$name`, without the dollar sign.
    Variable(String),
    /// A function or keyword.
    Identifier(String),
    /// `"…"` or `` `…` ``, unquoted.
    Quoted(String),
    /// `12`, `0x1f`, `'a'`.
    Int(i128),
    /// `1.5`
    Float(f64),
    /// `|`
    Pipe,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// `,`
    Comma,
    /// `(`
    Left,
    /// `)`
    Right,
}

/// A token, where it stands, and whether white space precedes it (`.A.B` is not `.A .B`).
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) position: Position,
    pub(super) spaced: bool,
}

/// Splits the source.
///
/// # Errors
/// An action or literal that is not closed, a character that means nothing.
pub(super) fn tokens(source: &str) -> Result<Vec<Placed>, Error> {
    let mut lexer = Lexer { source, offset: 0, tokens: Vec::new() };
    let mut trim = false;
    while let Some(open) = lexer.rest().find("{{") {
        let (text, after) = lexer.rest().split_at(open);
        let trims_before = after.get(2..).is_some_and(starts_with_trim);
        lexer.text(text, trim, trims_before);
        lexer.offset += open;
        let skip = if trims_before { 3 } else { 2 };
        trim = lexer.action(skip)?;
    }
    let rest = lexer.rest();
    lexer.text(rest, trim, false);
    Ok(lexer.tokens)
}

/// `- ` after `{{`: a minus sign directly followed by white space.
fn starts_with_trim(after: &str) -> bool {
    let mut characters = after.chars();
    characters.next() == Some('-') && characters.next().is_some_and(char::is_whitespace)
}

struct Lexer<'a> {
    source: &'a str,
    offset: usize,
    tokens: Vec<Placed>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.offset..).unwrap_or_default()
    }

    fn position(&self) -> Position {
        let before = self.source.get(..self.offset).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1);
        Position { line, column }
    }

    fn push(&mut self, token: Token, spaced: bool) {
        let position = self.position();
        self.tokens.push(Placed { token, position, spaced });
    }

    fn text(&mut self, text: &str, trim_start: bool, trim_end: bool) {
        let text = if trim_start { text.trim_start() } else { text };
        let text = if trim_end { text.trim_end() } else { text };
        if !text.is_empty() {
            self.push(Token::Text(text.to_owned()), false);
        }
    }

    /// Reads one action from its `{{`; tells whether white space after it is trimmed.
    fn action(&mut self, open: usize) -> Result<bool, Error> {
        let start = self.position();
        self.push(Token::Open, false);
        self.offset += open;
        if self.rest().trim_start().starts_with("/*") {
            return self.comment(start);
        }
        loop {
            let before = self.rest();
            let trimmed = before.trim_start();
            let spaced = trimmed.len() < before.len();
            self.offset += before.len() - trimmed.len();
            if trimmed.starts_with("}}") {
                self.push(Token::Close, spaced);
                self.offset += 2;
                return Ok(false);
            }
            if spaced && trimmed.starts_with("-}}") {
                self.push(Token::Close, spaced);
                self.offset += 3;
                return Ok(true);
            }
            if trimmed.is_empty() {
                return Err(Error::parse(start, "unclosed action"));
            }
            self.token(trimmed, spaced)?;
        }
    }

    fn comment(&mut self, start: Position) -> Result<bool, Error> {
        self.tokens.pop();
        let rest = self.rest();
        let Some(end) = rest.find("*/") else {
            return Err(Error::parse(start, "unclosed comment"));
        };
        let after = rest.get(end + 2..).unwrap_or_default();
        let trims = after.trim_start().starts_with("-}}") && !after.starts_with("-}}");
        let after_space = after.trim_start();
        let close = if trims { "-}}" } else { "}}" };
        if !after_space.starts_with(close) {
            return Err(Error::parse(start, "comment ends before closing delimiter"));
        }
        self.offset = self.source.len() - after_space.len() + close.len();
        Ok(trims)
    }

    fn token(&mut self, rest: &'a str, spaced: bool) -> Result<(), Error> {
        let first = rest.chars().next().unwrap_or_default();
        let (token, length) = match first {
            '"' | '\'' | '`' => self.quoted(rest, first)?,
            '.' if !rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => {
                let name = word(rest.get(1..).unwrap_or_default());
                let token =
                    if name.is_empty() { Token::Dot } else { Token::Field(name.to_owned()) };
                (token, 1 + name.len())
            }
            '$' => {
                let name = word(rest.get(1..).unwrap_or_default());
                (Token::Variable(name.to_owned()), 1 + name.len())
            }
            '0'..='9' | '.' | '+' | '-' => self.number(rest)?,
            _ if first.is_alphabetic() || first == '_' => {
                let name = word(rest);
                (Token::Identifier(name.to_owned()), name.len())
            }
            _ => self.punctuation(rest, first)?,
        };
        self.push(token, spaced);
        self.offset += length;
        Ok(())
    }

    fn punctuation(&self, rest: &str, first: char) -> Result<(Token, usize), Error> {
        Ok(match first {
            '|' => (Token::Pipe, 1),
            ',' => (Token::Comma, 1),
            '(' => (Token::Left, 1),
            ')' => (Token::Right, 1),
            '=' => (Token::Assign, 1),
            ':' if rest.starts_with(":=") => (Token::Declare, 2),
            _ => {
                let message = format!("unexpected {first:?} in command");
                return Err(Error::parse(self.position(), message));
            }
        })
    }

    fn number(&self, rest: &str) -> Result<(Token, usize), Error> {
        let end = rest
            .char_indices()
            .find(|&(at, c)| {
                let sign = matches!(c, '+' | '-')
                    && (at == 0 || matches!(rest.as_bytes().get(at - 1), Some(b'e' | b'E')));
                !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || sign)
            })
            .map_or(rest.len(), |(at, _)| at);
        let text = rest.get(..end).unwrap_or_default();
        parse_number(text)
            .map(|token| (token, end))
            .ok_or_else(|| Error::parse(self.position(), format!("bad number syntax: {text:?}")))
    }

    fn quoted(&self, rest: &str, quote: char) -> Result<(Token, usize), Error> {
        let unclosed = || {
            let what = match quote {
                '`' => "unterminated raw quoted string",
                '"' => "unterminated quoted string",
                _ => "unterminated character constant",
            };
            Error::parse(self.position(), what)
        };
        let body = rest.get(1..).unwrap_or_default();
        if quote == '`' {
            let end = body.find('`').ok_or_else(unclosed)?;
            return Ok((Token::Quoted(body.get(..end).unwrap_or_default().to_owned()), end + 2));
        }
        let (text, length) = unquote(body, quote)
            .map_err(|message| Error::parse(self.position(), message))?
            .ok_or_else(unclosed)?;
        if quote == '"' {
            return Ok((Token::Quoted(text), length + 1));
        }
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => {
                Ok((Token::Int(i128::from(u32::from(character))), length + 1))
            }
            _ => Err(Error::parse(self.position(), "malformed character constant")),
        }
    }
}

fn word(rest: &str) -> &str {
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

fn parse_number(text: &str) -> Option<Token> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let whole = if let Some(hex) = lower.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()
    } else if let Some(octal) = lower.strip_prefix("0o") {
        i128::from_str_radix(octal, 8).ok()
    } else if let Some(binary) = lower.strip_prefix("0b") {
        i128::from_str_radix(binary, 2).ok()
    } else if lower.bytes().all(|digit| digit.is_ascii_digit()) {
        lower.parse().ok()
    } else {
        None
    };
    if let Some(whole) = whole {
        return Some(Token::Int(if negative { -whole } else { whole }));
    }
    let number: f64 = lower.parse().ok().filter(|number: &f64| number.is_finite())?;
    lower.starts_with(|c: char| c.is_ascii_digit() || c == '.').then_some(())?;
    Some(Token::Float(if negative { -number } else { number }))
}

/// The text up to the closing quote with escapes resolved, and the bytes read with that quote;
/// `None` when the quote does not close on this line.
fn unquote(body: &str, quote: char) -> Result<Option<(String, usize)>, String> {
    let mut text = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\n' => return Ok(None),
            _ if character == quote => return Ok(Some((text, at + quote.len_utf8()))),
            '\\' => text.push(escape(&mut characters).ok_or("invalid syntax in quoted string")?),
            _ => text.push(character),
        }
    }
    Ok(None)
}

fn escape(characters: &mut std::str::CharIndices<'_>) -> Option<char> {
    let (_, kind) = characters.next()?;
    let digits = match kind {
        'n' => return Some('\n'),
        't' => return Some('\t'),
        'r' => return Some('\r'),
        'a' => return Some('\x07'),
        'b' => return Some('\x08'),
        'f' => return Some('\x0c'),
        'v' => return Some('\x0b'),
        '\\' | '"' | '\'' => return Some(kind),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let mut code = 0_u32;
    for _ in 0..digits {
        code = code.checked_mul(16)? + characters.next()?.1.to_digit(16)?;
    }
    char::from_u32(code)
}
