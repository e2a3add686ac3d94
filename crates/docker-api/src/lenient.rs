//! Reading JSON as Go does: an absent field, `null` and the zero value are one and the same.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares wire structs: Pascal case names, `Default`, and every field lenient.
macro_rules! wire {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$field_meta:meta])* pub $field:ident : $type:ty, )*
        }
    )+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(deserialize_with = "crate::lenient::or_default")]
                pub $field: $type,
            )*
        }
    )+};
}
pub(crate) use wire;

/// `null` reads as the default value.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// An empty list or map is written as `null`, as a nil slice or map of Go is.
pub(crate) fn null_if_empty<'a, T, S>(value: &'a T, serializer: S) -> Result<S::Ok, S::Error>
where
    &'a T: IntoIterator,
    T: Serialize,
    S: Serializer,
{
    if value.into_iter().next().is_none() {
        serializer.serialize_none()
    } else {
        value.serialize(serializer)
    }
}

/// Whether a value is its type's zero value (Go's `omitempty`).
pub(crate) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `{}`: the value type of a set written as a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// A list of words that may also be written as one string (`Cmd`, `Entrypoint`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StringOrList(pub Vec<String>);

impl<'de> Deserialize<'de> for StringOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            One(String),
            Many(Vec<String>),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::One(word) => Self(vec![word]),
            Either::Many(words) => Self(words),
        })
    }
}

impl From<Vec<String>> for StringOrList {
    fn from(words: Vec<String>) -> Self {
        Self(words)
    }
}
