//! Go's types for JSON values: which fields a struct has, in which order, and what stands for an empty one.
//!
//! JSON leaves out what is empty, and does not tell a struct from a map or a time from a text. A template of Podman's sees the
//! difference: a field that is left out is empty, not unknown; `{{.HostConfig.RestartPolicy}}` is `{on-failure 3}` and not
//! `map[…]`; `{{.State.StartedAt.Year}}` is a number. [`dress`] puts what the type knows into the value, under keys that
//! no JSON of ours has; [`view`] reads it.

use serde_json::{Map, Value};

/// The type of a value.
#[derive(Debug)]
pub(crate) enum Type {
    /// What JSON says; nil where it says nothing.
    Any,
    Text,
    Number,
    Bool,
    /// time.Time
    Time,
    List(&'static Type),
    Map(&'static Type),
    Struct(&'static [Field]),
    /// Of a struct; nil where it is left out.
    Pointer(&'static [Field]),
}

/// A field of a struct, by its name in Go. Its key in JSON may be in another case.
#[derive(Debug)]
pub(crate) struct Field(pub &'static str, pub Type);

const STRUCT: &str = "\0struct";
const TIME: &str = "\0time";
const NIL: &str = "\0nil";

/// Puts the type's knowledge into `value`.
pub(crate) fn dress(value: Value, of: &Type) -> Value {
    match (of, value) {
        (Type::Text, Value::Null) => "".into(),
        (Type::Number, Value::Null) => 0.into(),
        (Type::Bool, Value::Null) => false.into(),
        (Type::Time, Value::String(text)) => mark(TIME, text),
        (Type::Time, Value::Null) => mark(TIME, "0001-01-01T00:00:00Z"),
        (Type::List(_), Value::Null) => mark(NIL, "[]"),
        (Type::Map(_), Value::Null) => mark(NIL, "map[]"),
        (Type::List(element), Value::Array(list)) => list.into_iter().map(|value| dress(value, element)).collect(),
        (Type::Map(element), Value::Object(map)) => {
            // Keys are somebody else's words, and may not pass for ours.
            let own = |key: &String| !key.starts_with('\0');
            map.into_iter().filter(|(key, _)| own(key)).map(|(key, value)| (key, dress(value, element))).collect()
        }
        (Type::Struct(fields), Value::Null) => structure(Map::new(), fields),
        (Type::Struct(fields) | Type::Pointer(fields), Value::Object(map)) => structure(map, fields),
        (_, value) => value,
    }
}

fn mark(key: &str, value: impl Into<Value>) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value.into())]))
}

/// Fields that the type does not know come last.
fn structure(mut map: Map<String, Value>, fields: &[Field]) -> Value {
    let mut dressed = Map::new();
    let mut names: Vec<Value> = Vec::new();
    for Field(name, of) in fields {
        let key = map.keys().find(|key| is_of(key, name)).cloned();
        let value = key.as_ref().and_then(|key| map.remove(key)).unwrap_or_default();
        dressed.insert((*name).to_owned(), dress(value, of));
        // With its key in JSON, if it is there.
        names.push(vec![Some((*name).to_owned()), key].into());
    }
    for (key, value) in map.into_iter().filter(|(key, _)| !key.starts_with('\0')) {
        names.push(vec![key.clone(), key.clone()].into());
        dressed.insert(key, value);
    }
    dressed.insert(STRUCT.to_owned(), names.into());
    Value::Object(dressed)
}

/// Whether a key in JSON, as in `created_by`, is that of the field.
fn is_of(key: &str, field: &str) -> bool {
    let letters = key.bytes().filter(|byte| *byte != b'_');
    letters.map(|byte| byte.to_ascii_lowercase()).eq(field.bytes().map(|byte| byte.to_ascii_lowercase()))
}

/// A value as its type has it.
#[derive(Debug)]
pub(super) enum View<'v> {
    Struct(Structure<'v>),
    /// RFC 3339
    Time(&'v str),
    /// An empty list or map, and how it is written.
    Nil(&'v str),
    /// What JSON has.
    Plain,
}

pub(super) fn view(value: &Value) -> View<'_> {
    let Value::Object(map) = value else { return View::Plain };
    let text = |key| map.get(key).and_then(Value::as_str);
    match (map.get(STRUCT), text(TIME), text(NIL)) {
        (Some(Value::Array(names)), ..) => View::Struct(Structure { map, names }),
        (_, Some(time), _) => View::Time(time),
        (_, _, Some(nil)) => View::Nil(nil),
        _ => View::Plain,
    }
}

/// A dressed struct.
#[derive(Debug, Clone, Copy)]
pub(super) struct Structure<'v> {
    map: &'v Map<String, Value>,
    names: &'v [Value],
}

/// Other names of fields, which Podman's templates take as well.
const ALIASES: [(&str, &str); 2] = [("Id", "ID"), ("Healthcheck", "Health")];

impl<'v> Structure<'v> {
    /// The field's name in the map.
    pub(super) fn find(self, name: &str, any_case: bool) -> Option<&'v str> {
        let exactly = |name: &str| self.names().find(|known| *known == name);
        let aliased = || ALIASES.iter().find(|(alias, _)| *alias == name).and_then(|(_, field)| exactly(field));
        let by_key = || self.names.iter().find(|pair| pair.get(1).is_some_and(|key| key == name));
        let alike = || self.names().find(|known| any_case && known.eq_ignore_ascii_case(name));
        exactly(name).or_else(aliased).or_else(|| by_key()?.get(0)?.as_str()).or_else(alike)
    }

    pub(super) fn names(self) -> impl Iterator<Item = &'v str> {
        self.names.iter().filter_map(|pair| pair.get(0)?.as_str())
    }

    pub(super) fn values(self) -> impl Iterator<Item = &'v Value> {
        self.names().filter_map(move |name| self.map.get(name))
    }

    fn in_json(self) -> impl Iterator<Item = (&'v str, &'v Value)> {
        self.names.iter().filter_map(move |pair| Some((pair.get(1)?.as_str()?, self.map.get(pair.get(0)?.as_str()?)?)))
    }
}

/// The JSON of a value, structs in the order of their fields.
pub(super) fn json(value: &Value) -> String {
    let object = |pairs: &mut dyn Iterator<Item = (&str, &Value)>| {
        let pairs: Vec<String> = pairs.map(|(key, value)| format!("{}:{}", Value::from(key), json(value))).collect();
        format!("{{{}}}", pairs.join(","))
    };
    match (view(value), value) {
        (View::Struct(structure), _) => object(&mut structure.in_json()),
        (View::Time(time), _) => Value::from(time).to_string(),
        (View::Nil(_), _) => "null".to_owned(),
        (View::Plain, Value::Object(map)) => object(&mut map.iter().map(|(key, value)| (key.as_str(), value))),
        (View::Plain, Value::Array(list)) => format!("[{}]", list.iter().map(json).collect::<Vec<_>>().join(",")),
        (View::Plain, value) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Options, Template};
    use super::*;

    const POLICY: &[Field] = &[Field("Name", Type::Text), Field("MaximumRetryCount", Type::Number)];

    const CONTAINER: Type = Type::Struct(&[
        Field("ID", Type::Text),
        Field("Created", Type::Time),
        Field("Policy", Type::Pointer(POLICY)),
        Field("Health", Type::Pointer(POLICY)),
        Field("Mounts", Type::List(&Type::Struct(&[Field("Name", Type::Text), Field("RW", Type::Bool)]))),
        Field("Links", Type::List(&Type::Text)),
        Field("Ports", Type::Map(&Type::Struct(&[]))),
        Field("Options", Type::Map(&Type::Text)),
    ]);

    fn render(template: &str) -> Result<String, String> {
        let value = json!({
            "Id": "05", "Created": "2026-11-03T04:05:06Z", "Policy": { "MaximumRetryCount": 3, "Name": "on-failure" },
            "Mounts": [{ "RW": true }], "Links": null, "Ports": { "80/tcp": {}, "\0time": "x" }, "Extra": 1,
        });
        let template = Template::parse("t", template, Options::default()).map_err(|e| e.to_string())?;
        template.render(&dress(value, &CONTAINER)).map_err(|e| e.to_string())
    }

    #[test]
    fn what_go_prints() {
        for (template, wanted) in [
            ("{{.Id}} {{.ID}}", "05 05"),
            ("{{.Policy}} {{.Health}} {{.Mounts}} {{.Links}} {{.Options}}", "{on-failure 3} <nil> [{ true}] [] map[]"),
            ("{{.Ports}} {{range $p, $e := .Ports}}{{$p}}{{end}}", "map[80/tcp:{}] 80/tcp"),
            ("{{range .Mounts}}<{{.Name}}>{{end}}{{range .Links}}x{{else}}none{{end}}", "<>none"),
            ("{{if .Health}}a{{else}}b{{end}}{{if .Policy}}a{{end}}{{if .Options}}a{{end}}", "ba"),
            ("{{with .Health}}{{.Name}}{{else}}no health{{end}}", "no health"),
            (
                "{{.Created}} {{.Created.Year}} {{.Created.Format \"02.01.\"}}",
                "2026-11-03 04:05:06 +0000 UTC 2026 03.11.",
            ),
            (
                "{{json .Policy}} {{json .Links}} {{json .Created}}",
                "{\"Name\":\"on-failure\",\"MaximumRetryCount\":3} null \"2026-11-03T04:05:06Z\"",
            ),
            (
                "{{len .Links}} {{join .Links \",\"}}{{index .Options \"x\"}} {{printf \"%v\" .Policy}}",
                "0  {on-failure 3}",
            ),
            ("{{.Extra}} {{json .Ports}}", "1 {\"80/tcp\":{}}"),
        ] {
            assert_eq!(render(template).as_deref(), Ok(wanted), "{template}");
        }
        let all = render("{{json .}}").expect("renders");
        assert!(all.starts_with("{\"Id\":\"05\",\"Created\":") && all.ends_with("\"Extra\":1}"), "{all}");
        for (template, wrong) in [("{{.Nosuch}}", "can't evaluate field Nosuch"), ("{{.Health.Name}}", "nil pointer")] {
            assert!(render(template).is_err_and(|error| error.contains(wrong)), "{template}");
        }
    }
}
