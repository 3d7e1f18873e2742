//! A request as the upstream got it.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::Wire;

/// What a deployment's own path begins with at Azure.
const DEPLOYMENTS: &str = "/openai/deployments/";

/// A recorded request.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Without its transfer encoding.
    pub body: Bytes,
    /// The wire of the upstream that got it.
    pub wire: Wire,
}

impl Request {
    /// The first header of that name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The path without its query.
    pub fn bare_path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// The model that the body names; on the wires of Bedrock and Gemini, the path, as on Azure's classic paths.
    pub fn model(&self) -> Option<String> {
        match self.wire {
            Wire::OpenAi if self.path.starts_with(DEPLOYMENTS) => {
                let (deployment, _) = self.bare_path().strip_prefix(DEPLOYMENTS)?.split_once('/')?;
                Some(percent_decode_str(deployment).decode_utf8_lossy().into_owned())
            }
            Wire::OpenAi | Wire::Anthropic => {
                self.json().get("model").and_then(Value::as_str).map(str::to_owned)
            }
            Wire::Gemini => {
                let (model, _) = self.bare_path().strip_prefix("/v1beta/models/")?.rsplit_once(':')?;
                Some(percent_decode_str(model).decode_utf8_lossy().into_owned())
            }
            Wire::Bedrock => {
                let (model, _) = self.bare_path().strip_prefix("/model/")?.rsplit_once('/')?;
                Some(percent_decode_str(model).decode_utf8_lossy().into_owned())
            }
        }
    }

    /// The path without what stands before the operation: `/v1`; on Azure `/openai/v1`, or a deployment's own path.
    pub(super) fn operation(&self) -> &str {
        let path = self.bare_path();
        if let Some(rest) = path.strip_prefix(DEPLOYMENTS) {
            return rest.find('/').map_or("", |slash| &rest[slash..]);
        }
        let path = path.strip_prefix("/openai").unwrap_or(path);
        path.strip_prefix("/v1").unwrap_or(path)
    }

    /// Whether a stream is asked for.
    pub fn wants_stream(&self) -> bool {
        match self.wire {
            Wire::OpenAi | Wire::Anthropic => self.json()["stream"] == true,
            Wire::Bedrock => self.bare_path().ends_with("/converse-stream"),
            Wire::Gemini => self.bare_path().ends_with(":streamGenerateContent"),
        }
    }

    /// Whether the body asks for usage in the stream.
    pub fn wants_usage(&self) -> bool {
        self.json()["stream_options"]["include_usage"] == true
    }

    pub(super) fn to_json(&self) -> Value {
        let headers: BTreeMap<_, _> = self.headers.iter().cloned().collect();
        json!({ "method": self.method, "path": self.path, "headers": headers, "body": self.json() })
    }
}

/// Reads one request; none when the connection ends or does not speak HTTP/1.
pub(super) async fn read(stream: &mut TcpStream, unread: &mut BytesMut, wire: Wire) -> Option<Request> {
    let head_end = loop {
        if let Some(at) = find(unread, b"\r\n\r\n") {
            break at;
        }
        fill(stream, unread).await?;
    };
    let head = unread.split_to(head_end + 4);
    let head = String::from_utf8_lossy(&head[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request { method, path, headers, body: Bytes::new(), wire };

    if request.header("expect") == Some("100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    request.body = if request.header("transfer-encoding") == Some("chunked") {
        read_chunked(stream, unread).await?
    } else {
        let length = request.header("content-length").map_or(Some(0), |length| length.parse().ok())?;
        while unread.len() < length {
            fill(stream, unread).await?;
        }
        unread.split_to(length).freeze()
    };
    Some(request)
}

async fn read_chunked(stream: &mut TcpStream, unread: &mut BytesMut) -> Option<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let line_end = loop {
            if let Some(at) = find(unread, b"\r\n") {
                break at;
            }
            fill(stream, unread).await?;
        };
        let line = unread.split_to(line_end + 2);
        let size = std::str::from_utf8(&line[..line_end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        while unread.len() < size + 2 {
            fill(stream, unread).await?;
        }
        body.extend_from_slice(&unread[..size]);
        unread.advance(size + 2);
        if size == 0 {
            return Some(body.freeze());
        }
    }
}

async fn fill(stream: &mut TcpStream, unread: &mut BytesMut) -> Option<()> {
    unread.reserve(16 * 1024);
    match stream.read_buf(unread).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
