//! The `filters` parameter, in both forms Docker reads.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Filters of a list: name → accepted values.
///
/// On the wire `{"label":["a=b"]}`, or in the older form `{"label":{"a=b":true}}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

/// The text of the `filters` parameter cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FiltersError {
    /// The text is in neither of the two forms.
    #[error("invalid filter")]
    Malformed(#[source] serde_json::Error),
    /// A name that this list does not filter by.
    #[error("invalid filter '{0}'")]
    Unknown(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Set(BTreeMap<String, bool>),
}

impl Filters {
    /// No filters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is filtered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an accepted value.
    pub fn add(&mut self, name: &str, value: &str) {
        let values = self.0.entry(name.to_owned()).or_default();
        if !values.iter().any(|known| known == value) {
            values.push(value.to_owned());
        }
    }

    /// The values accepted for `name`; empty when it is not filtered by.
    #[must_use]
    pub fn get(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every name with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// Reads the parameter; an empty text is no filter.
    ///
    /// # Errors
    /// [`FiltersError::Malformed`] when the text is in neither form.
    pub fn parse(text: &str) -> Result<Self, FiltersError> {
        if text.is_empty() || text == "null" {
            return Ok(Self::default());
        }
        let read: BTreeMap<String, Values> =
            serde_json::from_str(text).map_err(FiltersError::Malformed)?;
        let values = |values| match values {
            Values::List(list) => list,
            Values::Set(set) => {
                set.into_iter().filter(|(_, on)| *on).map(|(value, _)| value).collect()
            }
        };
        Ok(Self(read.into_iter().map(|(name, list)| (name, values(list))).collect()))
    }

    /// Refuses names that are not in `known`.
    ///
    /// # Errors
    /// [`FiltersError::Unknown`] with the first unknown name.
    pub fn check(&self, known: &[&str]) -> Result<(), FiltersError> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(FiltersError::Unknown(name.clone())),
            None => Ok(()),
        }
    }

    /// The newer JSON form.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Filters;

    #[test]
    fn both_forms_are_read() {
        let new = Filters::parse(r#"{"label":["a=b","c"],"status":["running"]}"#).unwrap();
        let old = Filters::parse(
            r#"{"label":{"a=b":true,"c":true,"d":false},"status":{"running":true}}"#,
        );
        assert_eq!(new, old.unwrap());
        assert_eq!(new.get("label"), ["a=b", "c"]);
        assert_eq!(new.to_json(), r#"{"label":["a=b","c"],"status":["running"]}"#);
        assert!(Filters::parse("").unwrap().is_empty());
        assert!(Filters::parse("{").is_err());
    }

    #[test]
    fn unknown_names_are_refused() {
        let filters = Filters::parse(r#"{"colour":["red"]}"#).unwrap();
        let error = filters.check(&["label"]).unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'colour'");
    }
}
