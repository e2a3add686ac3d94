//! What templates work on: JSON's values with the order of fields kept, and methods.

use std::fmt;
use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Failure;

/// A field that takes arguments, such as `.Label "key"`.
#[derive(Clone)]
pub(crate) struct Method(MethodBody);

type MethodBody = Rc<dyn Fn(&[Value]) -> Result<Value, Failure>>;

impl Method {
    /// Wraps a function of the arguments.
    pub(crate) fn new(body: impl Fn(&[Value]) -> Result<Value, Failure> + 'static) -> Self {
        Self(Rc::new(body))
    }

    /// Calls it.
    ///
    /// # Errors
    /// When the arguments do not fit.
    pub(crate) fn call(&self, arguments: &[Value]) -> Result<Value, Failure> {
        (self.0)(arguments)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Method")
    }
}

/// Fields in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map {
    entries: Vec<(String, Value)>,
    /// A row of a list: its missing fields are an error with the list of those there are.
    row: bool,
}

impl Map {
    /// A row of a list, sorted by field as Docker prints rows in JSON.
    pub(crate) fn row(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let mut entries: Vec<(String, Value)> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        entries.sort_by(|left, right| left.0.cmp(&right.0));
        Self { entries, row: true }
    }

    /// The field of exactly this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The field of this name, the case of its letters set aside (`ID` for `Id`).
    pub(super) fn get_any_case(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) const fn is_row(&self) -> bool {
        self.row
    }

    /// Fields and values, methods left out.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .filter(|(_, value)| !matches!(value, Value::Method(_)))
            .map(|(name, value)| (name.as_str(), value))
    }

    /// Names of all fields and methods.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn len(&self) -> usize {
        self.fields().count()
    }
}

/// A value in a template.
#[derive(Debug, Clone, Default)]
pub(crate) enum Value {
    /// JSON's `null`, Go's `nil`.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number; wide enough for `u64` and `i64`.
    Int(i128),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// An object.
    Map(Map),
    /// A field that takes arguments.
    Method(Method),
}

impl Value {
    /// Go's truth: neither nil, false, zero nor empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(value) => !value.is_empty(),
            Self::List(values) => !values.is_empty(),
            Self::Map(map) => map.is_row() || map.len() > 0,
            Self::Method(_) => true,
        }
    }

    /// What Go would call the type, for messages.
    pub(super) const fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Method(_) => "method",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(i128::from(value))
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Nil,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => number
                .as_i128()
                .map_or_else(|| Self::Float(number.as_f64().unwrap_or_default()), Self::Int),
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Array(values) => {
                Self::List(values.into_iter().map(Self::from).collect())
            }
            serde_json::Value::Object(fields) => Self::Map(Map {
                entries: fields.into_iter().map(|(k, v)| (k, Self::from(v))).collect(),
                row: false,
            }),
        }
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

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(i128::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(i128::from(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(Map { entries, row: false }))
    }
}
