//! Options that brig knows and refuses: `docs/refused.toml` says why.

use serde::Deserialize;

use crate::error::Error;

/// The list, part of the program so that a refusal always has its reason.
const LIST: &str = include_str!("../../../docs/refused.toml");

#[derive(Deserialize)]
struct List {
    refused: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    option: String,
    reason: String,
}

/// The refusal of an option.
pub(crate) fn error(option: &str) -> Error {
    let list: List = toml::from_str(LIST).unwrap_or(List { refused: Vec::new() });
    let entry = list.refused.into_iter().find(|entry| entry.option == option);
    let reason = entry.map_or_else(|| "not yet".to_owned(), |entry| entry.reason);
    Error::Refused { option: option.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_refusal_has_its_reason() {
        for option in [
            "--link",
            "--isolation",
            "--cpu-count",
            "--cpu-percent",
            "--io-maxbandwidth",
            "--io-maxiops",
            "--kernel-memory",
            "--use-api-socket",
            "--disable-content-trust=false",
            "--all-tags",
        ] {
            let text = super::error(option).to_string();
            assert!(!text.ends_with("not yet"), "{option} is not in docs/refused.toml");
        }
    }
}
