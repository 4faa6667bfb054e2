//! A call over HTTP/2 whose message is any bytes.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What is called, with what.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Bytes,
}

/// The status of the call; `None`: its stream or connection was reset, or it was answered by HTTP alone.
pub(super) async fn status(address: SocketAddr, call: &Call) -> Result<Option<u16>> {
    let stream = TcpStream::connect(address).await?;
    let hands = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = hands.await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut request = Request::post(format!("http://engine{}", call.path));
    for (name, value) in &call.headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(call.body.clone()))?);
    let Ok(answer) = answer.await else {
        return Ok(None);
    };
    let mut headers = answer.headers().clone();
    if let Ok(whole) = answer.into_body().collect().await
        && let Some(trailers) = whole.trailers()
    {
        headers.extend(trailers.clone());
    }
    let Some(status) = headers.get("grpc-status") else {
        return Ok(None);
    };
    let status = status.to_str()?.parse().context("grpc-status")?;
    Ok(Some(status))
}
