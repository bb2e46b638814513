//! As much of HTTP/1.1 as a client of chat completions needs, and the ways of breaking it.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request, read in full.
pub struct HttpRequest {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub body: Vec<u8>,
}

/// A connection that is kept open from request to request.
pub struct Connection {
    socket: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    pub fn new(socket: TcpStream) -> Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Connection { socket, unread: Vec::new() })
    }

    /// The next request; `None` when the client has closed the connection between two.
    pub async fn next(&mut self) -> Result<Option<HttpRequest>> {
        let Some(head_end) = self.read_head().await? else { return Ok(None) };
        let head = String::from_utf8_lossy(&self.unread[..head_end]).into_owned();
        let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        while self.unread.len() < head_end + length {
            self.read_more().await?;
        }
        let rest = self.unread.split_off(head_end + length);
        let body = std::mem::replace(&mut self.unread, rest).split_off(head_end);
        let mut words = head.split_ascii_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Ok(Some(HttpRequest { method, path, authorization: header(&head, "authorization").map(str::to_owned), body }))
    }

    async fn read_head(&mut self) -> Result<Option<usize>> {
        loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok(Some(at + 4));
            }
            match self.read_more().await {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.unread.is_empty() => return Ok(None),
                outcome => outcome?,
            }
        }
    }

    async fn read_more(&mut self) -> Result<()> {
        match self.socket.read_buf(&mut self.unread).await? {
            0 => Err(Error::from(ErrorKind::UnexpectedEof)),
            _ => Ok(()),
        }
    }

    /// Writes a whole response.
    pub async fn respond(&mut self, status: u16, headers: &[(&str, &str)], body: &str) -> Result<()> {
        let mut response = head(status, headers, body.len());
        response.push_str(body);
        self.socket.write_all(response.as_bytes()).await
    }

    /// Writes the head of a response and half of its body.
    pub async fn respond_half(&mut self, body: &str) -> Result<()> {
        let response = head(200, &[], body.len());
        self.socket.write_all(response.as_bytes()).await?;
        self.socket.write_all(&body.as_bytes()[..body.len() / 2]).await
    }

    /// Says nothing more until the client gives up.
    pub async fn wait_for_close(&mut self) -> Result<()> {
        while self.read_more().await.is_ok() {}
        Ok(())
    }
}

fn head(status: u16, headers: &[(&str, &str)], length: usize) -> String {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    head
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
        .map(|(_, value)| value.trim())
}
