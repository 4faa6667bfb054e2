//! Which numbers of a value are doubles and which are whole, as its schema says.
//!
//! The places of a schema are put together so that each place of a value is looked at once, however the schema is
//! written: what `allOf`, `anyOf`, `oneOf`, `then`, `else` and `$ref` say of the same place counts together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Number, Value};

use super::in_place::spoken;

/// A schema that needs more places than this is refused.
const PLACES_MAX: usize = 10_000;
/// Up to here a double holds every whole number.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// What to do with the numbers of a value; place 0 is the value itself.
#[derive(Debug)]
pub(super) struct Types(Vec<Place>);

#[derive(Debug, Default)]
struct Place {
    number: Kind,
    properties: BTreeMap<String, usize>,
    additional: Option<usize>,
    prefix: Vec<usize>,
    items: Option<usize>,
    /// Whether anything is to be done here or below.
    matters: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    AsItIs,
    Double,
    Whole,
}

impl Types {
    pub(super) fn of(schema: &Value) -> Result<Self, String> {
        let mut builder = Builder {
            root: schema,
            known: BTreeMap::new(),
            open: VecDeque::new(),
        };
        builder.place(vec![schema])?;
        let mut places = Vec::new();
        while let Some(speakers) = builder.open.pop_front() {
            places.push(builder.described(&speakers)?);
        }
        mark_what_matters(&mut places);
        Ok(Self(places))
    }

    pub(super) fn apply(&self, value: &mut Value) {
        self.at(0, value);
    }

    fn at(&self, place: usize, value: &mut Value) {
        let place = &self.0[place];
        if !place.matters {
            return;
        }
        match value {
            Value::Number(number) => convert(place.number, number),
            Value::Array(list) => {
                for (i, item) in list.iter_mut().enumerate() {
                    if let Some(next) = place.prefix.get(i).copied().or(place.items) {
                        self.at(next, item);
                    }
                }
            }
            Value::Object(map) => {
                for (key, item) in map.iter_mut() {
                    if let Some(next) = place.properties.get(key).copied().or(place.additional) {
                        self.at(next, item);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
}

fn convert(to: Kind, number: &mut Number) {
    let converted = match to {
        Kind::AsItIs => None,
        Kind::Double if number.is_f64() => None,
        Kind::Double => number.as_f64().and_then(Number::from_f64),
        Kind::Whole => number
            .is_f64()
            .then(|| number.as_f64())
            .flatten()
            .filter(|double| double.fract() == 0.0 && double.abs() <= WHOLE_MAX)
            .map(|double| Number::from(double as i64)),
    };
    if let Some(converted) = converted {
        *number = converted;
    }
}

/// Which schemas speak of one place, by address inside the document: the same ones need no second place.
type Speakers = Vec<*const Value>;

struct Builder<'a> {
    root: &'a Value,
    known: BTreeMap<Speakers, usize>,
    /// Places with a number that nothing is known of yet, in the order of their numbers. They wait here, so that a long
    /// chain of references takes no stack.
    open: VecDeque<Vec<&'a Value>>,
}

impl<'a> Builder<'a> {
    /// The number of the place of which these schemas, and all that they refer to, speak.
    fn place(&mut self, schemas: Vec<&'a Value>) -> Result<usize, String> {
        let speakers = self.speakers(schemas);
        let name: Speakers = speakers.iter().map(|s| std::ptr::from_ref(*s)).collect();
        if let Some(place) = self.known.get(&name) {
            return Ok(*place);
        }
        let number = self.known.len();
        if number == PLACES_MAX {
            return Err(format!("it describes more than {PLACES_MAX} places"));
        }
        self.known.insert(name, number);
        self.open.push_back(speakers);
        Ok(number)
    }

    fn described(&mut self, speakers: &[&'a Value]) -> Result<Place, String> {
        let planted = crate::planted!("fuzz_schema");
        assert!(!(planted && speakers.len() == 4), "planted: schema");
        Ok(Place {
            number: number_type(speakers),
            properties: self.properties(speakers)?,
            additional: self.joined(speakers.iter().filter_map(|s| additional(s)))?,
            prefix: self.prefix(speakers)?,
            items: self.joined(speakers.iter().filter_map(|s| s.get("items")))?,
            matters: false,
        })
    }

    /// These schemas and those that speak of the same place, each once, in the order of their addresses.
    fn speakers(&self, schemas: Vec<&'a Value>) -> Vec<&'a Value> {
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        let mut open = schemas;
        while let Some(schema) = open.pop() {
            if !schema.is_object() || !seen.insert(std::ptr::from_ref(schema)) {
                continue;
            }
            open.extend(spoken(schema, self.root));
            found.push(schema);
        }
        found.sort_by_key(|s| std::ptr::from_ref(*s));
        found
    }

    fn properties(&mut self, speakers: &[&'a Value]) -> Result<BTreeMap<String, usize>, String> {
        let named = |s: &&'a Value| s.get("properties").and_then(Value::as_object);
        let keys: BTreeSet<&'a String> = speakers
            .iter()
            .filter_map(named)
            .flat_map(|p| p.keys())
            .collect();
        let mut places = BTreeMap::new();
        for key in keys {
            let of_key =
                |s: &&'a Value| named(s).and_then(|p| p.get(key)).or_else(|| additional(s));
            places.insert(
                key.clone(),
                self.place(speakers.iter().filter_map(of_key).collect())?,
            );
        }
        Ok(places)
    }

    fn prefix(&mut self, speakers: &[&'a Value]) -> Result<Vec<usize>, String> {
        let listed = |s: &&'a Value| s.get("prefixItems").and_then(Value::as_array);
        let length = speakers
            .iter()
            .filter_map(listed)
            .map(Vec::len)
            .max()
            .unwrap_or(0);
        let mut places = Vec::with_capacity(length);
        for i in 0..length {
            let of_index =
                |s: &&'a Value| listed(s).and_then(|l| l.get(i)).or_else(|| s.get("items"));
            places.push(self.place(speakers.iter().filter_map(of_index).collect())?);
        }
        Ok(places)
    }

    fn joined(
        &mut self,
        schemas: impl Iterator<Item = &'a Value>,
    ) -> Result<Option<usize>, String> {
        let schemas: Vec<&'a Value> = schemas.filter(|s| s.is_object()).collect();
        if schemas.is_empty() {
            return Ok(None);
        }
        self.place(schemas).map(Some)
    }
}

/// What the schema says of properties that it does not name. Where patterns name some, it is not known which these are.
fn additional(schema: &Value) -> Option<&Value> {
    match schema.get("patternProperties") {
        Some(_) => None,
        None => schema.get("additionalProperties"),
    }
}

fn number_type(speakers: &[&Value]) -> Kind {
    let says = |name: &str| {
        speakers.iter().any(|s| match s.get("type") {
            Some(Value::String(one)) => one == name,
            Some(Value::Array(several)) => several.iter().any(|t| t == name),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                false
            }
        })
    };
    match (says("number"), says("integer")) {
        (true, false) => Kind::Double,
        (false, true) => Kind::Whole,
        (true, true) | (false, false) => Kind::AsItIs,
    }
}

fn mark_what_matters(places: &mut [Place]) {
    loop {
        let mut changed = false;
        // What stands deeper mostly has a higher number: from behind, one round is mostly enough.
        for i in (0..places.len()).rev() {
            let place = &places[i];
            let below = place
                .properties
                .values()
                .chain(&place.prefix)
                .chain(&place.additional)
                .chain(&place.items);
            let matters =
                place.number != Kind::AsItIs || below.into_iter().any(|p| places[*p].matters);
            changed |= matters && !place.matters;
            places[i].matters = matters;
        }
        if !changed {
            return;
        }
    }
}
