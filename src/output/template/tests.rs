//! Expected texts are what Go 1.24's text/template prints for the same template and data.

use serde_json::{Value, json};

use super::{Options, Template};

fn data() -> Value {
    json!({
        "ID": "0123456789ab",
        "Names": ["web", "www"],
        "Count": 3,
        "Ratio": 0.5,
        "Empty": "",
        "None": null,
        "Up": true,
        "Labels": {"com.example.a": "1", "b": "x y"},
        "State": {"Status": "running", "Health": null, "Pid": 42},
        "Mounts": [{"Source": "/a", "Target": "/x"}, {"Source": "/b", "Target": "/y"}],
        "Html": "<a href=\"x\">&'</a>",
    })
}

fn render(text: &str) -> Result<String, String> {
    let template = Template::parse("t", text, Options::default()).map_err(|e| e.to_string())?;
    template.render(&data()).map_err(|e| e.to_string())
}

#[test]
fn renders_as_go_does() {
    for (template, wanted) in [
        ("", ""),
        ("plain {} text }}", "plain {} text }}"),
        ("{{.ID}}", "0123456789ab"),
        ("{{ .ID }}\\t{{.Count}}\\n", "0123456789ab\t3\n"),
        ("{{.Names}} {{.Labels}} {{.Ratio}} {{.Up}} {{.None}}", "[web www] map[b:x y com.example.a:1] 0.5 true <nil>"),
        ("{{.State.Status}}/{{.State.Pid}}", "running/42"),
        ("{{.Labels.b}} {{.Labels.nope}}", "x y <no value>"),
        ("{{index .Labels \"com.example.a\"}} {{index .Names 1}}", "1 www"),
        ("{{(index .Mounts 1).Target}} {{index .Mounts 0 \"Source\"}}", "/y /a"),
        ("{{json .Names}} {{json .State.Health}} {{json .Html}}", r#"["web","www"] null "<a href=\"x\">&'</a>""#),
        ("{{range .Names}}<{{.}}>{{end}}", "<web><www>"),
        ("{{range $i, $n := .Names}}{{if $i}}, {{end}}{{$i}}={{$n}}{{end}}", "0=web, 1=www"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "b=x y;com.example.a=1;"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{range .Mounts}}{{.Source}}:{{.Target}}@{{$.ID}} {{end}}", "/a:/x@0123456789ab /b:/y@0123456789ab "),
        ("{{range .Names}}{{if eq . \"www\"}}{{break}}{{end}}{{.}}{{end}}", "web"),
        ("{{range .Names}}{{if eq . \"web\"}}{{continue}}{{end}}{{.}}{{end}}", "www"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{if .Empty}}a{{else if .None}}b{{else if .Up}}c{{else}}d{{end}}", "c"),
        ("{{with .State}}{{.Status}}{{end}}{{with .Empty}}x{{else}}y{{end}}", "runningy"),
        ("{{with .Empty}}x{{else with .ID}}{{.}}{{end}}", "0123456789ab"),
        ("{{$x := .Count}}{{$x}}{{$x = 7}}{{$x}}", "37"),
        ("{{$x := 1}}{{range .Names}}{{$x = .}}{{end}}{{$x}}", "www"),
        ("{{if and .Up (gt .Count 2)}}yes{{end}}{{or .Empty \"else\"}}{{not .Up}}", "yeselsefalse"),
        ("{{eq .Count 1 2 3}} {{ne 1 2}} {{lt \"a\" \"b\"}} {{ge .Ratio 0.5}} {{le 2 1}}", "true true true true false"),
        ("{{len .Names}} {{len .ID}} {{len .Labels}}", "2 12 2"),
        ("{{slice .ID 0 4}} {{slice .Names 1}}", "0123 [www]"),
        ("{{.ID | printf \"%.4s|%-6s|\" \"ab\"}}", "ab|0123456789ab|"),
        (
            "{{printf \"%5d|%-5d|%05d|%x|%X|%c|%U|%q|%v|%t|%%\" 42 42 42 255 255 65 65 .ID .Names .Up}}",
            "   42|42   |00042|ff|FF|A|U+0041|\"0123456789ab\"|[web www]|true|%",
        ),
        (
            "{{printf \"%.2f %6.1f %e %g %s\" .Ratio .Ratio .Ratio .Ratio .Count}}",
            "0.50    0.5 5.000000e-01 0.5 %!s(int=3)",
        ),
        ("{{printf \"%d\"}} {{printf \"x\" 1}} {{printf \"%d\" \"a\"}}", "%!d(MISSING) x%!(EXTRA int=1) %!d(string=a)"),
        ("{{print 1 2 \"a\" \"b\" 3}} {{println 1 \"a\"}}", "1 2ab3 1 a\n"),
        (
            "{{join .Names \", \"}} {{split \"a,b\" \",\"}} {{upper \"aB\"}} {{lower \"aB\"}} {{title \"ab cd\"}}",
            "web, www [a b] AB ab Ab Cd",
        ),
        ("[{{pad \"x\" 1 2}}] {{truncate .ID 5}}", "[ x  ] 01234"),
        ("{{html .Html}}", "&lt;a href=&#34;x&#34;&gt;&amp;&#39;&lt;/a&gt;"),
        ("{{js .Html}}", "\\u003Ca href\\u003D\\\"x\\\"\\u003E\\u0026\\'\\u003C/a\\u003E"),
        ("{{urlquery \"a b&c/ü\"}}", "a+b%26c%2F%C3%BC"),
        ("a {{- .Count -}} b", "a3b"),
        ("a \n{{- /* comment */ -}}\n b{{/* c */}}", "ab"),
        (
            "{{`raw\\n`}} {{\"q\\t\\u00e9\\x41\\101\"}} {{'a'}} {{0x10}} {{1_000}} {{-5}} {{1e3}} {{.5}}",
            "raw\\n q\téAA 97 16 1000 -5 1000 0.5",
        ),
        (
            "{{define \"x\"}}<{{.}}>{{end}}{{template \"x\" .ID}}{{block \"y\" .Count}}[{{.}}]{{end}}",
            "<0123456789ab>[3]",
        ),
        ("{{.Label \"b\"}}", "x y"),
        ("{{(.State).Pid}} {{((.Count))}} {{$.ID}}", "42 3 0123456789ab"),
        ("{{if eq .None nil}}nil{{end}}", "nil"),
        ("{{\"{{\"}}x{{\"}}\"}}", "{{x}}"),
    ] {
        assert_eq!(render(template).as_deref(), Ok(wanted), "{template}");
    }
}

#[test]
fn complains_as_go_does() {
    for (template, wanted) in [
        ("{{.ID", "template: t:1: unclosed action"),
        ("x\n{{foo}}", "template: t:2: function \"foo\" not defined"),
        ("{{if .ID}}", "template: t:1: unexpected EOF"),
        ("{{end}}", "template: t:1: unexpected {{end}}"),
        ("{{else}}", "template: t:1: unexpected {{else}}"),
        ("{{}}", "template: t:1: missing value for command"),
        ("{{.ID |}}", "template: t:1: missing value for command"),
        ("{{(.ID}}", "template: t:1: unclosed left paren"),
        ("{{.ID)}}", "template: t:1: unexpected right paren"),
        ("{{\"abc}}", "template: t:1: unterminated quoted string"),
        ("{{$x}}", "template: t:1: undefined variable \"$x\""),
        ("{{range .Names}}{{$x := 1}}{{end}}{{$x}}", "template: t:1: undefined variable \"$x\""),
        ("{{break}}", "template: t:1: {{break}} outside {{range}}"),
        ("{{/* x", "template: t:1: unclosed comment"),
        ("{{.ID | 3}}", "template: t:1: non executable command in pipeline stage 2"),
        ("{{#}}", "template: t:1: unexpected \"#\" in command"),
        ("{{.Foo}}", "template: t:1:2: executing \"t\" at <.Foo>: can't evaluate field Foo"),
        ("ab {{.ID.Foo}}", "template: t:1:5: executing \"t\" at <.ID.Foo>: can't evaluate field Foo in type string"),
        (
            "{{.State.Health.Status}}",
            "template: t:1:2: executing \"t\" at <.State.Health.Status>: nil pointer evaluating .Status",
        ),
        (
            "{{index .Names 5}}",
            "template: t:1:2: executing \"t\" at <index .Names 5>: error calling index: index out of range: 5",
        ),
        (
            "{{lt .Names 1}}",
            "template: t:1:2: executing \"t\" at <lt .Names 1>: error calling lt: invalid type for comparison",
        ),
        (
            "{{eq .ID 1}}",
            "template: t:1:2: executing \"t\" at <eq .ID 1>: error calling eq: incompatible types for comparison",
        ),
        ("{{range .ID}}{{end}}", "template: t:1:8: executing \"t\" at <.ID>: range can't iterate over 0123456789ab"),
        ("{{.ID 1}}", "template: t:1:2: executing \"t\" at <.ID>: ID is not a method but has arguments"),
        ("{{template \"x\"}}", "template: t:1:0: executing \"t\" at <{{>: template \"x\" not defined"),
        (
            "{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}",
            "template: t:1:14: executing \"t\" at <{{>: exceeded maximum template depth",
        ),
    ] {
        assert_eq!(render(template), Err(wanted.to_owned()), "{template}");
    }
}

#[test]
fn hostile_values_and_templates_are_harmless() {
    let hostile = json!({"Name": "a\u{1b}[2Jb"});
    let print = |escape, text| {
        let options = Options { escape, ..Options::default() };
        Template::parse("t", text, options).and_then(|t| t.render(&hostile)).map_err(|e| e.to_string())
    };
    assert_eq!(print(true, "\u{1b}[1m{{.Name}}").as_deref(), Ok("\u{1b}[1ma\\u{1b}[2Jb"));
    assert_eq!(print(false, "{{.Name}}").as_deref(), Ok("a\u{1b}[2Jb"));
    for text in ["{{(".to_owned() + &"(".repeat(100_000), "{{if 1}}".repeat(100_000), "{{if 1}}a{{else ".repeat(9000)] {
        assert!(Template::parse("t", &text, Options::default()).is_err());
    }
    assert!(render("{{printf \"%99999999999d\" 1}}").is_err());
}

#[test]
fn info_finds_fields_in_any_case() {
    let info = json!({"host": {"ociRuntime": {"name": "rpod"}}});
    let options = Options { any_case: true, ..Options::default() };
    let template = Template::parse("info", "{{.Host.OCIRuntime.Name}}", options);
    assert_eq!(template.and_then(|t| t.render(&info)).ok().as_deref(), Some("rpod"));
    let unknown = Template::parse("info", "{{.Host.Nope}}", options);
    assert!(unknown.and_then(|t| t.render(&info)).is_err());
}

proptest::proptest! {
    #[test]
    fn never_panics(text in "(\\{\\{|\\}\\}|[-. $a-z\"`()|:=,0-9_/*ü\\\\]|range|if|end|else|with|printf|index|slice|\\.Names|\\.Count){0,40}") {
        let _ = render(&text);
    }
}
