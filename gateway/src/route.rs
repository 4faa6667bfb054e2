//! The routes: one row each, from which the router, `/openapi.json` and `docs/rights.md` are made. There is no other
//! way for a path to be served, so none can be without a right or a description.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;
use utoipa::openapi::schema::{AdditionalProperties, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::auth::right::Right;
use crate::gate::Shared;
use crate::request::Arg;
use crate::respond::Listed;

/// What an `Idempotency-Key` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyed {
    /// The method is idempotent by itself.
    Natural,
    /// The handler keeps it.
    Own,
    /// The first answer is kept and answered again.
    Answer,
    /// It is refused: the answer holds a secret, and no copy of it is kept.
    Refused,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// As long as a request may.
    Request,
    /// As long as the longest wait and a request.
    Wait,
}

/// Who reads the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// There is none.
    None,
    /// The guard, before the handler.
    Guard,
    /// The handler, after it has looked at the headers.
    Handler,
}

/// A body in the description.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) media: &'static str,
    pub(crate) schema: RefOr<Schema>,
    pub(crate) named: Vec<(String, RefOr<Schema>)>,
    /// As a body: whether there must be one.
    pub(crate) needed: bool,
}

impl Shape {
    /// JSON of a type, by name.
    pub(crate) fn json<T: ToSchema>() -> Self {
        Self::of::<T>("application/json")
    }

    /// A type in some media type, by name.
    pub(crate) fn of<T: ToSchema>(media: &'static str) -> Self {
        let schema = T::schema();
        let needed = needs_something(&schema);
        let mut named = vec![(T::name().into_owned(), schema)];
        T::schemas(&mut named);
        Self {
            media,
            schema: utoipa::openapi::Ref::from_schema_name(T::name()).into(),
            named,
            needed,
        }
    }

    /// A part of a list of them, by a name of its own: generic types all bear the same.
    pub(crate) fn list<T: ToSchema>() -> Self {
        let name = format!("{}List", T::name());
        let mut named = vec![(name.clone(), Listed::<T>::schema())];
        Listed::<T>::schemas(&mut named);
        named.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut named);
        Self {
            media: "application/json",
            schema: utoipa::openapi::Ref::from_schema_name(name).into(),
            named,
            needed: false,
        }
    }

    /// Text without a schema of its own.
    pub(crate) fn text(media: &'static str) -> Self {
        Self {
            media,
            schema: String::schema(),
            named: Vec::new(),
            needed: true,
        }
    }

    /// An object, whose schema is elsewhere: a document, or settings.
    pub(crate) fn object(media: &'static str) -> Self {
        Self {
            media,
            schema: ObjectBuilder::new()
                .schema_type(Type::Object)
                .additional_properties(Some(AdditionalProperties::FreeForm(true)))
                .build()
                .into(),
            named: Vec::new(),
            needed: true,
        }
    }

    /// A stream of events, each with these fields (HTML, section 9.2).
    pub(crate) fn events(media: &'static str) -> Self {
        let event = ["id", "event", "data"].into_iter().fold(
            ObjectBuilder::new().schema_type(Type::Object),
            |event, field| event.property(field, String::schema()),
        );
        Self {
            media,
            schema: event.build().into(),
            named: Vec::new(),
            needed: false,
        }
    }

    /// JSON without a schema of its own.
    pub(crate) fn any(media: &'static str) -> Self {
        Self {
            media,
            schema: serde_json::Value::schema(),
            named: Vec::new(),
            needed: true,
        }
    }
}

/// Whether an object has fields that must be there.
fn needs_something(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if !object.required.is_empty())
}

/// An answer in the description.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) status: u16,
    pub(crate) says: &'static str,
    pub(crate) shape: Option<Shape>,
}

/// One route.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) right: Right,
    /// Stable: clients are generated from it.
    pub(crate) id: &'static str,
    pub(crate) says: &'static str,
    pub(crate) args: &'static [Arg],
    pub(crate) keyed: Keyed,
    pub(crate) takes: Takes,
    pub(crate) bodies: Bodies,
    pub(crate) body: Vec<Shape>,
    pub(crate) answers: Vec<Answers>,
    pub(crate) handler: MethodRouter<Shared>,
}

impl Route {
    fn new<H, T>(
        method: Method,
        place: (&'static str, Right),
        id: &'static str,
        says: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a method with a filter");
        let reads = method == Method::GET || method == Method::DELETE;
        let keyed = match method == Method::POST {
            true => Keyed::Answer,
            false => Keyed::Natural,
        };
        Self {
            method,
            path: place.0,
            right: place.1,
            id,
            says,
            args: &[],
            keyed,
            takes: Takes::Request,
            bodies: if reads { Bodies::None } else { Bodies::Guard },
            body: Vec::new(),
            answers: Vec::new(),
            handler: on(filter, handler),
        }
    }

    /// A `GET` route: path and right, id, what it does, how.
    pub(crate) fn get<H, T>(
        place: (&'static str, Right),
        id: &'static str,
        says: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        Self::new(Method::GET, place, id, says, handler)
    }

    /// A `POST` route.
    pub(crate) fn post<H, T>(
        place: (&'static str, Right),
        id: &'static str,
        says: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        Self::new(Method::POST, place, id, says, handler)
    }

    /// A `PUT` route.
    pub(crate) fn put<H, T>(
        place: (&'static str, Right),
        id: &'static str,
        says: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        Self::new(Method::PUT, place, id, says, handler)
    }

    /// A `PATCH` route.
    pub(crate) fn patch<H, T>(
        place: (&'static str, Right),
        id: &'static str,
        says: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        Self::new(Method::PATCH, place, id, says, handler)
    }

    /// A `DELETE` route.
    pub(crate) fn delete<H, T>(
        place: (&'static str, Right),
        id: &'static str,
        says: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        Self::new(Method::DELETE, place, id, says, handler)
    }

    /// Its arguments.
    pub(crate) fn args(mut self, args: &'static [Arg]) -> Self {
        self.args = args;
        self
    }

    /// A form of its body.
    pub(crate) fn body(mut self, shape: Shape) -> Self {
        self.body.push(shape);
        self
    }

    /// One of its answers.
    pub(crate) fn answer(mut self, status: u16, says: &'static str, shape: Shape) -> Self {
        let shape = Some(shape);
        self.answers.push(Answers {
            status,
            says,
            shape,
        });
        self
    }

    /// An answer without a body.
    pub(crate) fn empty(mut self, status: u16, says: &'static str) -> Self {
        self.answers.push(Answers {
            status,
            says,
            shape: None,
        });
        self
    }

    /// What an `Idempotency-Key` does.
    pub(crate) fn keyed(mut self, keyed: Keyed) -> Self {
        self.keyed = keyed;
        self
    }

    /// It may wait.
    pub(crate) fn waits(mut self) -> Self {
        self.takes = Takes::Wait;
        self
    }

    /// Its handler reads the body.
    pub(crate) fn reads_body(mut self) -> Self {
        self.bodies = Bodies::Handler;
        self
    }
}
