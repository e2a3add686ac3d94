//! `--format` of the commands that list: table, JSON or a Go template, one row per object.

use super::table;
use super::template::{self, Functions, Map, Method, Template, Value};

/// How one noun is listed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing {
    /// The template of the table without `--format`: fields separated by tabs.
    pub(crate) columns: &'static str,
    /// What `-q` prints of each row.
    pub(crate) quiet: &'static str,
    /// Fields and their headings.
    pub(crate) headings: &'static [(&'static str, &'static str)],
}

/// What the user asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish<'a> {
    /// `--format`.
    pub(crate) format: Option<&'a str>,
    /// `-q`.
    pub(crate) quiet: bool,
    /// Columns of the terminal: a table without `--format` is made to fit; `None` leaves it alone.
    pub(crate) screen: Option<usize>,
}

enum Kind {
    Table { columns: String, is_default: bool },
    Lines(String),
}

impl Listing {
    /// The text of all rows, ending in a newline unless it is empty.
    ///
    /// # Errors
    /// When the template is wrong or a row does not have a field.
    pub(crate) fn render(&self, rows: &[Map], wish: &Wish<'_>) -> Result<String, template::Error> {
        match self.kind(wish) {
            Kind::Lines(source) => lines(&source, rows),
            Kind::Table { columns, is_default } => {
                let heading = self.heading(&columns)?;
                let text = heading + &lines(&columns, rows)?;
                let screen = wish.screen.filter(|_| is_default);
                Ok(table::align(&screen.map_or(text.clone(), |width| table::fit(&text, width))))
            }
        }
    }

    fn kind(&self, wish: &Wish<'_>) -> Kind {
        let format = wish.format.unwrap_or("table").trim_start_matches(' ');
        let format = format.replace("\\t", "\t").replace("\\n", "\n");
        if format == "json" {
            return Kind::Lines("{{json .}}".to_owned());
        }
        let Some(columns) = format.strip_prefix("table") else { return Kind::Lines(format) };
        if wish.quiet {
            return Kind::Lines(self.quiet.to_owned());
        }
        let columns = columns.trim();
        let is_default = columns.is_empty();
        let columns = if is_default { self.columns } else { columns };
        Kind::Table { columns: columns.to_owned(), is_default }
    }

    fn heading(&self, columns: &str) -> Result<String, template::Error> {
        let fields = self.headings.iter().map(|(field, heading)| (*field, Value::from(*heading)));
        let label = Method::new(|arguments| match arguments {
            [Value::Text(key)] => {
                let last = key.rsplit('.').next().unwrap_or_default();
                Ok(Value::Text(last.replace(['-', '_'], " ")))
            }
            _ => Err(template::Failure::new("wrong number of args for Label: want 1")),
        });
        let row = Map::row(fields.chain([("Label", Value::Method(label))]));
        let mut text = Template::parse(columns)?.render(&Value::Map(row), Functions::Heading)?;
        text.push('\n');
        Ok(text)
    }
}

fn lines(source: &str, rows: &[Map]) -> Result<String, template::Error> {
    let template = Template::parse(source)?;
    let mut text = String::new();
    for row in rows {
        text.push_str(&template.render(&Value::Map(row.clone()), Functions::Usual)?);
        text.push('\n');
    }
    Ok(text)
}

/// The method `.Label "key"` of a row.
pub(crate) fn label_method(labels: Vec<(String, String)>) -> Value {
    Value::Method(Method::new(move |arguments| match arguments {
        [Value::Text(key)] => {
            let found = labels.iter().find(|(name, _)| name == key);
            Ok(Value::Text(found.map(|(_, value)| value.clone()).unwrap_or_default()))
        }
        _ => Err(template::Failure::new("wrong number of args for Label: want 1")),
    }))
}

/// Labels as one field: `a=1,b=2`, sorted.
pub(crate) fn label_list<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let mut texts: Vec<String> =
        labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    texts.sort();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::{Listing, Wish, label_method};
    use crate::output::template::{Map, Value};

    const LISTING: Listing = Listing {
        columns: "{{.ID}}\t{{.Names}}",
        quiet: "{{.ID}}",
        headings: &[("ID", "CONTAINER ID"), ("Names", "NAMES")],
    };

    fn rows() -> Vec<Map> {
        let labels = vec![("com.example.the-key".to_owned(), "v".to_owned())];
        vec![Map::row([
            ("ID", Value::from("0123456789ab")),
            ("Names", Value::from("web")),
            ("Label", label_method(labels)),
        ])]
    }

    #[track_caller]
    fn check(format: Option<&str>, quiet: bool, expected: &str) {
        let wish = Wish { format, quiet, screen: None };
        assert_eq!(LISTING.render(&rows(), &wish).unwrap(), expected);
    }

    #[test]
    fn formats() {
        let table = "CONTAINER ID   NAMES\n0123456789ab   web\n";
        check(None, false, table);
        check(Some("table"), false, table);
        check(None, true, "0123456789ab\n");
        check(
            Some("table {{.Names}}\\t{{.ID}}"),
            false,
            "NAMES     CONTAINER ID\nweb       0123456789ab\n",
        );
        check(Some("table {{.Names}}"), true, "0123456789ab\n");
        check(Some("{{.Names}}\\n"), false, "web\n\n");
        check(Some("{{.Names}}"), true, "web\n");
        check(Some("json"), false, "{\"ID\":\"0123456789ab\",\"Names\":\"web\"}\n");
        check(Some("table {{.Label \"com.example.the-key\"}}"), false, "the key\nv\n");
    }

    #[test]
    fn an_empty_list_has_a_heading() {
        assert_eq!(LISTING.render(&[], &Wish::default()).unwrap(), "CONTAINER ID   NAMES\n");
        let error = LISTING
            .render(&rows(), &Wish { format: Some("{{.Nope}}"), ..Wish::default() })
            .unwrap_err();
        assert!(error.to_string().contains("can't evaluate field Nope"));
    }
}
