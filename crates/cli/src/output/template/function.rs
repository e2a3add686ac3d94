//! The functions of Go's templates and those that Docker adds.

use std::cmp::Ordering;

use super::print::{MAX_WIDTH, printf};
use super::{Escape, Failure, Value, go_text, json_text};

/// Which meaning functions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Functions {
    /// As named.
    Usual,
    /// For the heading of a table: `json`, `lower`, … leave the heading as it is.
    Heading,
}

const NAMES: &[&str] = &[
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print",
    "printf", "println", "json", "split", "join", "title", "lower", "upper", "pad", "truncate",
];

/// Whether there is a function of this name.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls a function.
///
/// # Errors
/// Wrong number or types of arguments.
pub(super) fn call(
    name: &str,
    arguments: Vec<Value>,
    functions: Functions,
) -> Result<Value, Failure> {
    if functions == Functions::Heading
        && matches!(name, "json" | "title" | "lower" | "upper" | "truncate" | "pad")
    {
        return Ok(arguments.into_iter().next().unwrap_or_default());
    }
    let arguments = arguments.as_slice();
    match name {
        "and" | "or" => Ok(last(name, arguments)?.clone()),
        "not" => Ok(Value::Bool(!one(name, arguments)?.is_true())),
        "eq" => equal_to_any(arguments),
        "ne" => two(name, arguments).and_then(|(a, b)| Ok(Value::Bool(!equal(a, b)?))),
        "lt" => ordered(name, arguments, Ordering::is_lt),
        "le" => ordered(name, arguments, Ordering::is_le),
        "gt" => ordered(name, arguments, Ordering::is_gt),
        "ge" => ordered(name, arguments, Ordering::is_ge),
        "len" => length(one(name, arguments)?),
        "index" => index(arguments),
        "slice" => slice(arguments),
        "print" => Ok(Value::Text(print(arguments))),
        "println" => Ok(Value::Text(println(arguments))),
        "printf" => printf(arguments).map(Value::Text),
        "json" => Ok(Value::Text(json_text(one(name, arguments)?, Escape::Plain))),
        "split" => split(arguments),
        "join" => join(arguments),
        "title" => text(name, one(name, arguments)?).map(|text| Value::Text(title(text))),
        "lower" => text(name, one(name, arguments)?).map(|text| Value::Text(text.to_lowercase())),
        "upper" => text(name, one(name, arguments)?).map(|text| Value::Text(text.to_uppercase())),
        "pad" => pad(arguments),
        "truncate" => truncate(arguments),
        _ => Err(Failure::new(format!("function {name:?} not defined"))),
    }
}

fn last<'a>(name: &str, arguments: &'a [Value]) -> Result<&'a Value, Failure> {
    arguments.last().ok_or_else(|| count(name, "at least 1", 0))
}

fn one<'a>(name: &str, arguments: &'a [Value]) -> Result<&'a Value, Failure> {
    match arguments {
        [value] => Ok(value),
        _ => Err(count(name, "1", arguments.len())),
    }
}

fn two<'a>(name: &str, arguments: &'a [Value]) -> Result<(&'a Value, &'a Value), Failure> {
    match arguments {
        [first, second] => Ok((first, second)),
        _ => Err(count(name, "2", arguments.len())),
    }
}

fn count(name: &str, wanted: &str, given: usize) -> Failure {
    Failure::new(format!("wrong number of args for {name}: want {wanted} got {given}"))
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, Failure> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(Failure::new(format!(
            "wrong type for {name}: want string got {}",
            other.type_name()
        ))),
    }
}

/// A whole number as an index or width.
fn size(name: &str, value: &Value) -> Result<usize, Failure> {
    match value {
        Value::Int(number) => usize::try_from(*number)
            .map_err(|_| Failure::new(format!("index out of range: {number}"))),
        other => {
            Err(Failure::new(format!("wrong type for {name}: want int got {}", other.type_name())))
        }
    }
}

fn equal_to_any(arguments: &[Value]) -> Result<Value, Failure> {
    let Some((first, others)) = arguments.split_first().filter(|(_, others)| !others.is_empty())
    else {
        return Err(Failure::new("error calling eq: missing argument for comparison"));
    };
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

#[expect(clippy::float_cmp, reason = "Go's eq compares floats bit by bit, too")]
fn equal(left: &Value, right: &Value) -> Result<bool, Failure> {
    Ok(match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Nil, _) | (_, Value::Nil) => false,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::List(_) | Value::Map(_) | Value::Method(_), _)
        | (_, Value::List(_) | Value::Map(_) | Value::Method(_)) => {
            return Err(Failure::new("error calling eq: non-comparable type"));
        }
        _ => {
            return Err(Failure::new("error calling eq: incompatible types for comparison"));
        }
    })
}

fn ordered(
    name: &str,
    arguments: &[Value],
    accept: fn(Ordering) -> bool,
) -> Result<Value, Failure> {
    let order = match two(name, arguments)? {
        (Value::Int(left), Value::Int(right)) => left.cmp(right),
        (Value::Float(left), Value::Float(right)) => left.total_cmp(right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (left, right) if left.type_name() == right.type_name() => {
            return Err(Failure::new(format!("error calling {name}: invalid type for comparison")));
        }
        _ => {
            return Err(Failure::new(format!(
                "error calling {name}: incompatible types for comparison"
            )));
        }
    };
    Ok(Value::Bool(accept(order)))
}

fn length(value: &Value) -> Result<Value, Failure> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(values) => values.len(),
        Value::Map(map) => map.len(),
        other => {
            return Err(Failure::new(format!(
                "error calling len: len of type {}",
                other.type_name()
            )));
        }
    };
    Ok(Value::Int(i128::try_from(length).unwrap_or(i128::MAX)))
}

fn index(arguments: &[Value]) -> Result<Value, Failure> {
    let Some((first, keys)) = arguments.split_first() else {
        return Err(count("index", "at least 1", 0));
    };
    let mut value = first.clone();
    for key in keys {
        value = match &value {
            Value::Nil => return Err(Failure::new("error calling index: index of untyped nil")),
            Value::Map(map) => map.get(text("index", key)?).cloned().unwrap_or_default(),
            Value::List(values) => {
                let at = size("index", key)?;
                let missing =
                    || Failure::new(format!("error calling index: index out of range: {at}"));
                values.get(at).cloned().ok_or_else(missing)?
            }
            Value::Text(text) => {
                let at = size("index", key)?;
                let byte = text.as_bytes().get(at).ok_or_else(|| {
                    Failure::new(format!("error calling index: index out of range: {at}"))
                })?;
                Value::Int(i128::from(*byte))
            }
            other => {
                return Err(Failure::new(format!(
                    "error calling index: can't index item of type {}",
                    other.type_name()
                )));
            }
        };
    }
    Ok(value)
}

fn slice(arguments: &[Value]) -> Result<Value, Failure> {
    let (value, from, to) = match arguments {
        [value] => (value, 0, None),
        [value, from] => (value, size("slice", from)?, None),
        [value, from, to] => (value, size("slice", from)?, Some(size("slice", to)?)),
        _ => return Err(count("slice", "1 to 3", arguments.len())),
    };
    let out_of_range = || Failure::new("error calling slice: index out of range");
    match value {
        Value::Text(text) => {
            let to = to.unwrap_or(text.len());
            let part = text.get(from..to).ok_or_else(out_of_range)?;
            Ok(Value::Text(part.to_owned()))
        }
        Value::List(values) => {
            let to = to.unwrap_or(values.len());
            Ok(Value::List(values.get(from..to).ok_or_else(out_of_range)?.to_vec()))
        }
        other => Err(Failure::new(format!(
            "error calling slice: can't slice item of type {}",
            other.type_name()
        ))),
    }
}

/// Go's `Sprint`: a space between operands when neither is a string.
fn print(arguments: &[Value]) -> String {
    let mut text = String::new();
    for (position, value) in arguments.iter().enumerate() {
        let previous = position.checked_sub(1).and_then(|before| arguments.get(before));
        if previous.is_some_and(|before| {
            !matches!(before, Value::Text(_)) && !matches!(value, Value::Text(_))
        }) {
            text.push(' ');
        }
        text.push_str(&go_text(value));
    }
    text
}

fn println(arguments: &[Value]) -> String {
    let texts: Vec<String> = arguments.iter().map(go_text).collect();
    texts.join(" ") + "\n"
}

fn split(arguments: &[Value]) -> Result<Value, Failure> {
    let (value, separator) = two("split", arguments)?;
    let (value, separator) = (text("split", value)?, text("split", separator)?);
    let parts: Vec<Value> = if separator.is_empty() {
        value.chars().map(|character| Value::Text(character.to_string())).collect()
    } else {
        value.split(separator).map(Value::from).collect()
    };
    Ok(Value::List(parts))
}

fn join(arguments: &[Value]) -> Result<Value, Failure> {
    let (list, separator) = two("join", arguments)?;
    let separator = text("join", separator)?;
    match list {
        Value::Nil => Ok(Value::Text(String::new())),
        Value::List(values) => {
            let texts: Vec<String> = values.iter().map(go_text).collect();
            Ok(Value::Text(texts.join(separator)))
        }
        other => Err(Failure::new(format!(
            "wrong type for join: want []string got {}",
            other.type_name()
        ))),
    }
}

fn title(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut in_word = false;
    for character in text.chars() {
        if in_word {
            result.push(character);
        } else {
            result.extend(character.to_uppercase());
        }
        in_word = character.is_alphanumeric() || character == '_' || character == '\'';
    }
    result
}

fn pad(arguments: &[Value]) -> Result<Value, Failure> {
    let [value, before, after] = arguments else {
        return Err(count("pad", "3", arguments.len()));
    };
    let value = text("pad", value)?;
    let (before, after) = (size("pad", before)?, size("pad", after)?);
    if value.is_empty() {
        return Ok(Value::Text(String::new()));
    }
    if before > MAX_WIDTH || after > MAX_WIDTH {
        return Err(Failure::new(format!("error calling pad: a width over {MAX_WIDTH}")));
    }
    Ok(Value::Text(format!("{}{value}{}", " ".repeat(before), " ".repeat(after))))
}

fn truncate(arguments: &[Value]) -> Result<Value, Failure> {
    let (value, length) = two("truncate", arguments)?;
    let (value, length) = (text("truncate", value)?, size("truncate", length)?);
    Ok(Value::Text(value.chars().take(length).collect()))
}
