//! What is taken from a request: its arguments, its body, what made it.

use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Query};
use bytes::Bytes;
use engine::id::Nonce;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use store::port::Page;
use tokio::time::{Instant, timeout_at};

use crate::arg::no_argument;
pub(crate) use crate::arg::{Arg, CURSOR_ARG, LIMIT_ARG};
use crate::config::{Edge, std_time};
use crate::page::{no_cursor, read_cursor};
use crate::problem::{Problem, Spot};
use crate::room::{SMALL, Sender, Taken};

/// Rows of a list, unless asked otherwise.
const LIMIT: usize = 50;
/// No list has more rows at once.
const LIMIT_MAX: usize = 1_000;

/// The arguments of a request; the guard has refused those that the route does not have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Args(Vec<(String, String)>);

impl Args {
    /// Reads them, and refuses every name that is not `known`, and those that stand twice and take one value: nobody knows
    /// which of the two is meant.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn read(parts: &Parts, known: &[Arg]) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Problem::malformed("the query of the address cannot be read"))?;
        let mut seen: Vec<&str> = Vec::new();
        for (name, _) in &pairs {
            let arg = known.iter().find(|arg| arg.name == name);
            let arg = arg.ok_or_else(|| no_argument(name, known))?;
            let before = seen.contains(&arg.name);
            if !arg.takes(1 + usize::from(before)) {
                let detail = format!("the argument {name} is given twice, and it has one value");
                return Err(Problem::malformed(detail));
            }
            if !before {
                seen.push(arg.name);
            }
        }
        Ok(Self(pairs))
    }

    /// Arguments that came in another way.
    pub(crate) fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The value of an argument that takes one, if it is given and not empty.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let given = self.0.iter().find(|(given, _)| given == name);
        given
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    /// Each giving of an argument, with its parts between commas: OR inside, AND between.
    pub(crate) fn groups(&self, name: &str) -> Vec<Vec<&str>> {
        let given = self.0.iter().filter(|(given, _)| given == name);
        given
            .map(|(_, value)| value.split(',').filter(|part| !part.is_empty()).collect())
            .collect()
    }

    /// What an argument may be: the parts of one giving, or those that all givings have in common.
    pub(crate) fn any_of(&self, name: &str) -> Option<Vec<String>> {
        let groups = self.groups(name);
        let (first, rest) = groups.split_first()?;
        let common = first
            .iter()
            .filter(|part| rest.iter().all(|group| group.contains(part)));
        Some(common.map(|part| (*part).to_owned()).collect())
    }

    /// An argument as another type.
    ///
    /// # Errors
    /// 400 with what is expected.
    pub(crate) fn parsed<T: std::str::FromStr>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.one(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Problem::malformed(format!(
                "the argument {name} is {text:?}: it must be {expected}"
            ))),
        }
    }

    /// Which part of a list is asked for.
    ///
    /// # Errors
    /// 400 when `limit` is no number from 1 to 1,000, or `cursor` none that a list gave.
    pub(crate) fn page(&self) -> Result<Page, Problem> {
        let limit = self.parsed("limit", "a number from 1 to 1000")?;
        let limit = limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::malformed(format!(
                "limit is {limit}: it must be a number from 1 to {LIMIT_MAX}"
            )));
        }
        let cursor = self.one("cursor");
        let after = cursor.map(|text| read_cursor(text).ok_or_else(no_cursor));
        let after = after.transpose()?;
        Ok(Page { limit, after })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Args {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// What made this request: its id, and the trace that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) request_id: String,
    /// W3C `traceparent`.
    pub(crate) traceparent: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(Problem::internal)
    }
}

impl Origin {
    /// Takes over what the request brings and makes the rest.
    pub(crate) fn of(headers: &HeaderMap, make: impl Fn() -> Nonce) -> Self {
        let given = header(headers, &HeaderName::from_static("x-request-id"))
            .filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()));
        let trace = header(headers, &HeaderName::from_static("traceparent"))
            .filter(|text| is_traceparent(text));
        Self {
            request_id: given.map_or_else(|| make().to_string(), str::to_owned),
            traceparent: trace.map_or_else(
                || {
                    let span = make().to_string();
                    format!("00-{}-{}-01", make(), &span[..16])
                },
                str::to_owned,
            ),
        }
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, not all zeros (W3C Trace Context, section 3.2).
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, len: usize| {
        part.len() == len
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    match text.split('-').collect::<Vec<_>>().as_slice() {
        ["00", trace, span, flags] => {
            hex(trace, 32) && hex(span, 16) && hex(flags, 2) && !zero(trace) && !zero(span)
        }
        _ => false,
    }
}

/// A header as text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Reads a body under the limits of size, of time between parts, and of time in all, which is less for a stranger's.
///
/// # Errors
/// 413, 408, 400 when it ends in the middle, and 503 when there is no room for it.
pub(crate) async fn read_body(
    body: axum::body::Body,
    limits: &Edge,
    taken: &mut Taken,
) -> Result<Bytes, Problem> {
    let too_large = || {
        let max = limits.body_bytes;
        Problem::too_large(format!("the body is longer than {max} bytes"))
    };
    let declared = hyper::body::Body::size_hint(&body).lower();
    let declared = usize::try_from(declared).unwrap_or(usize::MAX);
    if declared > limits.body_bytes {
        return Err(too_large());
    }
    let total = match taken.sender() {
        Sender::Known => limits.body_total,
        Sender::Stranger(_) => limits.body_total.min(limits.body_unproven),
    };
    let end = Instant::now() + std_time(total);
    let mut body = body;
    let mut read = Blocks::default();
    loop {
        let next = (Instant::now() + std_time(limits.body_idle)).min(end);
        let frame = match timeout_at(next, body.frame()).await {
            Err(_) => return Err(Problem::request_timeout("the body did not arrive in time")),
            Ok(None) => return Ok(read.whole()),
            Ok(Some(Err(_))) => return Err(Problem::malformed("the body ended in the middle")),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if read.len + data.len() > limits.body_bytes {
            return Err(too_large());
        }
        taken.more(data.len())?;
        read.push(&data);
    }
}

/// A body as far as it has arrived, in blocks of one size: what grows by doubling leaves a trail of blocks behind that
/// an allocator keeps for a while, and a thousand bodies leave a thousand.
#[derive(Default)]
struct Blocks {
    blocks: Vec<Vec<u8>>,
    len: usize,
}

impl Blocks {
    fn push(&mut self, mut data: &[u8]) {
        self.len += data.len();
        while !data.is_empty() {
            if self.blocks.last().is_none_or(|last| last.len() == SMALL) {
                self.blocks.push(Vec::new());
            }
            let Some(last) = self.blocks.last_mut() else {
                return;
            };
            let (now, later) = data.split_at(data.len().min(SMALL - last.len()));
            last.extend_from_slice(now);
            data = later;
        }
    }

    fn whole(mut self) -> Bytes {
        match self.blocks.len() {
            0 | 1 => Bytes::from(self.blocks.pop().unwrap_or_default()),
            _ => Bytes::from(self.blocks.concat()),
        }
    }
}

/// Whoever sends a request and has proven nothing yet.
pub(crate) fn stranger(parts: &Parts) -> Sender {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let nowhere = Ipv4Addr::UNSPECIFIED.into();
    Sender::at(peer.map_or(nowhere, |ConnectInfo(peer)| peer.ip()))
}

/// Refuses a compressed body: it would be read as garbage, or once it is written out be longer than anybody allowed.
///
/// # Errors
/// 415.
pub(crate) fn uncompressed(headers: &HeaderMap) -> Result<(), Problem> {
    let plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return Ok(());
    }
    let detail = "the body is compressed: send it as it is, without Content-Encoding";
    Err(Problem::media_type(detail))
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    MergePatch,
    Yaml,
}

/// The media type of a body; none counts as JSON.
///
/// # Errors
/// 415 when it is not one of `taken`.
pub(crate) fn media(headers: &HeaderMap, taken: &[Media]) -> Result<Media, Problem> {
    let given = header(headers, &CONTENT_TYPE).unwrap_or("application/json");
    let kind = given.split(';').next().unwrap_or_default().trim();
    let media = match kind.to_ascii_lowercase().as_str() {
        "application/json" => Some(Media::Json),
        "application/merge-patch+json" => Some(Media::MergePatch),
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => {
            Some(Media::Yaml)
        }
        _ => None,
    };
    media.filter(|media| taken.contains(media)).ok_or_else(|| {
        let names = taken.iter().map(|m| match m {
            Media::Json => "application/json",
            Media::MergePatch => "application/merge-patch+json",
            Media::Yaml => "application/yaml",
        });
        let names = names.collect::<Vec<_>>().join(" or ");
        Problem::media_type(format!("the body is {kind:?}: this takes {names}"))
    })
}

/// A JSON body as a type; an empty one is `{}`.
///
/// # Errors
/// 415, 400 when it is no JSON, 422 when it is another JSON.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    media(headers, &[Media::Json])?;
    parse(body)
}

/// JSON bytes as a type.
///
/// # Errors
/// 400 when they are no JSON, 422 when they are another JSON, or a name stands twice in an object.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let read = strict_json::check(body).and_then(|()| serde_json::from_slice(body));
    read.map_err(|error| {
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or(&text).to_owned();
        if !error.is_data() {
            return Problem::malformed(format!("the body is not JSON: {text}"));
        }
        let mut spot = Spot::at("", what.clone());
        spot.line = Some(error.line());
        spot.column = Some(error.column());
        Problem::invalid(format!("the body does not fit: {what}"), vec![spot])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const KNOWN: &[Arg] = &[LIMIT_ARG, Arg::several("status", "")];

    fn args(query: &str) -> Result<Args, Problem> {
        let request = Request::get(format!("/x?{query}"))
            .body(())
            .expect("a request");
        Args::read(&request.into_parts().0, KNOWN)
    }

    #[test]
    fn a_comma_is_or_and_a_repetition_is_and() {
        let of = |query| args(query).expect("read").any_of("status");
        assert_eq!(of("status=a,b"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(of("status=a,b&status=b,c"), Some(vec!["b".to_owned()]));
        assert_eq!(of("limit=3"), None);
    }

    #[test]
    fn a_misspelt_argument_is_refused_with_the_right_ones() {
        let problem = args("statsu=failed").expect_err("unknown");
        assert!(problem.hint.is_some_and(|hint| hint.contains("status")));
        assert!(args("limit=0").expect("read").page().is_err());
        assert!(args("limit=x").expect("read").page().is_err());
        assert_eq!(args("").expect("read").page().expect("a page").limit, 50);
    }

    #[test]
    fn an_argument_of_one_value_is_given_once() {
        for twice in [
            "limit=3&limit=3",
            "limit=&limit=3",
            "limit=1&status=a&limit=2",
        ] {
            let problem = args(twice).expect_err("nobody knows which");
            assert_eq!(problem.code.as_str(), "malformed", "{twice}");
        }
        assert!(args("status=a&limit=3&status=a").is_ok());
    }

    #[test]
    fn only_a_valid_trace_is_taken_over() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        assert!(!is_traceparent(&good.to_uppercase()));
        assert!(!is_traceparent(
            &good.replace("b7ad6b7169203331", "0000000000000000")
        ));
        let made = Origin::of(&HeaderMap::new(), || Nonce([7; 16]));
        assert!(is_traceparent(&made.traceparent));
    }

    fn taken() -> Taken {
        crate::room::Room::default().for_body(Sender::Known)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_is_given_up() {
        let limits = Edge::default();
        let stalled = futures::stream::once(async { Ok::<_, std::io::Error>(Bytes::from("x")) });
        let stalled = futures::StreamExt::chain(stalled, futures::stream::pending());
        let body = axum::body::Body::from_stream(stalled);
        let start = Instant::now();
        let problem = read_body(body, &limits, &mut taken())
            .await
            .expect_err("too slow");
        assert_eq!(problem.status.as_u16(), 408);
        assert_eq!(start.elapsed(), std_time(limits.body_idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_has_less_time_for_a_body() {
        let limits = Edge::default();
        let stranger = Sender::at(std::net::Ipv4Addr::LOCALHOST.into());
        for (sender, most) in [
            (Sender::Known, limits.body_total),
            (stranger, limits.body_unproven),
        ] {
            let drops = futures::stream::unfold((), |()| async {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from("x")), ()))
            });
            let (start, body) = (Instant::now(), axum::body::Body::from_stream(drops));
            let mut taken = crate::room::Room::default().for_body(sender);
            let read = read_body(body, &limits, &mut taken).await;
            assert_eq!(read.expect_err("too slow").status.as_u16(), 408);
            assert_eq!(start.elapsed(), std_time(most), "{sender:?}");
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        let limits = Edge {
            body_bytes: 3,
            ..Edge::default()
        };
        assert!(read_body("abc".into(), &limits, &mut taken()).await.is_ok());
        let problem = read_body("abcd".into(), &limits, &mut taken())
            .await
            .expect_err("4 > 3");
        assert_eq!(problem.status.as_u16(), 413);
    }
}
