//! JSON as `inspect` prints it: indented, with fields in the order in which the engine sent them.

use super::template::{Escape, Value, json_text};

/// Indents by four spaces, as Go's `json.Indent`: empty arrays and objects stay `[]` and `{}`.
/// `text` is JSON.
pub(crate) fn indent(text: &str) -> String {
    let mut writer = Indenter { out: String::with_capacity(text.len() * 2), depth: 0 };
    let mut in_string = false;
    let mut escaped = false;
    let mut opened = false;
    for character in text.chars() {
        if in_string {
            writer.out.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        if character.is_ascii_whitespace() {
            continue;
        }
        if opened && !matches!(character, ']' | '}') {
            writer.newline();
        }
        match character {
            '{' | '[' => writer.open(character),
            '}' | ']' => writer.close(character, opened),
            ',' => {
                writer.out.push(',');
                writer.newline();
            }
            ':' => writer.out.push_str(": "),
            _ => writer.out.push(character),
        }
        in_string = character == '"';
        opened = matches!(character, '{' | '[');
    }
    writer.out
}

struct Indenter {
    out: String,
    depth: usize,
}

impl Indenter {
    fn newline(&mut self) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("    ", self.depth));
    }

    fn open(&mut self, bracket: char) {
        self.out.push(bracket);
        self.depth += 1;
    }

    fn close(&mut self, bracket: char, empty: bool) {
        self.depth = self.depth.saturating_sub(1);
        if !empty {
            self.newline();
        }
        self.out.push(bracket);
    }
}

/// An array of the documents, indented.
pub(crate) fn indented_list(documents: &[Value]) -> String {
    let texts: Vec<String> =
        documents.iter().map(|document| json_text(document, Escape::Plain)).collect();
    indent(&format!("[{}]", texts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::indent;

    #[test]
    fn layout_is_go_s() {
        let text = r#"[{"Id":"a\"b","Empty":{},"List":[1,2],"None":[],"Text":"{[,:]}\\"}]"#;
        let expected = r#"[
    {
        "Id": "a\"b",
        "Empty": {},
        "List": [
            1,
            2
        ],
        "None": [],
        "Text": "{[,:]}\\"
    }
]"#;
        assert_eq!(indent(text), expected);
        assert_eq!(indent("[]"), "[]");
        assert_eq!(indent(&indent(text)), expected);
    }
}
