//! Cases of templates with what Go and Docker make of them.

use proptest::prelude::*;

use super::{Functions, Map, Method, Template, Value};

const DOCUMENT: &str = r#"{
    "Id": "0123456789abcdef", "Name": "/web", "RestartCount": 2, "Ratio": 0.5,
    "State": {"Status": "running", "Running": true, "Pid": 0},
    "Config": {"Env": ["A=1", "B=2"], "Cmd": null, "Labels": {"b": "2", "a": "1"}},
    "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "90/tcp": null}},
    "Args": []
}"#;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

fn render(source: &str) -> Result<String, super::Error> {
    Template::parse(source)?.render(&document(), Functions::Usual)
}

#[track_caller]
fn check(source: &str, expected: &str) {
    assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
}

#[track_caller]
fn fails(source: &str, expected: &str) {
    let error = render(source).unwrap_err().to_string();
    assert!(error.contains(expected), "{source}: {error}");
}

#[test]
fn text_fields_and_literals() {
    check("", "");
    check("plain }} text", "plain }} text");
    check("{{.Name}}", "/web");
    check("{{ .State.Status }}!", "running!");
    check("{{.RestartCount}} {{.Ratio}} {{.State.Running}}", "2 0.5 true");
    check("{{.ID}}", "0123456789abcdef");
    check(r#"{{"a\tb"}}{{`c\n`}}{{'x'}}{{0x10}}{{-3}}{{1.5e3}}"#, "a\tbc\\n12016-31500");
    check("{{.Config.Cmd}} {{json .Config.Cmd}}", "[] null");
    check("{{.Config.Env}} {{.Config.Labels}}", "[A=1 B=2] map[a:1 b:2]");
    check("{{/* nothing */}}a{{- /* trims */ -}} b", "ab");
    check("a {{- 1 -}} b", "a1b");
    check("{{(.State).Status}}{{$.Name}}", "running/web");
}

#[test]
fn conditions_and_loops() {
    check("{{if .State.Running}}up{{else}}down{{end}}", "up");
    check("{{if .State.Pid}}a{{else if .Name}}b{{else}}c{{end}}", "b");
    check("{{if not .State.Pid}}zero{{end}}", "zero");
    check("{{if .State.Health}}x{{else}}none{{end}}", "none");
    check("{{with .State}}{{.Status}}{{end}}", "running");
    check("{{with $x := .Name}}{{$x}}{{.}}{{end}}", "/web/web");
    check("{{range .Config.Env}}[{{.}}]{{end}}", "[A=1][B=2]");
    check("{{range $i, $e := .Config.Env}}{{$i}}={{$e}};{{end}}", "0=A=1;1=B=2;");
    check("{{range $k, $v := .Config.Labels}}{{$k}}{{$v}} {{end}}", "a1 b2 ");
    check("{{range .Args}}x{{else}}empty{{end}}", "empty");
    check("{{range .Config.Cmd}}x{{else}}empty{{end}}", "empty");
    check("{{range .Config.Env}}{{.}}{{break}}{{end}}", "A=1");
    check("{{range .Config.Env}}{{continue}}x{{end}}", "");
    check("{{$n := 1}}{{range .Config.Env}}{{$n = .}}{{end}}{{$n}}", "B=2");
    check(
        "{{range $p, $c := .NetworkSettings.Ports}}{{$p}}{{if $c}}->{{(index $c 0).HostPort}}{{end}} {{end}}",
        "80/tcp->8080 90/tcp ",
    );
    check("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "172.17.0.2");
}

#[test]
fn functions_do_what_docker_s_do() {
    check("{{json .State}}", r#"{"Status":"running","Running":true,"Pid":0}"#);
    check(r#"{{json "<a>"}}"#, r#""<a>""#);
    check("{{.Name | upper | printf \"%-6s|\"}}", "/WEB  |");
    check(r#"{{join .Config.Env ","}}"#, "A=1,B=2");
    check(r#"{{index (split "a:b" ":") 1}}"#, "b");
    check("{{index .Config.Env 1}}{{index .Config.Labels \"a\"}}", "B=21");
    check("{{index .Config.Labels \"missing\"}}", "<no value>");
    check("{{len .Config.Env}} {{len .Name}}", "2 4");
    check("{{title \"hello world\"}} {{lower \"ABC\"}}", "Hello World abc");
    check("{{pad \"x\" 1 2}}|{{truncate .Id 4}}|{{slice .Id 0 3}}", " x  |0123|012");
    check("{{println 1 \"a\"}}", "1 a\n");
    check("{{print 1 2 \"a\" 3}}", "1 2a3");
    check(
        r#"{{printf "%05d %x %q %v %t %.2f %%" 42 255 "s" .Config.Env true 1.239}}"#,
        r#"00042 ff "s" [A=1 B=2] true 1.24 %"#,
    );
    check(
        r#"{{printf "%s"}}{{printf "a" 1}}{{printf "%d" "x"}}"#,
        "%!s(MISSING)a%!(EXTRA int=1)%!d(string=x)",
    );
    check(
        "{{eq .State.Status \"a\" \"running\"}} {{ne 1 2}} {{lt 1 2}} {{ge \"b\" \"a\"}}",
        "true true true true",
    );
    check("{{and 1 0 2}} {{or 0 \"\" \"x\"}} {{and true .Name}}", "0 x /web");
    check("{{or true (index .Args 9)}}", "true");
}

#[test]
fn errors_say_what_and_where() {
    fails("{{.Foo}}", r#"template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo""#);
    fails("a\n{{.Foo.Bar}}", ":2:2:");
    fails("{{.Name.Foo}}", "can't evaluate field Foo in type string");
    fails("{{.State.Health.Status}}", "nil pointer evaluating");
    fails("{{", "unclosed action");
    fails("{{.Name", "unclosed action");
    fails("{{if .Name}}x", "unexpected EOF");
    fails("{{end}}", "unexpected {{end}}");
    fails("{{else}}", "unexpected {{else}}");
    fails("{{}}", "missing value for command");
    fails("{{foo .}}", "function \"foo\" not defined");
    fails("{{template \"x\"}}", "template is not supported");
    fails("{{$x}}", "undefined variable");
    fails("{{\"a}}", "unterminated quoted string");
    fails("{{.Name | }}", "missing value");
    fails("{{.Name 1}}", "Name is not a method but has arguments");
    fails("{{range 5}}{{end}}", "range can't iterate over 5");
    fails("{{lt 1 \"a\"}}", "incompatible types");
    fails("{{index .Config.Env 7}}", "index out of range: 7");
    fails("{{pad \"a\" 99999999 0}}", "a width over");
    fails("{{break}}", "outside");
}

#[test]
fn rows_list_their_fields_and_have_methods() {
    let label = Method::new(|arguments| match arguments {
        [Value::Text(key)] => Ok(Value::Text(format!("label {key}"))),
        _ => Err(super::Failure::new("wrong number of args for Label: want 1")),
    });
    let row = Value::Map(Map::row([
        ("Names", Value::from("web")),
        ("ID", Value::from("<1>")),
        ("Label", Value::Method(label)),
    ]));
    let render = |source: &str| Template::parse(source).unwrap().render(&row, Functions::Usual);
    assert_eq!(render("{{json .}}").unwrap(), r#"{"ID":"\u003c1\u003e","Names":"web"}"#);
    assert_eq!(render("{{.Label \"a\"}}").unwrap(), "label a");
    assert_eq!(render("{{\"b\" | .Label}}").unwrap(), "label b");
    let error = render("{{.Name}}").unwrap_err();
    assert!(error.to_string().contains("can't evaluate field Name"));
    assert_eq!(error.hint(), Some("the fields are ID, Label, Names"));
}

#[test]
fn headings_pass_through_functions() {
    let heading = Value::Map(Map::row([("ID", Value::from("CONTAINER ID"))]));
    let template = Template::parse("{{lower .ID}} {{json .ID}} {{truncate .ID 3}}").unwrap();
    let text = template.render(&heading, Functions::Heading).unwrap();
    assert_eq!(text, "CONTAINER ID CONTAINER ID CONTAINER ID");
}

#[test]
fn nesting_has_an_end() {
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(render(&deep).unwrap_err().to_string().contains("nested too deeply"));
    let deep = "{{if 1}}".repeat(5000);
    assert!(render(&deep).unwrap_err().to_string().contains("nested too deeply"));
    let chain = format!("{{{{if 0}}}}{}", "{{else if 0}}".repeat(5000));
    assert!(render(&chain).is_err());
}

proptest! {
    #[test]
    fn no_source_panics(source in "\\PC*") {
        drop(render(&source));
    }

    #[test]
    fn no_near_miss_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "{{", "}}", "{{-", "-}}", " ", ".", ".Name", ".Config.Env", "$", "$x", ":=", "=", ",", "|",
        "(", ")", "if", "else", "end", "range", "with", "break", "json", "index", "printf", "slice",
        "\"%s\"", "\"é\"", "`", "'a'", "0", "1", "-1", "99999999999999999999", "1.5", "nil", "true",
        "pad", "eq", "/*", "*/", "é", "len", "split", "join", "\"%9d\"", "\\",
    ]), 0..24)) {
        drop(render(&pieces.concat()));
        drop(render(&format!("{{{{{}}}}}", pieces.join(" "))));
    }
}
