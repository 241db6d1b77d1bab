//! Nodes + data → text.

use std::borrow::Cow;

use serde_json::Value;

use super::ast::{Branch, Command, Kind, Node, Operand, Pipeline};
use super::parser::Parsed;
use super::types::{View, view};
use super::{Options, Position, functions, text, time};
use crate::output::escape;

/// A value; `None` is Go's `<no value>`, what a map answers for a key that it lacks.
pub(super) type Val<'v> = Option<Cow<'v, Value>>;

/// Templates that call themselves end here.
const MAX_DEPTH: usize = 100;

/// Why a template could not be carried out; the positions quote the guilty part.
#[derive(Debug)]
pub(super) struct Fault {
    pub at: Position,
    pub end: Position,
    pub message: String,
    pub hint: Option<String>,
}

/// What a list of nodes did to the loop around it.
#[derive(PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

pub(super) fn run(parsed: &Parsed, options: Options, data: &Value) -> Result<String, Fault> {
    let root = Some(Cow::Borrowed(data));
    let mut state =
        State { parsed, options, out: String::new(), variables: vec![(String::new(), root.clone())], depth: 0 };
    state.nodes(&parsed.root, &root)?;
    Ok(state.out)
}

struct State<'p, 'v> {
    parsed: &'p Parsed,
    options: Options,
    out: String,
    /// The innermost last; the nameless first one is `$`.
    variables: Vec<(String, Val<'v>)>,
    depth: usize,
}

impl<'v> State<'_, 'v> {
    fn nodes(&mut self, nodes: &[Node], dot: &Val<'v>) -> Result<Flow, Fault> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &Node, dot: &Val<'v>) -> Result<Flow, Fault> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.print(&value);
                }
            }
            Node::If(branch) | Node::With(branch) => {
                let scope = self.variables.len();
                let value = self.pipeline(&branch.pipeline, dot)?;
                let flow = if !text::truth(value.as_deref()) {
                    self.nodes(&branch.otherwise, dot)
                } else if matches!(node, Node::With(_)) {
                    self.nodes(&branch.body, &value)
                } else {
                    self.nodes(&branch.body, dot)
                };
                self.variables.truncate(scope);
                return flow;
            }
            Node::Range(branch) => {
                let scope = self.variables.len();
                let flow = self.range(branch, dot);
                self.variables.truncate(scope);
                return flow;
            }
            Node::Template { name, argument, at } => self.template(name, argument.as_ref(), *at, dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, value: &Val<'v>) {
        let text = text::of_optional(value.as_deref());
        if self.options.escape { self.out.push_str(&escape::text(&text)) } else { self.out.push_str(&text) }
    }

    fn range(&mut self, branch: &Branch, dot: &Val<'v>) -> Result<Flow, Fault> {
        let pipeline = &branch.pipeline;
        let over = self.value_of(pipeline, dot)?;
        let items = items(over.as_ref()).map_err(|message| fault(pipeline, message))?;
        if items.is_empty() {
            return self.nodes(&branch.otherwise, dot);
        }
        let scope = self.variables.len();
        for (key, item) in items {
            match pipeline.variables.as_slice() {
                [] => {}
                [value] => self.bind(value, item.clone(), pipeline.assigns),
                [index, value, ..] => {
                    self.bind(index, Some(Cow::Owned(key)), pipeline.assigns);
                    self.bind(value, item.clone(), pipeline.assigns);
                }
            }
            let flow = self.nodes(&branch.body, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn template(&mut self, name: &str, argument: Option<&Pipeline>, at: Position, dot: &Val<'v>) -> Result<(), Fault> {
        let fail = |message: String| Fault { at, end: at + 2, message, hint: None };
        let parsed = self.parsed;
        let nodes = parsed.defined.get(name).ok_or_else(|| fail(format!("template {name:?} not defined")))?;
        let value = argument.map(|pipeline| self.pipeline(pipeline, dot)).transpose()?.flatten();
        if self.depth == MAX_DEPTH {
            return Err(fail("exceeded maximum template depth".to_owned()));
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), value.clone())]);
        let result = self.nodes(nodes, &value);
        self.variables = outer;
        self.depth -= 1;
        result.map(drop)
    }

    fn bind(&mut self, name: &str, value: Val<'v>, assigns: bool) {
        if assigns {
            if let Some((_, old)) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                *old = value;
            }
        } else {
            self.variables.push((name.to_owned(), value));
        }
    }

    /// Evaluates and binds the variables of an action, `if` or `with`.
    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Val<'v>) -> Result<Val<'v>, Fault> {
        let value = self.value_of(pipeline, dot)?;
        if let Some(name) = pipeline.variables.first() {
            self.bind(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    fn value_of(&mut self, pipeline: &Pipeline, dot: &Val<'v>) -> Result<Val<'v>, Fault> {
        let mut last: Option<Val<'v>> = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.flatten())
    }

    fn command(&mut self, command: &Command, dot: &Val<'v>, piped: Option<Val<'v>>) -> Result<Val<'v>, Fault> {
        let (first, rest) = (&command.0[0], &command.0[1..]);
        if let Kind::Function(name) = &first.kind {
            let value = self.function(name, first, rest, dot, piped)?;
            return self.fields(value, first, &first.fields);
        }
        if rest.is_empty() && piped.is_none() {
            return self.operand(first, dot);
        }
        // A field with arguments is a method of a Go type.
        let mut arguments = self.operands(rest, dot)?;
        arguments.extend(piped);
        let Some((method, path)) = first.fields.split_last() else {
            return Err(at(first, "can't give argument to non-function".to_owned()));
        };
        let base = self.base(first, dot)?;
        let base = self.fields(base, first, path)?;
        if self.options.headers {
            return Ok(arguments.first().cloned().flatten());
        }
        functions::method(method, base.as_deref(), &arguments).map(|v| Some(Cow::Owned(v))).map_err(|e| at(first, e))
    }

    fn function(
        &mut self,
        name: &str,
        first: &Operand,
        rest: &[Operand],
        dot: &Val<'v>,
        piped: Option<Val<'v>>,
    ) -> Result<Val<'v>, Fault> {
        if let "and" | "or" = name {
            // Like Go's, these stop at the first argument that decides.
            let mut last: Option<Val<'v>> = None;
            for operand in rest {
                let value = self.operand(operand, dot)?;
                if text::truth(value.as_deref()) == (name == "or") {
                    return Ok(value);
                }
                last = Some(value);
            }
            return piped
                .or(last)
                .ok_or_else(|| at(first, format!("wrong number of args for {name}: want at least 1 got 0")));
        }
        let mut arguments = self.operands(rest, dot)?;
        arguments.extend(piped);
        let end = rest.last().map_or(first.end, |last| last.end);
        functions::call(name, &arguments).map_err(|e| Fault { end, ..at(first, format!("error calling {name}: {e}")) })
    }

    fn operands(&mut self, operands: &[Operand], dot: &Val<'v>) -> Result<Vec<Val<'v>>, Fault> {
        operands.iter().map(|operand| self.operand(operand, dot)).collect()
    }

    fn operand(&mut self, operand: &Operand, dot: &Val<'v>) -> Result<Val<'v>, Fault> {
        let base = self.base(operand, dot)?;
        self.fields(base, operand, &operand.fields)
    }

    /// The operand without its fields.
    fn base(&mut self, operand: &Operand, dot: &Val<'v>) -> Result<Val<'v>, Fault> {
        match &operand.kind {
            Kind::Dot => Ok(dot.clone()),
            Kind::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone()).ok_or_else(|| at(operand, format!("undefined variable: ${name}")))
            }
            Kind::Constant(value) => Ok(Some(Cow::Owned(value.clone()))),
            Kind::Nil => Ok(Some(Cow::Owned(Value::Null))),
            Kind::Parenthesised(pipeline) => self.value_of(pipeline, dot),
            Kind::Function(name) => self.function(name, operand, &[], dot, None),
        }
    }

    fn fields(&self, mut value: Val<'v>, operand: &Operand, names: &[String]) -> Result<Val<'v>, Fault> {
        for name in names {
            value = self.field(value, name).map_err(|(message, hint)| Fault { hint, ..at(operand, message) })?;
        }
        Ok(value)
    }

    fn field(&self, value: Val<'v>, name: &str) -> Result<Val<'v>, (String, Option<String>)> {
        let is_struct_field = name.starts_with(|c: char| c.is_ascii_uppercase());
        let Some(value) = value else {
            return Err((format!("nil pointer evaluating interface {{}}.{name}"), None));
        };
        let view = view(value.as_ref());
        if let (View::Time(time), false) = (&view, self.options.headers) {
            let found = time::method(time, name).map(|found| Some(Cow::Owned(found)));
            return found.ok_or_else(|| (format!("can't evaluate field {name} in type time.Time"), None));
        }
        let key = match (view, value.as_ref()) {
            (View::Nil(_), _) => return Ok(None),
            (View::Struct(structure), _) => match structure.find(name, self.options.any_case) {
                Some(key) => key.to_owned(),
                None if self.options.headers => return Ok(None),
                None => return Err(unknown(name, structure.names())),
            },
            (_, Value::Object(map)) => match self.key(map, name) {
                Some(key) => key,
                None if is_struct_field
                    && !self.options.headers
                    && (self.options.any_case || looks_like_struct(map)) =>
                {
                    return Err(unknown(name, map.keys().map(String::as_str)));
                }
                None => return Ok(None),
            },
            (_, Value::Null) if is_struct_field => return Err((format!("nil pointer evaluating .{name}"), None)),
            (_, Value::Null) => return Ok(None),
            (_, other) => {
                return Err((format!("can't evaluate field {name} in type {}", text::type_name(other)), None));
            }
        };
        Ok(match value {
            Cow::Borrowed(object) => object.get(&key).map(Cow::Borrowed),
            Cow::Owned(mut object) => object.get_mut(&key).map(Value::take).map(Cow::Owned),
        })
    }

    fn key(&self, map: &serde_json::Map<String, Value>, name: &str) -> Option<String> {
        if map.contains_key(name) {
            return Some(name.to_owned());
        }
        if !self.options.any_case {
            return None;
        }
        map.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
    }
}

/// A field that a struct does not have, and those that it has.
fn unknown<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> (String, Option<String>) {
    let known: Vec<_> = known.map(|key| format!(".{key}")).collect();
    (format!("can't evaluate field {name}"), Some(format!("the fields here are {}", known.join(" "))))
}

/// Labels and networks have keys of all kinds; the fields of Docker's and Podman's types are capitalised.
fn looks_like_struct(map: &serde_json::Map<String, Value>) -> bool {
    !map.is_empty() && map.keys().all(|key| key.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// Index or key and value of each element; maps in the order of their keys.
fn items<'v>(over: Option<&Cow<'v, Value>>) -> Result<Vec<(Value, Val<'v>)>, String> {
    let Some(over) = over else { return Ok(Vec::new()) };
    let element = |value: &Cow<'v, Value>, find: &dyn Fn(&Value) -> Option<&Value>| match value {
        Cow::Borrowed(whole) => find(whole).map(Cow::Borrowed),
        Cow::Owned(whole) => find(whole).cloned().map(Cow::Owned),
    };
    match over.as_ref() {
        Value::Null => Ok(Vec::new()),
        marked if !matches!(view(marked), View::Plain) => match view(marked) {
            View::Nil(_) => Ok(Vec::new()),
            _ => Err(format!("range can't iterate over {}", text::of(marked))),
        },
        Value::Array(list) => {
            Ok((0..list.len()).map(|i| (Value::from(i), element(over, &|whole| whole.get(i)))).collect())
        }
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            Ok(keys.into_iter().map(|k| (Value::from(k.as_str()), element(over, &|whole| whole.get(k)))).collect())
        }
        // Go 1.22: a number of turns.
        Value::Number(n) if n.as_u64().is_some_and(|n| n <= 1_000_000) => {
            Ok((0..n.as_u64().unwrap_or(0)).map(|i| (Value::from(i), Some(Cow::Owned(Value::from(i))))).collect())
        }
        other => Err(format!("range can't iterate over {}", text::of(other))),
    }
}

fn at(operand: &Operand, message: String) -> Fault {
    Fault { at: operand.at, end: operand.end, message, hint: None }
}

fn fault(pipeline: &Pipeline, message: String) -> Fault {
    let operands = || pipeline.commands.iter().flat_map(|command| &command.0);
    let (start, end) = (operands().next().map_or(0, |o| o.at), operands().last().map_or(0, |o| o.end));
    Fault { at: start, end, message, hint: None }
}
