//! Values as text: Go's `%v`, JSON, and `printf`.

use std::fmt::Write as _;

use super::{Failure, Value};

/// The widest field `printf` and `pad` make, in characters.
pub(super) const MAX_WIDTH: usize = 10_000;

/// Whether `<`, `>` and `&` are escaped in JSON, as Go does where it has not been told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// As `\u003c`.
    Html,
    /// As they are.
    Plain,
}

/// The value as Go's `fmt.Print` shows it; nil is `<no value>`.
pub(crate) fn go_text(value: &Value) -> String {
    if matches!(value, Value::Nil) {
        return "<no value>".to_owned();
    }
    let mut text = String::new();
    push_go(&mut text, value);
    text
}

fn push_go(text: &mut String, value: &Value) {
    match value {
        Value::Nil => text.push_str("<nil>"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Int(number) => text.push_str(&number.to_string()),
        Value::Float(number) => text.push_str(&float(*number)),
        Value::Text(value) => text.push_str(value),
        Value::Method(_) => text.push_str("<method>"),
        Value::List(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    text.push(' ');
                }
                push_go(text, value);
            }
            text.push(']');
        }
        Value::Map(map) => {
            let mut fields: Vec<_> = map.fields().collect();
            fields.sort_by_key(|(name, _)| *name);
            text.push_str("map[");
            for (index, (name, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    text.push(' ');
                }
                text.push_str(name);
                text.push(':');
                push_go(text, value);
            }
            text.push(']');
        }
    }
}

/// Go's `%v` of a float: the shortest text, with an exponent from 1e21 on and below 1e-4.
fn float(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{number:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) =
            exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    number.to_string()
}

/// The value as compact JSON.
pub(crate) fn json_text(value: &Value, escape: Escape) -> String {
    let mut text = String::new();
    push_json(&mut text, value, escape);
    text
}

fn push_json(text: &mut String, value: &Value, escape: Escape) {
    match value {
        Value::Nil | Value::Method(_) => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Int(number) => text.push_str(&number.to_string()),
        Value::Float(number) => text.push_str(&float(*number)),
        Value::Text(value) => push_quoted(text, value, escape),
        Value::List(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                push_json(text, value, escape);
            }
            text.push(']');
        }
        Value::Map(map) => {
            // Go escapes the rows of a list before the template sees them.
            let escape = if map.is_row() { Escape::Html } else { escape };
            text.push('{');
            for (index, (name, value)) in map.fields().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                push_quoted(text, name, escape);
                text.push(':');
                push_json(text, value, escape);
            }
            text.push('}');
        }
    }
}

fn push_quoted(text: &mut String, value: &str, escape: Escape) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\x08' => text.push_str("\\b"),
            '\x0c' => text.push_str("\\f"),
            '<' | '>' | '&' if escape == Escape::Html => push_unicode(text, character),
            '\u{2028}' | '\u{2029}' => push_unicode(text, character),
            _ if u32::from(character) < 0x20 => push_unicode(text, character),
            _ => text.push(character),
        }
    }
    text.push('"');
}

fn push_unicode(text: &mut String, character: char) {
    let _ = write!(text, "\\u{:04x}", u32::from(character));
}

/// Go's `printf`: verbs `v s q d x X o b c t f e g %`, flags `- + # 0 space`, width and precision.
pub(super) fn printf(arguments: &[Value]) -> Result<String, Failure> {
    let Some(Value::Text(format)) = arguments.first() else {
        return Err(Failure::new("wrong type for value; expected string as printf's format"));
    };
    let mut values = arguments.iter().skip(1);
    let mut text = String::new();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let directive = Directive::read(&mut characters)?;
        match directive.verb {
            None => text.push_str("%!(NOVERB)"),
            Some('%') => text.push('%'),
            Some(verb) => match values.next() {
                None => {
                    let _ = write!(text, "%!{verb}(MISSING)");
                }
                Some(value) => text.push_str(&directive.pad(&directive.body(verb, value))),
            },
        }
    }
    let rest: Vec<String> =
        values.map(|value| format!("{}={}", value.type_name(), go_text(value))).collect();
    if !rest.is_empty() {
        let _ = write!(text, "%!(EXTRA {})", rest.join(", "));
    }
    Ok(text)
}

#[derive(Default)]
struct Directive {
    flags: String,
    width: usize,
    precision: Option<usize>,
    verb: Option<char>,
}

impl Directive {
    fn read(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Self, Failure> {
        let mut directive = Self::default();
        while let Some(flag) = characters.next_if(|c| "-+# 0".contains(*c)) {
            directive.flags.push(flag);
        }
        directive.width = number(characters)?;
        if characters.next_if_eq(&'.').is_some() {
            directive.precision = Some(number(characters)?);
        }
        directive.verb = characters.next();
        Ok(directive)
    }

    fn body(&self, verb: char, value: &Value) -> String {
        match (verb, value) {
            ('v', _) => go_text(value),
            ('s', Value::Text(text)) => self
                .precision
                .map_or_else(|| text.clone(), |precision| text.chars().take(precision).collect()),
            ('s', Value::List(_) | Value::Map(_)) => go_text(value),
            ('q', Value::Text(text)) => {
                let mut quoted = String::new();
                push_quoted(&mut quoted, text, Escape::Plain);
                quoted
            }
            ('t', Value::Bool(_)) => go_text(value),
            ('d', Value::Int(number)) if self.flags.contains('+') && *number >= 0 => {
                format!("+{number}")
            }
            ('d', Value::Int(number)) => number.to_string(),
            ('x', Value::Int(number)) => radix(*number, |n| format!("{n:x}")),
            ('X', Value::Int(number)) => radix(*number, |n| format!("{n:X}")),
            ('o', Value::Int(number)) => radix(*number, |n| format!("{n:o}")),
            ('b', Value::Int(number)) => radix(*number, |n| format!("{n:b}")),
            ('c', Value::Int(number)) => u32::try_from(*number)
                .ok()
                .and_then(char::from_u32)
                .unwrap_or(char::REPLACEMENT_CHARACTER)
                .to_string(),
            ('x', Value::Text(text)) => stdx::hex::encode(text.as_bytes()),
            ('f' | 'F', Value::Float(number)) => {
                format!("{number:.*}", self.precision.unwrap_or(6))
            }
            ('e', Value::Float(number)) => format!("{number:.*e}", self.precision.unwrap_or(6)),
            ('g', Value::Float(number)) => float(*number),
            _ => format!("%!{verb}({}={})", value.type_name(), go_text(value)),
        }
    }

    fn pad(&self, body: &str) -> String {
        let length = body.chars().count();
        let missing = self.width.saturating_sub(length);
        if self.flags.contains('-') {
            return format!("{body}{}", " ".repeat(missing));
        }
        let numeric = body.strip_prefix(['-', '+']).unwrap_or(body);
        if self.flags.contains('0') && numeric.starts_with(|c: char| c.is_ascii_digit()) {
            let sign = body.strip_suffix(numeric).unwrap_or_default();
            return format!("{sign}{}{numeric}", "0".repeat(missing));
        }
        format!("{}{body}", " ".repeat(missing))
    }
}

fn radix(number: i128, digits: impl Fn(u128) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", digits(number.unsigned_abs()))
}

fn number(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<usize, Failure> {
    let mut number = 0_usize;
    while let Some(digit) = characters.next_if(char::is_ascii_digit) {
        let digit = usize::try_from(digit.to_digit(10).unwrap_or_default()).unwrap_or_default();
        number = number * 10 + digit;
        if number > MAX_WIDTH {
            return Err(Failure::new(format!("a width over {MAX_WIDTH}")));
        }
    }
    Ok(number)
}
