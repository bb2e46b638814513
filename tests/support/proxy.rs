//! A TCP proxy on loopback whose link can be cut, slowed and frozen while connections are open.
#![allow(clippy::missing_panics_doc)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a link behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    /// Bytes pass.
    Open,
    /// Each chunk of bytes waits so long before it passes.
    Slow(Duration),
    /// Connections stay, and nothing passes.
    Frozen,
    /// Connections are cut, and new ones are cut at once.
    Cut,
}

/// A proxy before one address. It ends with the process.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    link: Link,
    open: Vec<TcpStream>,
}

impl Proxy {
    /// Listens on a port of loopback (0: a free one) and passes everything on to `target`.
    pub fn start(port: u16, target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the proxy's port is free");
        let address = listener.local_addr().expect("a bound port has an address");
        let state = Mutex::new(State { link: Link::Open, open: Vec::new() });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let proxy = Proxy { address, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Who can't be reached, or is cut off, is a connection that ends at once.
                let _passed = shared.pass(client, target).is_ok();
            }
        });
        proxy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the link, for open connections too.
    pub fn set(&self, link: Link) {
        let mut state = self.shared.state();
        state.link = link;
        if link == Link::Cut {
            for stream in state.open.drain(..) {
                // It may be closed already.
                let _closed = stream.shutdown(Shutdown::Both).is_ok();
            }
        }
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(self: &Arc<Self>, client: TcpStream, target: SocketAddr) -> std::io::Result<()> {
        let mut state = self.state();
        if state.link == Link::Cut {
            return Ok(());
        }
        let server = TcpStream::connect_timeout(&target, Duration::from_secs(2))?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        state.open.push(client.try_clone()?);
        state.open.push(server.try_clone()?);
        drop(state);
        for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.copy(from, to));
        }
        Ok(())
    }

    /// Passes bytes on until one side says no more, which ends this direction only, or until something breaks, which ends both.
    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => {
                    let _closed = to.shutdown(Shutdown::Write).is_ok();
                    return;
                }
                Ok(count) => {
                    self.wait();
                    if to.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
        }
        for stream in [from, to] {
            let _closed = stream.shutdown(Shutdown::Both).is_ok();
        }
    }

    /// Waits as the link demands.
    fn wait(&self) {
        let mut state = self.state();
        while state.link == Link::Frozen {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Link::Slow(delay) = state.link {
            let _waited = self.changed.wait_timeout(state, delay).is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_passes_bytes_until_it_is_cut_and_again_when_it_is_mended() {
        let echo = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = echo.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in echo.incoming().flatten() {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            }
        });
        let proxy = Proxy::start(0, target);
        let ask = |stream: &mut TcpStream| {
            let mut byte = [0];
            stream.write_all(b"x").and_then(|()| stream.read_exact(&mut byte)).map(|()| byte)
        };
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(ask(&mut stream).unwrap(), *b"x");
        proxy.set(Link::Cut);
        assert!(ask(&mut stream).is_err());
        assert!(TcpStream::connect(proxy.address()).and_then(|mut stream| ask(&mut stream)).is_err());
        proxy.set(Link::Slow(Duration::from_millis(1)));
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        assert_eq!(ask(&mut stream).unwrap(), *b"x");
    }
}
