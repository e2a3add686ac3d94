//! `--filter name=value`.

use docker_api::Filters;

/// Reads one `--filter`.
pub(super) fn parse(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        }
        _ => Err(format!(
            "invalid argument \"{text}\" for \"-f, --filter\" flag: bad format of filter (expected name=value)"
        )),
    }
}

/// All filters together.
pub(super) fn all(filters: &[(String, String)]) -> Filters {
    let mut all = Filters::new();
    for (name, value) in filters {
        all.add(name, value);
    }
    all
}
