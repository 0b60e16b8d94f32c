//! A client of one connection that costs almost nothing: it runs on the machine that it measures.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The admin key of every measured service.
pub(crate) const KEY: &str = "an-admin-key-of-the-bench-0123456789";

/// One keep-alive connection.
pub(crate) struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, request: Vec::new(), answer: Vec::new() })
    }

    /// Sends a request and reads the whole answer; returns its status and body.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<(u16, &str)> {
        let length = body.len();
        self.request.clear();
        self.request.extend_from_slice(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        );
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        let (head, end) = loop {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the connection ended");
            if let Some(ends) = ends_of(&self.answer)? {
                break ends;
            }
        };
        while self.answer.len() < end {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the connection ended");
        }
        let status = std::str::from_utf8(&self.answer[9..12])?.parse()?;
        Ok((status, std::str::from_utf8(&self.answer[head..end])?))
    }
}

/// Ends of an answer's head and body; `None` if the head is incomplete.
fn ends_of(answer: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(place) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..place])?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    match length {
        Some(length) => Ok(Some((place + 4, place + 4 + length.context("a length")?))),
        None if head.starts_with("HTTP/1.1 204") => Ok(Some((place + 4, place + 4))),
        None => bail!("an answer without a length: {head}"),
    }
}
