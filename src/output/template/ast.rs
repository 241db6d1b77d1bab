//! What a template is after parsing.

use serde_json::Value;

use super::Position;

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { name: String, argument: Option<Pipeline>, at: Position },
    Break,
    Continue,
}

/// `{{if PIPELINE}} BODY {{else}} OTHERWISE {{end}}`, and the same for `with` and `range`.
#[derive(Debug)]
pub(super) struct Branch {
    pub pipeline: Pipeline,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    /// `$x :=`, or two in a `range`.
    pub variables: Vec<String>,
    /// `=` instead of `:=`
    pub assigns: bool,
    pub commands: Vec<Command>,
}

/// A function or field with its arguments, or a single operand.
#[derive(Debug)]
pub(super) struct Command(pub Vec<Operand>);

#[derive(Debug)]
pub(super) struct Operand {
    pub kind: Kind,
    /// `.A.B` behind the operand.
    pub fields: Vec<String>,
    pub at: Position,
    /// How far it reaches in the template's text; error messages quote it.
    pub end: Position,
}

#[derive(Debug)]
pub(super) enum Kind {
    Dot,
    Variable(String),
    Function(String),
    Constant(Value),
    Nil,
    Parenthesised(Box<Pipeline>),
}
