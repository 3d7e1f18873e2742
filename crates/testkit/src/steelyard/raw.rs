//! A connection on which a test writes its own bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A TCP connection to the server.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Raw {
    /// Connects.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server accepts connections");
        stream.set_nodelay(true).expect("an open socket has options");
        Self { stream, read: Vec::new() }
    }

    /// Writes; false if the server has hung up.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Ends the sending half.
    pub async fn finish_writing(&mut self) {
        self.stream.shutdown().await.expect("an open socket can be half closed");
    }

    /// Reads until the server closes, at most for `limit`. What it gives is everything read so far, and whether
    /// the server closed.
    pub async fn read_to_end(&mut self, limit: Duration) -> (Vec<u8>, bool) {
        let reading = async {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                match self.stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                }
            }
        };
        let closed = tokio::time::timeout(limit, reading).await.is_ok();
        (self.read.clone(), closed)
    }

    /// Reads until `text` has come; panics after 15 s or when the server closes before.
    pub async fn read_until(&mut self, text: &str) -> String {
        let reading = async {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let so_far = String::from_utf8_lossy(&self.read).into_owned();
                if so_far.contains(text) {
                    return so_far;
                }
                match self.stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => panic!("the server closed before `{text}` came: {so_far}"),
                    Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(15), reading)
            .await
            .unwrap_or_else(|_| panic!("`{text}` did not come within 15 s"))
    }

    /// Resets the connection (RST), as a crashed client does.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("an open socket has options");
    }
}
