//! Lines of JSON on a connection that somebody else takes over afterwards: read byte by byte, so that nothing behind a line is
//! taken away from the next owner.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A longer line is no message of ours.
const LONGEST: usize = 64 << 10;

/// How long one attempt to connect, or to write a line, may take.
const ATTEMPT: Duration = Duration::from_secs(3);

/// How long a read waits before its caller may look around.
pub(super) const GLANCE: Duration = Duration::from_millis(100);

/// A connection on which lines are exchanged.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    line: Vec<u8>,
}

impl Wire {
    /// Takes a connection over.
    pub(super) fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GLANCE))?;
        stream.set_write_timeout(Some(ATTEMPT))?;
        Ok(Wire { stream, line: Vec::new() })
    }

    /// Connects to `host:port`.
    pub(super) fn connect(address: &str) -> std::io::Result<Self> {
        let mut failure = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, ATTEMPT) {
                Ok(stream) => return Wire::new(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Writes a line.
    pub(super) fn send<T: Serialize>(&mut self, message: &T) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.stream.write_all(&line)
    }

    /// The next line, if it comes within a [`GLANCE`]; what has come of it is kept for the next call.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> std::io::Result<Option<T>> {
        let mut byte = [0];
        loop {
            match self.stream.read(&mut byte) {
                Ok(0) => return Err(std::io::Error::new(ErrorKind::UnexpectedEof, "its connection closed")),
                Ok(_) if byte[0] == b'\n' => return Ok(Some(serde_json::from_slice(&std::mem::take(&mut self.line))?)),
                Ok(_) if self.line.len() >= LONGEST => {
                    return Err(std::io::Error::new(ErrorKind::InvalidData, "what answers there is no synthllm"));
                }
                Ok(_) => self.line.push(byte[0]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next line, if it comes until the deadline.
    pub(super) fn receive_until<T: DeserializeOwned>(&mut self, deadline: Instant) -> std::io::Result<T> {
        loop {
            if let Some(message) = self.receive()? {
                return Ok(message);
            }
            if Instant::now() >= deadline {
                return Err(std::io::Error::new(ErrorKind::TimedOut, "it does not answer"));
            }
        }
    }

    /// Hands the connection over, blocking and without timeouts.
    pub(super) fn into_stream(self) -> std::io::Result<TcpStream> {
        self.stream.set_read_timeout(None)?;
        self.stream.set_write_timeout(None)?;
        Ok(self.stream)
    }
}
