//! Evaluation: a walk over the checked tree, every step of it metered.

pub(super) mod casts;
mod loops;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use super::functions::regexes;
use super::meter::{Fault, Meter};
use super::node::{Call, Cast, Comparison, Index, Kind, Node, Select};
use super::time;
use super::value::{self, CELL_BYTES, List, Text, Value};
use super::values::Values;

/// A fault and the part of the source that it is in.
pub(super) struct Located {
    pub(super) fault: Fault,
    pub(super) span: Range<usize>,
}

type Done<T> = Result<T, Located>;

pub(super) struct Evaluator<'a> {
    values: &'a dyn Values,
    locals: Vec<Value<'a>>,
    pub(super) meter: Meter,
}

impl Drop for Evaluator<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.values.budget() {
            budget.spend(self.meter.spent());
        }
    }
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(values: &'a dyn Values) -> Self {
        Self {
            values,
            locals: Vec::new(),
            meter: Meter::new(values.budget()),
        }
    }

    pub(super) fn value(&mut self, node: &Node) -> Done<Value<'a>> {
        self.meter.steps(1).map_err(|fault| at(node, fault))?;
        match &node.kind {
            Kind::Constant(value) => Ok(value.clone()),
            Kind::Root(name, cast) => self.root(node, name, *cast),
            Kind::Local(slot, cast) => self.local(node, *slot, *cast),
            Kind::Select(select) => self.select(node, select),
            Kind::Index(index) => self.index(node, index),
            Kind::Has(of, field) => self.has(of, field),
            Kind::List(items) => self.list(node, items),
            Kind::Map(entries) => self.map(node, entries),
            Kind::Not(of) => Ok(Value::Bool(!self.condition(of)?)),
            Kind::And(a, b) => self.junction(a, b, false),
            Kind::Or(a, b) => self.junction(a, b, true),
            Kind::If(parts) => self.conditional(parts),
            Kind::Equal(pair, unequal) => self.equal(node, pair, *unequal),
            Kind::Compare(pair, comparison) => self.compare(node, pair, *comparison),
            Kind::In(pair) => self.contained(node, pair),
            Kind::Matches(of, regex) => {
                let text = self.value(of)?;
                self.matches(node, &text, regex)
            }
            Kind::Call(call) => self.call(node, call),
            Kind::Loop(looped) => self.run(node, looped),
            Kind::WithOptional(pair, flat) => self.with_optional(pair, *flat),
        }
    }

    fn root(&mut self, node: &Node, name: &str, cast: Cast) -> Done<Value<'a>> {
        let found = match self.values.get(name) {
            Some(view) => Value::from_view(view),
            None => Fault::failed(format!("`{name}` has no value here")),
        };
        self.cast(found, cast).map_err(|fault| at(node, fault))
    }

    fn local(&mut self, node: &Node, slot: usize, cast: Cast) -> Done<Value<'a>> {
        let found = self.locals.get(slot).cloned();
        let found = found.ok_or_else(|| Fault::Failed("the variable has no value".to_owned()));
        self.cast(found, cast).map_err(|fault| at(node, fault))
    }

    fn select(&mut self, node: &Node, select: &Select) -> Done<Value<'a>> {
        let of = self.value(&select.of)?;
        let (of, was_optional) = match open(of) {
            Ok(opened) => opened,
            Err(absent) => return Ok(absent),
        };
        let optional = select.optional || was_optional;
        let found = match &of {
            Value::Map(map) => map.get(&select.field),
            Value::Null if optional => Ok(None),
            other => Fault::failed(format!(
                "{} has no field `{}`",
                describe(other),
                select.field
            )),
        };
        let found = found.and_then(|found| match found {
            Some(value) => self.cast(Ok(value), select.cast).map(Some),
            None if optional => Ok(None),
            None if select.labels => Ok(Some(Value::String(Text::Borrowed("")))),
            None => Fault::failed(format!(
                "there is no `{}`: where it may be absent, write .?{}.orValue(…)",
                select.field, select.field
            )),
        });
        wrap(found, optional).map_err(|fault| at(node, fault))
    }

    fn index(&mut self, node: &Node, index: &Index) -> Done<Value<'a>> {
        let of = self.value(&index.of)?;
        let by = self.value(&index.index)?;
        let (of, was_optional) = match open(of) {
            Ok(opened) => opened,
            Err(absent) => return Ok(absent),
        };
        let optional = index.optional || was_optional;
        let found = match (&of, &by) {
            (Value::List(list), by) => element(list, by),
            (Value::Map(map), Value::String(key)) => map.get(key),
            (Value::Map(_), by) => Fault::failed(format!("a key is text, not {}", by.kind())),
            (Value::Null, _) if optional => Ok(None),
            (other, _) => Fault::failed(format!("{} has no elements", describe(other))),
        };
        let found = found.and_then(|found| match found {
            Some(value) => self.cast(Ok(value), index.cast).map(Some),
            None if optional => Ok(None),
            None if index.labels => Ok(Some(Value::String(Text::Borrowed("")))),
            None => Fault::failed(format!("there is no element {}", describe_key(&by))),
        });
        wrap(found, optional).map_err(|fault| at(node, fault))
    }

    /// Whether the whole path exists; an absent beginning is no error.
    fn has(&mut self, of: &Node, field: &str) -> Done<Value<'a>> {
        let of = match self.value(of) {
            Ok(value) => value,
            Err(located) if matches!(located.fault, Fault::Failed(_)) => {
                return Ok(Value::Bool(false));
            }
            Err(located) => return Err(located),
        };
        let Ok((of, _)) = open(of) else {
            return Ok(Value::Bool(false));
        };
        Ok(Value::Bool(match of {
            Value::Map(map) => matches!(map.get(field), Ok(Some(_)) | Err(Fault::Missing(_))),
            _ => false,
        }))
    }

    fn list(&mut self, node: &Node, items: &[(Node, bool)]) -> Done<Value<'a>> {
        self.make(node, items.len() * CELL_BYTES)?;
        let mut list = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match self.value(item)? {
                Value::Optional(inner) if *optional => {
                    list.extend(inner.map(|inner| (*inner).clone()))
                }
                value => list.push(value),
            }
        }
        Ok(Value::list(list))
    }

    fn map(&mut self, node: &Node, entries: &[(Node, Node, bool)]) -> Done<Value<'a>> {
        self.make(node, entries.len() * 2 * CELL_BYTES)?;
        let mut map = BTreeMap::new();
        for (key, value, optional) in entries {
            let Value::String(text) = self.value(key)? else {
                return Err(at(key, Fault::Failed("a key is text".to_owned())));
            };
            let value = match self.value(value)? {
                Value::Optional(None) if *optional => continue,
                Value::Optional(Some(inner)) if *optional => (*inner).clone(),
                value => value,
            };
            if map.contains_key(&text) {
                return Err(at(
                    key,
                    Fault::Failed(format!("the key `{}` is there twice", &*text)),
                ));
            }
            map.insert(text, value);
        }
        Ok(Value::map(map))
    }

    pub(super) fn condition(&mut self, node: &Node) -> Done<bool> {
        match self.value(node)? {
            Value::Bool(value) => Ok(value),
            other => Err(at(
                node,
                Fault::Failed(format!("true or false is needed, not {}", describe(&other))),
            )),
        }
    }

    /// `&&` and `||`: one side that decides is enough, even where the other fails (as CEL has it).
    fn junction(&mut self, a: &Node, b: &Node, decisive: bool) -> Done<Value<'a>> {
        let first = match self.condition(a) {
            Ok(value) if value == decisive => return Ok(Value::Bool(decisive)),
            Err(located) if !matches!(located.fault, Fault::Failed(_)) => return Err(located),
            other => other,
        };
        match self.condition(b) {
            Ok(value) if value == decisive => Ok(Value::Bool(decisive)),
            Err(located) if !matches!(located.fault, Fault::Failed(_)) => Err(located),
            second => first.and(second).map(Value::Bool),
        }
    }

    fn conditional(&mut self, parts: &[Node; 3]) -> Done<Value<'a>> {
        let [condition, yes, no] = parts;
        let chosen = if self.condition(condition)? { yes } else { no };
        self.value(chosen)
    }

    fn equal(&mut self, node: &Node, pair: &[Node; 2], unequal: bool) -> Done<Value<'a>> {
        let (a, b) = (self.value(&pair[0])?, self.value(&pair[1])?);
        let equal = value::equal(&mut self.meter, &a, &b).map_err(|fault| at(node, fault))?;
        Ok(Value::Bool(equal != unequal))
    }

    fn compare(
        &mut self,
        node: &Node,
        pair: &[Node; 2],
        comparison: Comparison,
    ) -> Done<Value<'a>> {
        let (a, b) = (self.value(&pair[0])?, self.value(&pair[1])?);
        let order = value::compare(&mut self.meter, &a, &b).map_err(|fault| at(node, fault))?;
        Ok(Value::Bool(match (comparison, order) {
            // NaN is in no order with anything.
            (_, None) => false,
            (Comparison::Less, Some(order)) => order == Ordering::Less,
            (Comparison::LessOrEqual, Some(order)) => order != Ordering::Greater,
            (Comparison::Greater, Some(order)) => order == Ordering::Greater,
            (Comparison::GreaterOrEqual, Some(order)) => order != Ordering::Less,
        }))
    }

    fn contained(&mut self, node: &Node, pair: &[Node; 2]) -> Done<Value<'a>> {
        let (what, within) = (self.value(&pair[0])?, self.value(&pair[1])?);
        let found = match (&what, &within) {
            (what, Value::List(list)) => self.list_contains(list, what),
            (Value::String(key), Value::Map(map)) => map.get(key).map(|found| found.is_some()),
            (_, Value::Map(_)) => Ok(false),
            (_, other) => Fault::failed(format!("{} has no elements", describe(other))),
        };
        found.map(Value::Bool).map_err(|fault| at(node, fault))
    }

    fn list_contains(&mut self, list: &List<'a>, what: &Value<'a>) -> Result<bool, Fault> {
        for item in list.iter() {
            if value::equal(&mut self.meter, &item, what)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn matches(&mut self, node: &Node, text: &Value<'a>, regex: &regex::Regex) -> Done<Value<'a>> {
        let found = match text {
            Value::String(text) => regexes::search(&mut self.meter, regex, text),
            other => Fault::failed(format!("matches searches text, not {}", describe(other))),
        };
        found.map_err(|fault| at(node, fault))
    }

    fn call(&mut self, node: &Node, call: &Call) -> Done<Value<'a>> {
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(self.value(arg)?);
        }
        let Some(signature) = call
            .candidates
            .iter()
            .find(|signature| signature.accepts(&args))
        else {
            return Err(at(node, Fault::Failed(no_overload(&call.name, &args))));
        };
        (signature.run)(&mut self.meter, &args).map_err(|fault| at(node, fault))
    }

    fn with_optional(&mut self, pair: &[Node; 2], flat: bool) -> Done<Value<'a>> {
        let [of, body] = pair;
        let inner = match self.value(of)? {
            Value::Optional(Some(inner)) => (*inner).clone(),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            other => {
                return Err(at(
                    of,
                    Fault::Failed(format!("an optional is needed, not {}", describe(&other))),
                ));
            }
        };
        self.locals.push(inner);
        let made = self.value(body);
        self.locals.pop();
        let made = made?;
        Ok(match (flat, &made) {
            (true, Value::Optional(_)) => made,
            (true, other) => {
                return Err(at(
                    body,
                    Fault::Failed(format!("an optional is needed, not {}", describe(other))),
                ));
            }
            (false, _) => made.some(),
        })
    }

    fn make(&mut self, node: &Node, bytes: usize) -> Done<()> {
        self.meter.make(bytes).map_err(|fault| at(node, fault))
    }
}

pub(super) fn at(node: &Node, fault: Fault) -> Located {
    Located {
        fault,
        span: node.span.clone(),
    }
}

/// The value inside an optional and whether it was one; `Err` with the absent optional itself.
fn open(value: Value<'_>) -> Result<(Value<'_>, bool), Value<'_>> {
    match value {
        Value::Optional(Some(inner)) => Ok(((*inner).clone(), true)),
        Value::Optional(None) => Err(value),
        value => Ok((value, false)),
    }
}

fn wrap<'a>(found: Result<Option<Value<'a>>, Fault>, optional: bool) -> Result<Value<'a>, Fault> {
    Ok(match found? {
        Some(value @ Value::Optional(_)) => value,
        Some(value) if optional => value.some(),
        Some(value) => value,
        None => Value::Optional(None),
    })
}

fn element<'a>(list: &List<'a>, by: &Value<'a>) -> Result<Option<Value<'a>>, Fault> {
    let index = match by {
        Value::Int(index) => usize::try_from(*index).ok(),
        Value::Uint(index) => usize::try_from(*index).ok(),
        other => return Fault::failed(format!("a list is indexed by int, not {}", other.kind())),
    };
    Ok(index.and_then(|index| list.get(index)))
}

fn describe(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::String(_) => "text",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
        other => other.kind(),
    }
}

fn describe_key(key: &Value<'_>) -> String {
    match key {
        Value::Int(index) => index.to_string(),
        Value::String(text) => format!("`{}`", time::shorten(text)),
        other => other.kind().to_owned(),
    }
}

fn no_overload(name: &str, args: &[Value<'_>]) -> String {
    let kinds: Vec<&str> = args.iter().map(Value::kind).collect();
    let mut message = format!("`{name}` does not take ({})", kinds.join(", "));
    let mixed = matches!(
        args,
        [Value::Int(_) | Value::Uint(_), Value::Double(_)]
            | [Value::Double(_), Value::Int(_) | Value::Uint(_)]
    );
    if mixed {
        message.push_str(": int and double do not mix, use double(x)");
    }
    message
}
