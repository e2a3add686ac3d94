//! The `WWW-Authenticate` header (RFC 9110 §11.6.1) as registries use it.

/// How a registry wants to be convinced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from the realm (distribution token specification).
    Bearer {
        /// The token server.
        realm: String,
        /// The registry's name there.
        service: Option<String>,
        /// The scope asked for, when the registry states it.
        scope: Option<String>,
    },
    /// Name and password with every request.
    Basic,
}

/// The best challenge among the header values: a token before a password; `None` when there is
/// none that we can answer.
pub(crate) fn parse<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for value in values {
        for (scheme, parameters) in challenges(value) {
            if scheme.eq_ignore_ascii_case("bearer") {
                let find = |name: &str| {
                    let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.clone())
                };
                if let Some(realm) = find("realm") {
                    let (service, scope) = (find("service"), find("scope"));
                    return Some(Challenge::Bearer { realm, service, scope });
                }
            } else if scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

type Parameters = Vec<(String, String)>;

/// Splits `Scheme key="value", key=value, Scheme2 …`.
fn challenges(value: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() {
        let (word, after) = take_token(rest);
        if word.is_empty() {
            let mut characters = rest.chars();
            characters.next();
            rest = characters.as_str().trim_start();
            continue;
        }
        if let Some(text) = after.trim_start().strip_prefix('=') {
            let (text, after) = take_value(text.trim_start());
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word.to_owned(), text));
            }
            rest = after;
        } else {
            found.push((word.to_owned(), Parameters::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found
}

fn take_token(text: &str) -> (&str, &str) {
    let end = text.find([' ', '=', ',', '"', '\t']).unwrap_or(text.len());
    text.split_at(end)
}

fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ',', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::{Challenge, parse};

    #[test]
    fn a_token_server_with_all_parameters() {
        let header = r#"Bearer realm="https://auth.example/token",service="reg,istry",scope="repository:a/b:pull,push""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("reg,istry".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        };
        assert_eq!(parse([header].into_iter()), Some(expected));
    }

    #[test]
    fn a_token_is_preferred_to_a_password_wherever_it_stands() {
        let values = ["Basic realm=\"x\", Bearer realm=\"http://t/\" , service=s"];
        let expected = Challenge::Bearer {
            realm: "http://t/".to_owned(),
            service: Some("s".to_owned()),
            scope: None,
        };
        assert_eq!(parse(values.into_iter()), Some(expected.clone()));
        let values = ["Basic realm=x", "bearer Realm=\"http://t/\",Service=s"];
        assert_eq!(parse(values.into_iter()), Some(expected));
    }

    #[test]
    fn odd_headers_do_no_harm() {
        assert_eq!(parse(["basic"].into_iter()), Some(Challenge::Basic));
        for odd in ["", ",,,", "=", "\"", "Bearer", "Bearer realm", "Negotiate abc==", "é \"ß"] {
            assert_eq!(parse([odd].into_iter()), None, "{odd:?}");
        }
        assert!(parse(["Bearer realm=\"unterminated"].into_iter()).is_some());
    }
}
