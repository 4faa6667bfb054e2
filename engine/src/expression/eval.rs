//! Evaluation: a walk over the checked tree, every step of it metered.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use super::functions::{lists, regexes};
use super::meter::{Fault, Meter};
use super::node::{Call, Cast, Comparison, Index, Kind, Loop, LoopKind, Node, Select};
use super::time;
use super::value::{self, CELL_BYTES, List, Map, Text, Value};
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

impl<'a> Evaluator<'a> {
    pub(super) fn new(values: &'a dyn Values) -> Self {
        Self {
            values,
            locals: Vec::new(),
            meter: Meter::new(),
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

    fn run(&mut self, node: &Node, looped: &Loop) -> Done<Value<'a>> {
        let depth = self.locals.len();
        let ended = self.iterate(node, looped);
        self.locals.truncate(depth);
        ended
    }

    fn iterate(&mut self, node: &Node, looped: &Loop) -> Done<Value<'a>> {
        let range = match self.value(&looped.range)? {
            Value::List(list) => Elements::List(list),
            Value::Map(map) => Elements::Map(map.keys(), map),
            other => {
                let message = format!("{} has no elements to go through", describe(&other));
                return Err(at(&looped.range, Fault::Failed(message)));
            }
        };
        let depth = self.locals.len();
        let mut state = State::new(looped.kind);
        for index in 0..range.len() {
            let Some((first, second)) = range
                .get(index, looped.two)
                .map_err(|fault| at(node, fault))?
            else {
                continue;
            };
            self.locals.truncate(depth);
            self.locals.push(first.clone());
            self.locals.extend(second);
            if let Some(filter) = &looped.filter
                && !self.condition(filter)?
            {
                continue;
            }
            if self.turn(node, looped, &mut state, first)? {
                break;
            }
        }
        state.end(&mut self.meter).map_err(|fault| at(node, fault))
    }

    /// One turn of a loop; true when it is decided.
    fn turn(
        &mut self,
        node: &Node,
        looped: &Loop,
        state: &mut State<'a>,
        first: Value<'a>,
    ) -> Done<bool> {
        match state {
            State::All(held) => match self.condition(&looped.body) {
                Ok(true) => {}
                Ok(false) => {
                    *held = Ok(false);
                    return Ok(true);
                }
                Err(located) => return state.postpone(located),
            },
            State::Exists(held) => match self.condition(&looped.body) {
                Ok(false) => {}
                Ok(true) => {
                    *held = Ok(true);
                    return Ok(true);
                }
                Err(located) => return state.postpone(located),
            },
            State::ExistsOne(count) => *count += usize::from(self.condition(&looped.body)?),
            State::Filter(kept) => {
                if self.condition(&looped.body)? {
                    self.make(node, CELL_BYTES)?;
                    kept.push(first);
                }
            }
            State::List(made) => {
                self.make(node, CELL_BYTES)?;
                made.push(self.value(&looped.body)?);
            }
            State::Map(made) => {
                self.make(node, 2 * CELL_BYTES)?;
                let value = self.value(&looped.body)?;
                let Value::String(key) = first else {
                    let message =
                        "transformMap goes through a mapping; of a list make one with {…}";
                    return Err(at(node, Fault::Failed(message.to_owned())));
                };
                made.insert(key, value);
            }
            State::SortBy(keyed) => {
                self.make(node, 2 * CELL_BYTES)?;
                keyed.push((self.value(&looped.body)?, first));
            }
        }
        Ok(false)
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

    fn cast(&mut self, found: Result<Value<'a>, Fault>, cast: Cast) -> Result<Value<'a>, Fault> {
        let value = found?;
        match (cast, value) {
            (Cast::None, value) => Ok(value),
            (Cast::Double, value) => Ok(as_double(value)),
            (Cast::Duration, Value::String(text)) => {
                time::parse_duration(&text).map(Value::Duration)
            }
            (Cast::Timestamp, Value::String(text)) => {
                time::parse_timestamp(&text).map(Value::Timestamp)
            }
            (Cast::Durations, Value::List(list)) => self.cast_all(&list, Cast::Duration),
            (Cast::Timestamps, Value::List(list)) => self.cast_all(&list, Cast::Timestamp),
            (_, value) => Ok(value),
        }
    }

    fn cast_all(&mut self, list: &List<'a>, cast: Cast) -> Result<Value<'a>, Fault> {
        self.meter.steps(list.len() as u64)?;
        self.meter.make(list.len() * CELL_BYTES)?;
        let items = list.iter().map(|item| self.cast(Ok(item), cast));
        Ok(Value::list(items.collect::<Result<_, _>>()?))
    }
}

/// What a loop goes through.
enum Elements<'a> {
    List(List<'a>),
    Map(Vec<Text<'a>>, Map<'a>),
}

impl<'a> Elements<'a> {
    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Map(keys, _) => keys.len(),
        }
    }

    /// The one or two variables of a turn: element, or key; index and element, or key and value.
    fn get(
        &self,
        index: usize,
        two: bool,
    ) -> Result<Option<(Value<'a>, Option<Value<'a>>)>, Fault> {
        Ok(match self {
            Self::List(list) if two => {
                let number = Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
                list.get(index).map(|item| (number, Some(item)))
            }
            Self::List(list) => list.get(index).map(|item| (item, None)),
            Self::Map(keys, map) => match keys.get(index) {
                Some(key) if two => map
                    .get(key)?
                    .map(|value| (Value::String(key.clone()), Some(value))),
                Some(key) => Some((Value::String(key.clone()), None)),
                None => None,
            },
        })
    }
}

/// What a loop has found so far.
enum State<'a> {
    All(Result<bool, Located>),
    Exists(Result<bool, Located>),
    ExistsOne(usize),
    Filter(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    Map(BTreeMap<Text<'a>, Value<'a>>),
    SortBy(Vec<(Value<'a>, Value<'a>)>),
}

impl<'a> State<'a> {
    fn new(kind: LoopKind) -> Self {
        match kind {
            LoopKind::All => Self::All(Ok(true)),
            LoopKind::Exists => Self::Exists(Ok(false)),
            LoopKind::ExistsOne => Self::ExistsOne(0),
            LoopKind::Filter => Self::Filter(Vec::new()),
            LoopKind::List => Self::List(Vec::new()),
            LoopKind::Map => Self::Map(BTreeMap::new()),
            LoopKind::SortBy => Self::SortBy(Vec::new()),
        }
    }

    /// A turn failed: another may still decide, unless what it failed of is a limit.
    fn postpone(&mut self, located: Located) -> Done<bool> {
        match (self, &located.fault) {
            (Self::All(held) | Self::Exists(held), Fault::Failed(_)) => {
                if held.is_ok() {
                    *held = Err(located);
                }
                Ok(false)
            }
            _ => Err(located),
        }
    }

    fn end(self, meter: &mut Meter) -> Result<Value<'a>, Fault> {
        Ok(match self {
            Self::All(held) | Self::Exists(held) => {
                Value::Bool(held.map_err(|located| located.fault)?)
            }
            Self::ExistsOne(count) => Value::Bool(count == 1),
            Self::Filter(items) | Self::List(items) => Value::list(items),
            Self::Map(entries) => Value::map(entries),
            Self::SortBy(keyed) => return lists::sort_by_key(meter, keyed),
        })
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

#[expect(
    clippy::cast_precision_loss,
    reason = "a schema says number: it is a double from here on"
)]
pub(super) fn as_double(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Int(value) => Value::Double(value as f64),
        Value::Uint(value) => Value::Double(value as f64),
        other => other,
    }
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
