//! Tokens → nodes.

use std::collections::HashMap;

use serde_json::Value;

use super::ast::{Branch, Command, Kind, Node, Operand, Pipeline};
use super::lexer::{self, Fault, Located, Token};
use super::{Position, functions};

/// Deep enough for people; keeps a nest of parentheses from ending the process.
const MAX_DEPTH: usize = 200;

/// The nodes of the template itself, and of those it defines.
pub(super) struct Parsed {
    pub root: Vec<Node>,
    pub defined: HashMap<String, Vec<Node>>,
}

pub(super) fn parse(text: &str) -> Result<Parsed, Fault> {
    let mut parser = Parser {
        tokens: lexer::tokens(text)?,
        next: 0,
        end: text.len(),
        variables: vec![String::new()],
        defined: HashMap::new(),
        depth: 0,
        loops: 0,
    };
    let (root, ended) = parser.nodes()?;
    match ended {
        Stop::Eof => Ok(Parsed { root, defined: parser.defined }),
        Stop::Else(at, _) => Err((at, "unexpected {{else}}".to_owned())),
        Stop::End(at) => Err((at, "unexpected {{end}}".to_owned())),
    }
}

/// What a list of nodes ended at.
enum Stop {
    Eof,
    End(Position),
    /// With the word behind it: `if` or `with`.
    Else(Position, Option<&'static str>),
}

struct Parser {
    tokens: Vec<Located>,
    next: usize,
    end: Position,
    /// Names in scope, without their `$`.
    variables: Vec<String>,
    defined: HashMap<String, Vec<Node>>,
    depth: usize,
    loops: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    fn at(&self) -> Position {
        self.tokens.get(self.next).map_or(self.end, |(_, at)| *at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).map(|(token, _)| token.clone());
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&Token::Space) {
            self.next += 1;
        }
    }

    fn word(&self) -> Option<&str> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn fault<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err((self.at().min(self.end), message.into()))
    }

    fn close(&mut self, context: &str) -> Result<(), Fault> {
        self.skip_space();
        if self.peek() == Some(&Token::Close) {
            self.next += 1;
            return Ok(());
        }
        self.fault(format!("unexpected {} in {context}", self.describe()))
    }

    fn describe(&self) -> String {
        match self.peek() {
            None => "end of template".to_owned(),
            Some(Token::Close) => "\"}}\"".to_owned(),
            Some(Token::Field(name)) => format!("<.{name}>"),
            Some(Token::Variable(name)) => format!("<${name}>"),
            Some(Token::Word(name)) => format!("<{name}>"),
            Some(Token::Quoted(text)) => format!("{text:?}"),
            Some(Token::Number(number)) => format!("{:?}", number.to_string()),
            Some(Token::Pipe) => "\"|\"".to_owned(),
            Some(Token::Comma) => "\",\"".to_owned(),
            Some(Token::Declare) => "\":=\"".to_owned(),
            Some(Token::Assign) => "\"=\"".to_owned(),
            Some(Token::LeftParen) => "\"(\"".to_owned(),
            Some(Token::RightParen) => "\")\"".to_owned(),
            Some(other) => format!("{other:?}"),
        }
    }

    /// Nodes up to the end of the template, `{{end}}` or `{{else}}`.
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fault("nested too deeply");
        }
        let mut nodes = Vec::new();
        let ended = loop {
            let at = self.at();
            match self.take() {
                None => break Stop::Eof,
                Some(Token::Text(text)) => nodes.push(Node::Text(text)),
                Some(_) => {
                    self.skip_space();
                    match self.word() {
                        Some("end") => {
                            self.next += 1;
                            self.close("end")?;
                            break Stop::End(at);
                        }
                        Some("else") => {
                            self.next += 1;
                            self.skip_space();
                            let chained = ["if", "with"].into_iter().find(|word| self.word() == Some(word));
                            if chained.is_some() {
                                self.next += 1;
                            } else {
                                self.close("else")?;
                            }
                            break Stop::Else(at, chained);
                        }
                        _ => nodes.extend(self.action(at)?),
                    }
                }
            }
        };
        self.depth -= 1;
        Ok((nodes, ended))
    }

    fn action(&mut self, at: Position) -> Result<Option<Node>, Fault> {
        let keyword = self.word().map(str::to_owned);
        let scope = self.variables.len();
        let node = match keyword.as_deref() {
            Some(word @ ("if" | "with" | "range")) => {
                self.next += 1;
                let node = match word {
                    "if" => Node::If(self.branch("if", at)?),
                    "with" => Node::With(self.branch("with", at)?),
                    _ => Node::Range(self.branch("range", at)?),
                };
                self.variables.truncate(scope);
                node
            }
            Some(word @ ("break" | "continue")) => {
                if self.loops == 0 {
                    return self.fault(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                self.next += 1;
                self.close(word)?;
                if word == "break" { Node::Break } else { Node::Continue }
            }
            Some("define") => {
                self.next += 1;
                let name = self.quoted("define")?;
                self.close("define")?;
                self.definition(name, at, "define")?;
                return Ok(None);
            }
            Some(word @ ("template" | "block")) => {
                self.next += 1;
                let name = self.quoted(word)?;
                self.skip_space();
                let argument = if self.peek() == Some(&Token::Close) { None } else { Some(self.pipeline(word)?) };
                self.close(word)?;
                if word == "block" {
                    self.definition(name.clone(), at, "block")?;
                }
                Node::Template { name, argument, at }
            }
            _ => {
                let pipeline = self.pipeline("command")?;
                self.close("command")?;
                Node::Action(pipeline)
            }
        };
        Ok(Some(node))
    }

    fn quoted(&mut self, context: &str) -> Result<String, Fault> {
        self.skip_space();
        match self.peek().cloned() {
            Some(Token::Quoted(text)) => {
                self.next += 1;
                Ok(text)
            }
            _ => self.fault(format!("unexpected {} in {context} clause", self.describe())),
        }
    }

    fn definition(&mut self, name: String, at: Position, context: &str) -> Result<(), Fault> {
        // A defined template sees no variable of the one around it.
        let (variables, loops) = (std::mem::replace(&mut self.variables, vec![String::new()]), self.loops);
        self.loops = 0;
        let (nodes, ended) = self.nodes()?;
        (self.variables, self.loops) = (variables, loops);
        match ended {
            Stop::End(_) => {
                self.defined.insert(name, nodes);
                Ok(())
            }
            Stop::Else(at, _) => Err((at, format!("unexpected {{{{else}}}} in {context} clause"))),
            Stop::Eof => Err((at, "unexpected EOF".to_owned())),
        }
    }

    fn branch(&mut self, word: &'static str, at: Position) -> Result<Branch, Fault> {
        self.skip_space();
        let pipeline = self.pipeline(word)?;
        self.close(word)?;
        let scope = self.variables.len();
        self.loops += usize::from(word == "range");
        let (body, ended) = self.nodes()?;
        self.loops -= usize::from(word == "range");
        self.variables.truncate(scope);
        let otherwise = match ended {
            Stop::End(_) => Vec::new(),
            Stop::Eof => return Err((at, "unexpected EOF".to_owned())),
            Stop::Else(at, None) => match self.nodes()? {
                (nodes, Stop::End(_)) => nodes,
                (_, Stop::Else(at, _)) => return Err((at, "expected end; found {{else}}".to_owned())),
                (_, Stop::Eof) => return Err((at, "unexpected EOF".to_owned())),
            },
            // {{else if}} shares the {{end}} of the {{if}} it belongs to.
            Stop::Else(at, Some(chained)) if chained == word => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return self.fault("nested too deeply");
                }
                let branch = self.branch(chained, at)?;
                self.depth -= 1;
                vec![if chained == "if" { Node::If(branch) } else { Node::With(branch) }]
            }
            Stop::Else(at, Some(chained)) => return Err((at, format!("unexpected <{chained}> in else"))),
        };
        Ok(Branch { pipeline, body, otherwise })
    }

    fn pipeline(&mut self, context: &str) -> Result<Pipeline, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fault("nested too deeply");
        }
        self.skip_space();
        let (variables, assigns) = self.declarations(context)?;
        let mut commands = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                Some(Token::Close | Token::RightParen) | None => break,
                _ => commands.push(self.command(context)?),
            }
            self.skip_space();
            match self.peek() {
                Some(Token::Pipe) => {
                    self.next += 1;
                    self.skip_space();
                    if matches!(self.peek(), Some(Token::Close | Token::RightParen)) {
                        return self.fault(format!("missing value for {context}"));
                    }
                }
                _ => break,
            }
        }
        if commands.is_empty() {
            return self.fault(format!("missing value for {context}"));
        }
        // Behind a `|` only something that takes an argument makes sense.
        if let Some(bad) = (1..commands.len()).find(|i| !takes_argument(&commands[*i])) {
            return Err((commands[bad].0[0].at, format!("non executable command in pipeline stage {}", bad + 1)));
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        self.depth -= 1;
        Ok(Pipeline { variables, assigns, commands })
    }

    /// `$x :=`, `$x =`, `$i, $x :=` at the beginning of a pipeline.
    fn declarations(&mut self, context: &str) -> Result<(Vec<String>, bool), Fault> {
        let start = self.next;
        let mut names = Vec::new();
        while let Some(Token::Variable(name)) = self.peek().cloned() {
            self.next += 1;
            names.push(name);
            self.skip_space();
            match self.peek() {
                Some(Token::Comma) if context == "range" && names.len() == 1 => {
                    self.next += 1;
                    self.skip_space();
                }
                Some(token @ (Token::Declare | Token::Assign)) => {
                    let assigns = *token == Token::Assign;
                    self.next += 1;
                    if let Some(name) = names.iter().find(|name| assigns && !self.variables.contains(name)) {
                        return self.fault(format!("undefined variable \"${name}\""));
                    }
                    return Ok((names, assigns));
                }
                _ => break,
            }
        }
        self.next = start;
        Ok((Vec::new(), false))
    }

    fn command(&mut self, context: &str) -> Result<Command, Fault> {
        let mut operands = Vec::new();
        loop {
            operands.push(self.operand(context)?);
            match self.peek() {
                Some(Token::Space) => {
                    self.skip_space();
                    if matches!(self.peek(), Some(Token::Close | Token::RightParen | Token::Pipe) | None) {
                        break;
                    }
                }
                Some(Token::Close | Token::RightParen | Token::Pipe) | None => break,
                _ => return self.fault(format!("unexpected {} in operand", self.describe())),
            }
        }
        let callable = matches!(operands[0].kind, Kind::Function(_)) || !operands[0].fields.is_empty();
        if operands.len() > 1 && !callable {
            return Err((operands[0].at, "can't give argument to non-function".to_owned()));
        }
        Ok(Command(operands))
    }

    fn operand(&mut self, context: &str) -> Result<Operand, Fault> {
        let at = self.at();
        let mut fields = Vec::new();
        let kind = match self.peek().cloned() {
            Some(Token::Dot) => Kind::Dot,
            Some(Token::Field(name)) => {
                fields.push(name);
                Kind::Dot
            }
            Some(Token::Variable(name)) if self.variables.contains(&name) => Kind::Variable(name),
            Some(Token::Variable(name)) => return self.fault(format!("undefined variable \"${name}\"")),
            Some(Token::Quoted(text)) => Kind::Constant(Value::String(text)),
            Some(Token::Number(number)) => Kind::Constant(Value::Number(number)),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Kind::Constant(Value::Bool(true)),
                "false" => Kind::Constant(Value::Bool(false)),
                "nil" => Kind::Nil,
                name if functions::exists(name) => Kind::Function(word),
                name => return self.fault(format!("function {name:?} not defined")),
            },
            Some(Token::LeftParen) => {
                self.next += 1;
                let inner = self.pipeline("parenthesized pipeline")?;
                self.skip_space();
                if self.peek() != Some(&Token::RightParen) {
                    return self.fault("unclosed left paren");
                }
                Kind::Parenthesised(Box::new(inner))
            }
            _ => return self.fault(format!("unexpected {} in {context}", self.describe())),
        };
        self.next += 1;
        while let Some(Token::Field(name)) = self.peek().cloned() {
            if matches!(kind, Kind::Constant(_) | Kind::Nil) {
                return self.fault(format!("unexpected . after term {}", self.describe()));
            }
            fields.push(name);
            self.next += 1;
        }
        Ok(Operand { kind, fields, at, end: self.at() })
    }
}

fn takes_argument(command: &Command) -> bool {
    command.0.first().is_some_and(|first| matches!(first.kind, Kind::Function(_)) || !first.fields.is_empty())
}
