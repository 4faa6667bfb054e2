//! Requests that no sender makes, under good credentials.

use super::{BODY_MAX, Forged, forged, post, post_with};

/// A sender that could prove what it sends.
pub(super) struct Sender<'a> {
    pub(super) path: &'a str,
    /// A header line that proves the body.
    pub(super) proof: &'a str,
    pub(super) body: &'a str,
}

impl Sender<'_> {
    pub(super) fn odd(&self) -> Vec<Forged> {
        let parts = [
            self.long(),
            self.lengths(),
            self.chunks(),
            self.headers(),
            self.addresses(),
        ];
        parts.into_iter().flatten().collect()
    }

    fn posted(&self, lines: &str) -> Vec<u8> {
        post_with(
            self.path,
            &format!("{}{lines}", self.proof),
            self.body.as_bytes(),
        )
    }

    fn chunked(&self, chunks: &[u8]) -> Vec<u8> {
        let headers = format!("{}transfer-encoding: chunked\r\n", self.proof);
        post_with(self.path, &headers, chunks)
    }

    fn raw(&self, line: &str, lines: &str) -> Vec<u8> {
        let headers = format!("connection: close\r\n{}{lines}", self.proof);
        format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").into_bytes()
    }

    fn long(&self) -> Vec<Forged> {
        let large = vec![b' '; BODY_MAX + 1];
        let mut chunks = format!("{:x}\r\n", large.len()).into_bytes();
        chunks.extend_from_slice(&large);
        chunks.extend_from_slice(b"\r\n0\r\n\r\n");
        vec![
            forged("too long", post(self.path, self.proof, &large), 413),
            forged(
                "too long, it says",
                self.posted("content-length: 1073741824\r\n"),
                413,
            ),
            forged("too long, in chunks", self.chunked(&chunks), 413),
        ]
    }

    fn lengths(&self) -> Vec<Forged> {
        let length = self.body.len();
        let says = |text: String| self.posted(&format!("content-length: {text}\r\n"));
        let signed = self.proof.contains("signature");
        let twice = format!("content-length: {length}\r\ncontent-length: 3\r\n");
        vec![
            forged(
                "shorter than it says, and slow",
                says((length + 5).to_string()),
                408,
            ),
            forged(
                "longer than it says",
                says((length - 5).to_string()),
                if signed { 401 } else { 400 },
            ),
            forged("two lengths", self.posted(&twice), 400),
            forged("a negative length", says("-1".to_owned()), 400),
            forged("a length with a sign", says(format!("+{length}")), 400),
            forged(
                "a length in hexadecimal",
                says(format!("0x{length:x}")),
                400,
            ),
            forged("a list of lengths", says(format!("{length}, 3")), 400),
        ]
    }

    fn chunks(&self) -> Vec<Forged> {
        vec![
            forged(
                "a chunk without a size",
                self.chunked(b"zz\r\n{}\r\n0\r\n\r\n"),
                400,
            ),
            forged(
                "a chunk that never ends",
                self.chunked(b"ffffffffffffffff\r\n{"),
                408,
            ),
            forged(
                "a chunk with a longer size than any",
                self.chunked(b"1ffffffffffffffff\r\n{"),
                400,
            ),
            forged("chunks without an end", self.chunked(b"2\r\n{}\r\n"), 408),
            forged(
                "a coding that nobody knows",
                self.posted("transfer-encoding: gzip\r\n"),
                400,
            ),
            forged(
                "chunks inside of something",
                self.posted("transfer-encoding: chunked, gzip\r\n"),
                400,
            ),
        ]
    }

    fn headers(&self) -> Vec<Forged> {
        let with = |lines: &str| {
            post(
                self.path,
                &format!("{}{lines}", self.proof),
                self.body.as_bytes(),
            )
        };
        vec![
            forged(
                "compressed, it says",
                with("content-encoding: gzip\r\n"),
                415,
            ),
            forged(
                "compressed twice, it says",
                with("content-encoding: identity, br\r\n"),
                415,
            ),
            forged("a space before the colon", with("x-a : 1\r\n"), 400),
            forged("a header over two lines", with("x-a: 1\r\n 2\r\n"), 400),
            forged("NUL in a header", with("x-a: \0\r\n"), 400),
            forged("a name that is none", with("x(a): 1\r\n"), 400),
            forged("a hundred headers", with(&"x-a: 1\r\n".repeat(100)), 431),
            forged(
                "a long header",
                with(&format!("x-a: {}\r\n", "b".repeat(20_000))),
                431,
            ),
        ]
    }

    fn addresses(&self) -> Vec<Forged> {
        let path = self.path;
        let to = |path: &str| post(path, self.proof, self.body.as_bytes());
        let overridden = "x-http-method-override: POST\r\n";
        vec![
            forged("an argument", to(&format!("{path}?token=1")), 400),
            forged(
                "another tenant",
                to(&path.replace("/hooks/", "/hooks/acme/")),
                404,
            ),
            forged(
                "no tenant's name",
                to(&path.replace("/hooks/", "/hooks/..%2f/")),
                404,
            ),
            forged("another hook", to(&format!("{path}x")), 404),
            forged("a slash too many", to(&format!("{path}/")), 404),
            forged(
                "another method",
                self.raw(&format!("PUT {path}"), "content-length: 0\r\n"),
                405,
            ),
            forged("a look", self.raw(&format!("GET {path}"), ""), 405),
            forged(
                "a method that is told in a header",
                self.raw(&format!("GET {path}"), overridden),
                405,
            ),
        ]
    }
}
