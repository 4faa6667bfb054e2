//! Text with `${{ … }}` in it.

use std::ops::Range;

use serde_json::Value as Json;

use super::meter::over;
use super::scan::Scanner;
use super::{Error, Expression, Names, Problem, RESULT_BYTES_MAX, Scope, Type, Values, Want};

/// A text of a document with zero or more expressions.
///
/// Where the whole text is one expression, the value keeps its type; else the values become part of the text.
/// `$${{` writes a literal `${{`.
#[derive(Debug)]
pub struct Template {
    shape: Shape,
    names: Names,
}

#[derive(Debug)]
enum Shape {
    Literal(String),
    Whole(Box<Expression>),
    Parts(Vec<Piece>),
}

#[derive(Debug)]
enum Piece {
    Text(String),
    /// With the byte at which its source begins in the template.
    Expression(Box<Expression>, usize),
    Secret(String),
}

/// What a template became.
#[derive(Clone, Debug, PartialEq)]
pub enum Rendered {
    /// A value.
    Value(Json),
    /// A text with secrets, whose values only the worker knows: what to put together at the plugin's door.
    Secret(Vec<Part>),
}

/// A part of a text with secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// The value of the secret of that name.
    Secret(String),
}

/// What one `${{ … }}` holds, or what stands between two of them.
enum Chunk<'t> {
    Text(String),
    Source(&'t str, Range<usize>),
}

impl Template {
    /// Reads and checks a text. With `expected`, a value of another type is a problem.
    ///
    /// # Errors
    /// All problems, with their places in `text`.
    pub fn parse(text: &str, scope: &Scope, expected: Option<&Type>) -> Result<Self, Vec<Problem>> {
        let chunks = chunks(text).map_err(|problem| vec![problem])?;
        if let [Chunk::Source(source, span)] = &chunks[..]
            && secret_name(source).is_none()
        {
            let want = expected.map_or(Want::Any, Want::Type);
            let expression = Expression::compile_for(source, scope, want);
            let expression = expression.map_err(|problems| moved(problems, span.start))?;
            return Ok(Self {
                names: expression.names().clone(),
                shape: Shape::Whole(Box::new(expression)),
            });
        }
        if let Some(expected) = expected
            && !Type::String.fits(expected)
        {
            let message = format!("this is text, and {expected} is needed");
            return Err(vec![Problem::new(0..text.len(), message)]);
        }
        Self::of_parts(chunks, scope)
    }

    fn of_parts(chunks: Vec<Chunk<'_>>, scope: &Scope) -> Result<Self, Vec<Problem>> {
        let mut names = Names::default();
        let mut problems = Vec::new();
        let mut pieces = Vec::new();
        for chunk in chunks {
            let (source, span) = match chunk {
                Chunk::Text(text) => {
                    pieces.push(Piece::Text(text));
                    continue;
                }
                Chunk::Source(source, span) => (source, span),
            };
            if let Some(secret) = secret_name(source) {
                if !scope.allows_secrets() {
                    problems.push(Problem::new(span, "secrets can be used only in `with`"));
                }
                pieces.push(Piece::Secret(secret.to_owned()));
                continue;
            }
            match Expression::compile_for(source, scope, Want::Text) {
                Ok(expression) => {
                    names.join(expression.names());
                    pieces.push(Piece::Expression(Box::new(expression), span.start));
                }
                Err(found) => problems.extend(moved(found, span.start)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let shape = match &mut pieces[..] {
            [] => Shape::Literal(String::new()),
            [Piece::Text(text)] => Shape::Literal(std::mem::take(text)),
            _ => Shape::Parts(pieces),
        };
        Ok(Self { shape, names })
    }

    /// The names that its expressions mention.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The text, if there is no expression in it.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match &self.shape {
            Shape::Literal(text) => Some(text),
            Shape::Whole(_) | Shape::Parts(_) => None,
        }
    }

    /// The type of what it becomes.
    #[must_use]
    pub fn ty(&self) -> &Type {
        match &self.shape {
            Shape::Whole(expression) => expression.ty(),
            Shape::Literal(_) | Shape::Parts(_) => &Type::String,
        }
    }

    /// The names of the secrets in it.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let pieces: &[Piece] = match &self.shape {
            Shape::Parts(pieces) => pieces,
            Shape::Literal(_) | Shape::Whole(_) => &[],
        };
        pieces.iter().filter_map(|piece| match piece {
            Piece::Secret(name) => Some(name.as_str()),
            Piece::Text(_) | Piece::Expression(..) => None,
        })
    }

    /// Evaluates its expressions.
    ///
    /// # Errors
    /// The first that fails, with its place in the text.
    pub fn render(&self, values: &dyn Values) -> Result<Rendered, Error> {
        match &self.shape {
            Shape::Literal(text) => Ok(Rendered::Value(Json::String(text.clone()))),
            Shape::Whole(expression) => {
                let start = "${{".len();
                let value = expression
                    .evaluate(values)
                    .map_err(|error| error.moved(start))?;
                Ok(Rendered::Value(value))
            }
            Shape::Parts(pieces) => render_parts(pieces, values),
        }
    }
}

fn render_parts(pieces: &[Piece], values: &dyn Values) -> Result<Rendered, Error> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut has_secret = false;
    let mut size = 0;
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Expression(expression, start) => {
                let value = expression
                    .evaluate_text(values)
                    .map_err(|error| error.moved(*start))?;
                size += value.len();
                if size > RESULT_BYTES_MAX {
                    return Err(Error::new(
                        over("the text has more than", RESULT_BYTES_MAX),
                        *start..*start,
                    ));
                }
                text.push_str(&value);
            }
            Piece::Secret(name) => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Secret(name.clone()));
                has_secret = true;
            }
        }
    }
    if !has_secret {
        return Ok(Rendered::Value(Json::String(text)));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(Rendered::Secret(parts))
}

/// The one expression of a condition or a `for_each`, which may leave `${{ }}` out: its source and where it begins.
pub(super) fn unwrapped(text: &str) -> Result<(&str, usize), Problem> {
    if !text.contains("${{") {
        return Ok((text, 0));
    }
    let mixed = || {
        Problem::new(0..text.len(), "one whole expression is needed here")
            .hint("write the condition alone, with or without ${{ }} around all of it")
    };
    let trimmed = text.trim();
    let before = text.len() - text.trim_start().len();
    match &chunks(trimmed).map_err(|problem| problem.moved(before))?[..] {
        [Chunk::Source(source, span)] => Ok((source, before + span.start)),
        // Inside a string of an expression without ${{ }} it is just text.
        [Chunk::Text(_)] => Ok((text, 0)),
        _ => Err(mixed()),
    }
}

/// Takes a text apart at its expressions.
fn chunks(text: &str) -> Result<Vec<Chunk<'_>>, Problem> {
    let mut chunks = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${{").map(|found| at + found) {
        if text[at..found].ends_with('$') {
            literal.push_str(&text[at..found - 1]);
            literal.push_str("${{");
            at = found + 3;
            continue;
        }
        literal.push_str(&text[at..found]);
        let begin = found + 3;
        let end = end_of(text, begin)?;
        if !literal.is_empty() {
            chunks.push(Chunk::Text(std::mem::take(&mut literal)));
        }
        chunks.push(Chunk::Source(&text[begin..end], begin..end));
        at = end + 2;
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        chunks.push(Chunk::Text(literal));
    }
    Ok(chunks)
}

/// Where the expression that begins at `begin` ends: the first `}}` outside strings and brackets.
fn end_of(text: &str, begin: usize) -> Result<usize, Problem> {
    let source = &text[begin..];
    let mut scanner = Scanner::new(source);
    let mut depth = 0_usize;
    while let Some(seen) = scanner
        .next()
        .map_err(|problem| without_end(text, begin, Some(problem)))?
    {
        match seen.char {
            '}' if depth == 0 && source[seen.at..].starts_with("}}") => return Ok(begin + seen.at),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Err(without_end(text, begin, None))
}

fn without_end(text: &str, begin: usize, cause: Option<Problem>) -> Problem {
    let message = match cause {
        Some(cause) => format!("`${{{{` without its end: {}", cause.message),
        None => "`${{` without its end".to_owned(),
    };
    let hint = "close it with }}; in YAML ` #` begins a comment and `: ` a mapping, so quote the expression: \"${{ … }}\"";
    Problem::new(begin - 3..text.len(), message).hint(hint)
}

/// The name, if the source is exactly `secrets.NAME`.
fn secret_name(source: &str) -> Option<&str> {
    let name = source.trim().strip_prefix("secrets.")?;
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (!name.is_empty() && name.chars().all(sound)).then_some(name)
}

fn moved(problems: Vec<Problem>, by: usize) -> Vec<Problem> {
    problems
        .into_iter()
        .map(|problem| problem.moved(by))
        .collect()
}

#[cfg(test)]
mod tests;
