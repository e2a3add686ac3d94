//! Tokens → nodes.

use super::lexer::{self, Placed, Token};
use super::{Error, Position, Value};

/// How deep actions and parentheses may nest; hostile input must not exhaust the stack.
const MAX_DEPTH: usize = 64;

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    /// Text as it stands.
    Text(String),
    /// A pipeline whose value is printed.
    Action(Pipeline),
    /// `if`, with its `else`.
    If(Branch),
    /// `with`, with its `else`.
    With(Branch),
    /// `range`, with its `else`.
    Range(Branch),
    /// `break`
    Break,
    /// `continue`
    Continue,
}

/// A condition and what follows from it.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands whose results flow from one to the next.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    /// `:=` declares, `=` assigns.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
}

/// An operand with arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
}

/// A value in a command.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) term: Term,
    /// `.A.B` after the term.
    pub(super) fields: Vec<String>,
    pub(super) position: Position,
}

/// What an operand begins with.
#[derive(Debug)]
pub(super) enum Term {
    /// `.`, also before fields.
    Dot,
    /// `$name`
    Variable(String),
    /// A literal.
    Literal(Value),
    /// The name of a function.
    Function(String),
    /// `( … )`
    Parenthesized(Box<Pipeline>),
}

impl Operand {
    /// The operand as written, for messages.
    pub(super) fn source(&self) -> String {
        let mut text = match &self.term {
            Term::Dot if self.fields.is_empty() => ".".to_owned(),
            Term::Dot => String::new(),
            Term::Variable(name) => format!("${name}"),
            Term::Literal(Value::Text(text)) => format!("{text:?}"),
            Term::Literal(value) => super::go_text(value),
            Term::Function(name) => name.clone(),
            Term::Parenthesized(_) => "(…)".to_owned(),
        };
        for field in &self.fields {
            text.push('.');
            text.push_str(field);
        }
        text
    }
}

/// Parses a whole template.
pub(super) fn parse(source: &str) -> Result<Vec<Node>, Error> {
    let tokens = lexer::tokens(source)?;
    let mut parser = Parser { tokens: &tokens, next: 0, depth: 0, ranges: 0 };
    let (nodes, end) = parser.nodes()?;
    match end {
        End::Input => Ok(nodes),
        End::Keyword => Err(parser.error("unexpected {{end}}")),
        End::Else(_) => Err(parser.error("unexpected {{else}}")),
    }
}

/// What ended a list of nodes.
enum End {
    Input,
    /// `end`
    Keyword,
    /// `else`, and the keyword after it (`else if`).
    Else(Option<String>),
}

struct Parser<'a> {
    tokens: &'a [Placed],
    next: usize,
    depth: usize,
    ranges: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Placed> {
        self.tokens.get(self.next)
    }

    fn peek_token(&self) -> Option<&'a Token> {
        self.peek().map(|placed| &placed.token)
    }

    fn advance(&mut self) -> Option<&'a Placed> {
        let placed = self.peek();
        self.next += 1;
        placed
    }

    fn error(&self, message: impl Into<String>) -> Error {
        let last = self.next.min(self.tokens.len()).saturating_sub(1);
        let position = self.tokens.get(last).map(|placed| placed.position).unwrap_or_default();
        Error::parse(position, message)
    }

    fn deeper(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.error("nested too deeply")) } else { Ok(()) }
    }

    fn nodes(&mut self) -> Result<(Vec<Node>, End), Error> {
        let mut nodes = Vec::new();
        while let Some(placed) = self.advance() {
            match &placed.token {
                Token::Text(text) => nodes.push(Node::Text(text.clone())),
                Token::Open => match self.action()? {
                    Ok(node) => nodes.push(node),
                    Err(end) => return Ok((nodes, end)),
                },
                token => return Err(self.error(format!("unexpected {token:?}"))),
            }
        }
        Ok((nodes, End::Input))
    }

    /// One action: a node, or what ends the list that it stands in.
    fn action(&mut self) -> Result<Result<Node, End>, Error> {
        let Some(Token::Identifier(keyword)) = self.peek_token() else {
            return Ok(Ok(Node::Action(self.closed_pipeline("command")?)));
        };
        let keyword = keyword.as_str();
        let node = match keyword {
            "if" | "with" | "range" => {
                self.next += 1;
                self.branch(keyword)?
            }
            "break" | "continue" => {
                self.next += 1;
                self.close(keyword)?;
                if self.ranges == 0 {
                    return Err(self.error(format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                if keyword == "break" { Node::Break } else { Node::Continue }
            }
            "end" => {
                self.next += 1;
                self.close("end")?;
                return Ok(Err(End::Keyword));
            }
            "else" => {
                self.next += 1;
                return self.otherwise().map(Err);
            }
            "define" | "template" | "block" => {
                return Err(self.error(format!("{keyword} is not supported by brig")));
            }
            _ => Node::Action(self.closed_pipeline("command")?),
        };
        Ok(Ok(node))
    }

    fn otherwise(&mut self) -> Result<End, Error> {
        if let Some(Token::Identifier(keyword)) = self.peek_token()
            && (keyword == "if" || keyword == "with")
        {
            self.next += 1;
            return Ok(End::Else(Some(keyword.clone())));
        }
        self.close("else")?;
        Ok(End::Else(None))
    }

    fn close(&mut self, context: &str) -> Result<(), Error> {
        match self.advance().map(|placed| &placed.token) {
            Some(Token::Close) => Ok(()),
            Some(token) => Err(self.error(format!("unexpected {} in {context}", name(token)))),
            None => Err(self.error(format!("unexpected end of input in {context}"))),
        }
    }

    fn branch(&mut self, keyword: &str) -> Result<Node, Error> {
        self.deeper()?;
        let pipeline = self.closed_pipeline(keyword)?;
        let is_range = keyword == "range";
        self.ranges += usize::from(is_range);
        let (then, end) = self.nodes()?;
        self.ranges -= usize::from(is_range);
        let otherwise = match end {
            End::Input => return Err(self.error("unexpected EOF")),
            End::Keyword => Vec::new(),
            End::Else(Some(next)) if !is_range => vec![self.branch(&next)?],
            End::Else(Some(_)) => return Err(self.error("expected {{end}} after range")),
            End::Else(None) => match self.nodes()? {
                (nodes, End::Keyword) => nodes,
                (_, End::Input) => return Err(self.error("unexpected EOF")),
                (_, End::Else(_)) => return Err(self.error("expected end; found {{else}}")),
            },
        };
        self.depth -= 1;
        let branch = Branch { pipeline, then, otherwise };
        Ok(match keyword {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    fn closed_pipeline(&mut self, context: &str) -> Result<Pipeline, Error> {
        let pipeline = self.pipeline(context)?;
        self.close(context)?;
        let limit = if context == "range" { 2 } else { 1 };
        if pipeline.variables.len() > limit {
            return Err(self.error(format!("too many declarations in {context}")));
        }
        Ok(pipeline)
    }

    fn pipeline(&mut self, context: &str) -> Result<Pipeline, Error> {
        let (variables, declares) = self.declarations();
        let mut commands = vec![self.command(context)?];
        while matches!(self.peek_token(), Some(Token::Pipe)) {
            self.next += 1;
            commands.push(self.command(context)?);
        }
        let literal = commands.iter().skip(1).find(|command| {
            matches!(command.operands.first(), Some(Operand { term: Term::Literal(_), .. }))
        });
        if literal.is_some() {
            return Err(self.error("non executable command in pipeline"));
        }
        Ok(Pipeline { variables, declares, commands })
    }

    /// `$x :=`, `$x =`, `$i, $x :=`; nothing is consumed when none of these follows.
    fn declarations(&mut self) -> (Vec<String>, bool) {
        let start = self.next;
        let mut variables = Vec::new();
        while let Some(Token::Variable(name)) = self.peek_token() {
            variables.push(name.clone());
            self.next += 1;
            match self.peek_token() {
                Some(Token::Comma) => self.next += 1,
                Some(Token::Declare) => {
                    self.next += 1;
                    return (variables, true);
                }
                Some(Token::Assign) => {
                    self.next += 1;
                    return (variables, false);
                }
                _ => break,
            }
        }
        self.next = start;
        (Vec::new(), false)
    }

    fn command(&mut self, context: &str) -> Result<Command, Error> {
        let mut operands = Vec::new();
        while let Some(placed) = self.peek() {
            if matches!(placed.token, Token::Close | Token::Pipe | Token::Right) {
                break;
            }
            operands.push(self.operand(placed, context)?);
        }
        if operands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        Ok(Command { operands })
    }

    fn operand(&mut self, placed: &'a Placed, context: &str) -> Result<Operand, Error> {
        self.next += 1;
        let position = placed.position;
        let mut fields = Vec::new();
        let term = match &placed.token {
            Token::Dot => Term::Dot,
            Token::Field(name) => {
                fields.push(name.clone());
                Term::Dot
            }
            Token::Variable(name) => Term::Variable(name.clone()),
            Token::Quoted(text) => Term::Literal(Value::Text(text.clone())),
            Token::Int(number) => Term::Literal(Value::Int(*number)),
            Token::Float(number) => Term::Literal(Value::Float(*number)),
            Token::Identifier(name) => match name.as_str() {
                "true" => Term::Literal(Value::Bool(true)),
                "false" => Term::Literal(Value::Bool(false)),
                "nil" => Term::Literal(Value::Nil),
                _ => Term::Function(self.function(name)?),
            },
            Token::Left => self.parenthesized()?,
            token => {
                return Err(self.error(format!("unexpected {} in {context}", name(token))));
            }
        };
        while let Some(Placed { token: Token::Field(name), spaced: false, .. }) = self.peek() {
            fields.push(name.clone());
            self.next += 1;
        }
        Ok(Operand { term, fields, position })
    }

    fn function(&self, name: &str) -> Result<String, Error> {
        if super::function::exists(name) {
            Ok(name.to_owned())
        } else {
            Err(self.error(format!("function {name:?} not defined")))
        }
    }

    fn parenthesized(&mut self) -> Result<Term, Error> {
        self.deeper()?;
        let pipeline = self.pipeline("parenthesized pipeline")?;
        if !matches!(self.advance(), Some(Placed { token: Token::Right, .. })) {
            return Err(self.error("unclosed left paren"));
        }
        self.depth -= 1;
        Ok(Term::Parenthesized(Box::new(pipeline)))
    }
}

fn name(token: &Token) -> String {
    match token {
        Token::Text(_) => "text".to_owned(),
        Token::Open => "\"{{\"".to_owned(),
        Token::Close => "\"}}\"".to_owned(),
        Token::Dot => "<.>".to_owned(),
        Token::Field(name) => format!("<.{name}>"),
        Token::Variable(name) => format!("\"${name}\""),
        Token::Identifier(name) => format!("<{name}>"),
        Token::Quoted(text) => format!("{text:?}"),
        Token::Int(number) => format!("{number:?}"),
        Token::Float(number) => format!("{number:?}"),
        Token::Pipe => "\"|\"".to_owned(),
        Token::Declare => "\":=\"".to_owned(),
        Token::Assign => "\"=\"".to_owned(),
        Token::Comma => "\",\"".to_owned(),
        Token::Left => "\"(\"".to_owned(),
        Token::Right => "\")\"".to_owned(),
    }
}
