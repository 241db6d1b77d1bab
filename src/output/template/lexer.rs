//! Template text → tokens. White space inside an action is a token of its own: `.A.B` is one operand, `.A .B` are two.

use super::Position;
use super::literal;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// Text outside `{{ }}`, trimmed as the neighbouring `{{-` and `-}}` say.
    Text(String),
    Open,
    Close,
    /// `.Name`
    Field(String),
    Dot,
    /// `$name`, or `$` alone
    Variable(String),
    Word(String),
    Quoted(String),
    Number(serde_json::Number),
    Pipe,
    LeftParen,
    RightParen,
    Declare,
    Assign,
    Comma,
    Space,
}

/// A token and where it begins in the template.
pub(super) type Located = (Token, Position);

/// What is wrong, and where.
pub(super) type Fault = (Position, String);

pub(super) fn tokens(text: &str) -> Result<Vec<Located>, Fault> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    let mut trim_next = false;
    loop {
        let start = lexer.at;
        let found = text[start..].find("{{");
        let mut outside = &text[start..found.map_or(text.len(), |i| start + i)];
        if trim_next {
            outside = outside.trim_start_matches(WHITE);
        }
        let Some(offset) = found else {
            lexer.push_text(outside, start);
            return Ok(lexer.tokens);
        };
        lexer.at = start + offset + 2;
        let trims = text[lexer.at..].strip_prefix('-').is_some_and(|rest| rest.starts_with(WHITE));
        if trims {
            outside = outside.trim_end_matches(WHITE);
            lexer.at += 1;
        }
        lexer.push_text(outside, start);
        trim_next = match lexer.comment()? {
            Some(trim) => trim,
            None => lexer.action(start + offset)?,
        };
    }
}

const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Located>,
}

impl Lexer<'_> {
    fn push_text(&mut self, text: &str, at: usize) {
        if !text.is_empty() {
            self.tokens.push((Token::Text(text.to_owned()), at));
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Passes over `/* … */`; answers whether the text after it is to be trimmed.
    fn comment(&mut self) -> Result<Option<bool>, Fault> {
        let inner = self.rest().trim_start_matches(WHITE);
        let Some(body) = inner.strip_prefix("/*") else { return Ok(None) };
        let start = self.text.len() - inner.len();
        let Some(end) = body.find("*/") else { return Err((start, "unclosed comment".to_owned())) };
        self.at = start + 2 + end + 2;
        match self.closing() {
            Some((length, trim)) => {
                self.at += length;
                Ok(Some(trim))
            }
            None => Err((start, "comment ends before closing delimiter".to_owned())),
        }
    }

    /// The closing delimiter here: how long it is (with the white space before a trim marker), and whether it trims.
    fn closing(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Some((2, false));
        }
        let trimmed = rest.trim_start_matches(WHITE);
        let spaces = rest.len() - trimmed.len();
        (spaces > 0 && trimmed.starts_with("-}}")).then_some((spaces + 3, true))
    }

    /// One action up to and including its closing delimiter; answers whether the text after it is to be trimmed.
    fn action(&mut self, open: Position) -> Result<bool, Fault> {
        self.tokens.push((Token::Open, open));
        let mut depth = 0usize;
        loop {
            if let Some((length, trim)) = self.closing() {
                if depth > 0 {
                    return Err((self.at, "unclosed left paren".to_owned()));
                }
                self.tokens.push((Token::Close, self.at));
                self.at += length;
                return Ok(trim);
            }
            let at = self.at;
            let Some(c) = self.rest().chars().next() else { return Err((open, "unclosed action".to_owned())) };
            let token = self.token(c)?;
            match token {
                Token::LeftParen => depth += 1,
                Token::RightParen if depth == 0 => return Err((at, "unexpected right paren".to_owned())),
                Token::RightParen => depth -= 1,
                _ => {}
            }
            self.tokens.push((token, at));
        }
    }

    fn token(&mut self, c: char) -> Result<Token, Fault> {
        let at = self.at;
        let single = |lexer: &mut Self, length: usize, token: Token| {
            lexer.at += length;
            Ok(token)
        };
        match c {
            ' ' | '\t' | '\r' | '\n' => {
                let length = self.rest().len() - self.rest().trim_start_matches(WHITE).len();
                single(self, length, Token::Space)
            }
            '|' => single(self, 1, Token::Pipe),
            '(' => single(self, 1, Token::LeftParen),
            ')' => single(self, 1, Token::RightParen),
            ',' => single(self, 1, Token::Comma),
            '=' => single(self, 1, Token::Assign),
            ':' if self.rest().starts_with(":=") => single(self, 2, Token::Declare),
            ':' => Err((at, "expected :=".to_owned())),
            '"' | '`' | '\'' => self.quoted(c),
            '$' => {
                self.at += 1;
                let name = self.name();
                Ok(Token::Variable(name))
            }
            '.' if !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.at += 1;
                let name = self.name();
                Ok(if name.is_empty() { Token::Dot } else { Token::Field(name) })
            }
            '.' | '+' | '-' | '0'..='9' => self.number(),
            c if is_letter(c) => Ok(Token::Word(self.name())),
            c => Err((at, format!("unexpected {:?} in command", c.to_string()))),
        }
    }

    /// Letters, digits and underscores from here on.
    fn name(&mut self) -> String {
        let rest = self.rest();
        let end = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        self.at += end;
        name
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Fault> {
        let (at, body) = (self.at, &self.text[self.at + 1..]);
        let mut escaped = false;
        for (i, c) in body.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quote != '`' => escaped = true,
                '\n' if quote != '`' => break,
                c if c == quote => {
                    self.at += i + 2;
                    let bad = || (at, format!("invalid syntax in {quote}{}{quote}", &body[..i]));
                    return match quote {
                        '`' => Ok(Token::Quoted(body[..i].to_owned())),
                        '"' => literal::unescape(&body[..i]).map(Token::Quoted).ok_or_else(bad),
                        _ => {
                            let text = literal::unescape(&body[..i]).ok_or_else(bad)?;
                            let mut chars = text.chars();
                            match (chars.next(), chars.next()) {
                                (Some(c), None) => Ok(Token::Number(u32::from(c).into())),
                                _ => Err(bad()),
                            }
                        }
                    };
                }
                _ => {}
            }
        }
        Err((
            at,
            match quote {
                '"' => "unterminated quoted string",
                '`' => "unterminated raw quoted string",
                _ => "unterminated character constant",
            }
            .to_owned(),
        ))
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let (at, rest) = (self.at, self.rest());
        let mut previous = ' ';
        let length = rest
            .char_indices()
            .find(|(i, c)| {
                let sign = matches!(c, '+' | '-') && (*i == 0 || matches!(previous, 'e' | 'E' | 'p' | 'P'));
                previous = *c;
                !(sign || c.is_ascii_alphanumeric() || matches!(c, '.' | '_'))
            })
            .map_or(rest.len(), |(i, _)| i);
        let text = &rest[..length];
        let number = literal::number(text).ok_or_else(|| (at, format!("bad number syntax: {text:?}")))?;
        self.at += length;
        Ok(Token::Number(number))
    }
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
