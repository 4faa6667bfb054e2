//! Comprehensions: turn by turn, every one of them metered.

use std::collections::BTreeMap;

use super::super::functions::lists;
use super::super::meter::{Fault, Meter};
use super::super::node::{Loop, LoopKind, Node};
use super::super::value::{CELL_BYTES, List, Map, Text, Value};
use super::{Done, Evaluator, Located, at, describe};

impl<'a> Evaluator<'a> {
    pub(super) fn run(&mut self, node: &Node, looped: &Loop) -> Done<Value<'a>> {
        let depth = self.locals.len();
        let ended = self.iterate(node, looped);
        self.locals.truncate(depth);
        ended
    }

    fn iterate(&mut self, node: &Node, looped: &Loop) -> Done<Value<'a>> {
        let range = match self.value(&looped.range)? {
            Value::List(list) => Elements::List(list),
            Value::Map(map) => {
                let keys = map.keys(&mut self.meter).map_err(|fault| at(node, fault))?;
                Elements::Map(keys, map)
            }
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
