//! YAML files of this host's owner as JSON values, for types that serde reads. For trusted files: aliases are copied out.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Number, Value};

use crate::error::{Context, Error, Result};

/// The one document in `text`.
pub(crate) fn parse(text: &str) -> Result<Value> {
    let documents = Yaml::load_from_str(text).context(|| "not YAML")?;
    match &documents[..] {
        [document] => value(document),
        [] => Ok(Value::Null),
        _ => Err(Error::new("more than one YAML document")),
    }
}

fn value(node: &Yaml<'_>) -> Result<Value> {
    Ok(match node {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(flag) => Value::Bool(*flag),
            Scalar::Integer(number) => Value::from(*number),
            Scalar::FloatingPoint(number) => Number::from_f64(number.0).map_or(Value::Null, Value::Number),
            Scalar::String(text) => Value::String(text.to_string()),
        },
        Yaml::Sequence(list) => Value::Array(list.iter().map(value).collect::<Result<_>>()?),
        Yaml::Mapping(map) => {
            let mut object = Map::new();
            for (key, entry) in map {
                let Yaml::Value(Scalar::String(key)) = key else {
                    return Err(Error::new("a YAML key is not a word"));
                };
                object.insert(key.to_string(), value(entry)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(_, node) => value(node)?,
        _ => return Err(Error::new("YAML of an unknown kind")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_values() {
        let text = "a: 1\nb: [x, 'y', true, null, 1.5]\nc:\n  d: \"2\"\n";
        assert_eq!(
            parse(text).expect("reads"),
            serde_json::json!({ "a": 1, "b": ["x", "y", true, null, 1.5], "c": { "d": "2" } })
        );
        assert_eq!(parse("").expect("reads"), Value::Null);
        for bad in ["a: [", "? [x]\n: 1\n", "---\na: 1\n---\nb: 1\n"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
