//! One HTTP call at a time, for setting up and looking in. Not for measuring.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::Reply;

const PATIENCE: Duration = Duration::from_secs(10);

/// Makes a call on a connection of its own; an empty `body` sends none.
pub(crate) async fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    key: &str,
    body: &str,
) -> Result<Reply> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let talk = async {
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(request.as_bytes()).await?;
        let (mut reply, mut piece) = (Reply::default(), vec![0; 64 * 1024]);
        while !reply.is_done() {
            let length = socket.read(&mut piece).await?;
            ensure!(length > 0, "the answer broke off");
            reply.push(&piece[..length])?;
        }
        Ok(reply)
    };
    tokio::time::timeout(PATIENCE, talk)
        .await
        .with_context(|| format!("no answer within {PATIENCE:?}"))
        .flatten()
        .with_context(|| format!("{method} {path} at {address} failed"))
}

/// The same, where anything but a success is an error; gives the body as JSON.
pub(crate) async fn json(
    address: SocketAddr,
    method: &str,
    path: &str,
    key: &str,
    body: &str,
) -> Result<serde_json::Value> {
    let reply = call(address, method, path, key, body).await?;
    if !(200..300).contains(&reply.status) {
        bail!("{method} {path} answered {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    }
    serde_json::from_slice(&reply.body).with_context(|| format!("{method} {path} did not answer with JSON"))
}
