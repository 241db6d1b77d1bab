//! JSON values as block-style YAML, for `info`.

use serde_json::Value;

/// The lines of `value`, which is an object or a list.
pub(crate) fn render(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

fn block(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                text.push_str(&format!("{indent}{}:", scalar(key)));
                entry(text, value, depth);
            }
        }
        Value::Array(items) => {
            for item in items {
                // The first key of an object stands behind the dash.
                let mut inner = String::new();
                if is_block(item) {
                    block(&mut inner, item, depth + 1);
                } else {
                    inner = format!("{indent}  {}\n", leaf(item));
                }
                text.push_str(&format!("{indent}- {}", inner.trim_start()));
            }
        }
        _ => {}
    }
}

fn entry(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::String(lines) if lines.contains('\n') && lines.chars().all(|c| c == '\n' || !c.is_control()) => {
            text.push_str(" |-\n");
            for line in lines.trim_end_matches('\n').lines() {
                text.push_str(&format!("{}{line}\n", "  ".repeat(depth + 1)));
            }
        }
        // A list is indented like its key, an object one step more.
        Value::Array(_) if is_block(value) => {
            text.push('\n');
            block(text, value, depth);
        }
        _ if is_block(value) => {
            text.push('\n');
            block(text, value, depth + 1);
        }
        _ => text.push_str(&format!(" {}\n", leaf(value))),
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Plain where YAML reads it back as the same string, otherwise quoted as JSON, which YAML understands.
fn scalar(text: &str) -> String {
    let special = ["true", "false", "null", "yes", "no", "on", "off", "~", ""];
    let plain = !special.contains(&text.to_ascii_lowercase().as_str())
        && text.parse::<f64>().is_err()
        && !text.starts_with(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '_' && c != '.')
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(|c| !c.is_control());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn blocks_and_quotes() {
        let value = json!({"a": {"list": [{"x": 1, "y": "two"}, "plain", []], "none": {}, "text": "l1\nl2"},
                           "b": "13", "c": "true", "d": "/usr/bin/x", "e": "k: v", "f": null, "g": true});
        assert_eq!(
            super::render(&value),
            "a:\n  list:\n  - x: 1\n    y: two\n  - plain\n  - []\n  none: {}\n  text: |-\n    l1\n    l2\n\
             b: \"13\"\nc: \"true\"\nd: /usr/bin/x\ne: \"k: v\"\nf: null\ng: true\n"
        );
    }
}
