//! A connection between each two processes beside timely's, on which each says every moment that it lives, and at its end why.
//!
//! Law: a process that dies, stands still for longer than the patience, or can't be reached, ends all others at once, with its
//! number and the reason; one that ends for such a loss says so before, since its own end may be noticed first; a stop of one is a stop of
//! all; a good end is said and is no loss.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a process says that it lives.
const BEAT: Duration = Duration::from_millis(250);

/// A write that takes longer is given up: the reader notices what is wrong.
const WRITE: Duration = Duration::from_millis(500);

/// timely sees a broken connection too; the lifeline has so long to name the reason first.
const FIRST_WORD: Duration = Duration::from_secs(2);

const ALIVE: u8 = b'.';
const STOP: u8 = b's';
const DONE: u8 = b'd';
/// Followed by the reason and a line feed.
const FAILED: u8 = b'f';

/// Another process, as this one sees it.
struct Peer {
    process: usize,
    address: String,
    writer: Mutex<TcpStream>,
    done: AtomicBool,
}

/// All others.
type Peers = Arc<[Peer]>;

/// The lifelines of this process. They live as long as it does.
pub struct Lifelines {
    peers: Peers,
    /// Whether this process has ended well: then nobody is missed any more.
    over: Arc<AtomicBool>,
}

impl Lifelines {
    /// Watches the others: `(process, address, connection)`. A stop is passed on in both directions.
    pub(super) fn start(peers: Vec<(usize, String, TcpStream)>, patience: Duration, stop: Arc<AtomicBool>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (mut all, mut readers) = (Vec::new(), Vec::new());
        for (process, address, stream) in peers {
            // Without timeouts a frozen process would be waited for, so their failure is a loss.
            let prepared = stream.set_write_timeout(Some(WRITE)).and_then(|()| stream.set_read_timeout(Some(patience)));
            readers.push(prepared.and_then(|()| stream.try_clone()));
            all.push(Peer { process, address, writer: Mutex::new(stream), done: AtomicBool::new(false) });
        }
        let peers: Peers = all.into();
        for (number, reader) in readers.into_iter().enumerate() {
            match reader {
                Ok(reader) => {
                    let (peers, stop, over) = (Arc::clone(&peers), Arc::clone(&stop), Arc::clone(&over));
                    std::thread::spawn(move || watch(&peers, number, reader, patience, &stop, &over));
                }
                Err(error) => lose(&peers, &peers[number], &error.to_string()),
            }
        }
        let lifelines = Lifelines { peers, over };
        lifelines.beat(stop);
        lifelines.hear_timely();
        lifelines
    }

    /// Says that this process lives, and whether it was told to stop.
    fn beat(&self, stop: Arc<AtomicBool>) {
        let (peers, over) = (Arc::clone(&self.peers), Arc::clone(&self.over));
        std::thread::spawn(move || {
            let mut passed_on = false;
            while !over.load(Ordering::Relaxed) {
                let stopping = stop.load(Ordering::Relaxed);
                let word: &[u8] = if stopping && !passed_on { &[STOP] } else { &[ALIVE] };
                peers.iter().for_each(|peer| peer.say(word));
                passed_on |= stopping;
                std::thread::sleep(BEAT);
            }
        });
    }

    /// timely panics in its own threads when a connection breaks; the reason comes by the lifeline.
    fn hear_timely(&self) {
        let peers = Arc::clone(&self.peers);
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            let of_peer = name.rsplit('-').next().and_then(|number| number.parse().ok());
            let lost = peers.iter().find(|peer| name.starts_with("timely:") && Some(peer.process) == of_peer);
            match lost {
                Some(peer) => {
                    std::thread::sleep(FIRST_WORD);
                    lose(&peers, peer, "timely's connection with it broke");
                }
                None => usual(panic),
            }
        }));
    }

    /// This process ends well: the others need not miss it.
    pub fn done(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.peers.iter().for_each(|peer| peer.say(&[DONE]));
    }

    /// This process can't go on; the others learn why, and end.
    pub fn fail(&self, reason: &str) {
        self.over.store(true, Ordering::Relaxed);
        self.peers.iter().for_each(|peer| peer.say_why(reason));
    }
}

impl Peer {
    /// Whether it hears is not for the speaker to know.
    fn say(&self, words: &[u8]) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let _heard = writer.write_all(words).is_ok();
    }

    fn say_why(&self, reason: &str) {
        self.say(&[&[FAILED], reason.replace('\n', " ").as_bytes(), b"\n"].concat());
    }
}

/// Hears what the process at this place of all says until it has ended well, or this one has.
fn watch(peers: &Peers, place: usize, stream: TcpStream, patience: Duration, stop: &AtomicBool, over: &AtomicBool) {
    let peer = &peers[place];
    let mut reader = BufReader::new(stream);
    let reason = loop {
        let heard = Instant::now();
        let mut word = [0];
        match reader.read(&mut word) {
            Ok(0) => break "its connection closed, it has died".to_owned(),
            Ok(_) => match word[0] {
                STOP => stop.store(true, Ordering::Relaxed),
                DONE => return peer.done.store(true, Ordering::Relaxed),
                FAILED => {
                    let mut reason = String::new();
                    let _partial = reader.read_line(&mut reason).is_ok();
                    break format!("it has ended: {}", reason.trim_end());
                }
                _ => {}
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if heard.elapsed() >= patience {
                    break format!("it has said nothing for {} s", patience.as_secs());
                }
            }
            Err(error) => break format!("its connection broke: {error}"),
        }
    };
    if !over.load(Ordering::Relaxed) {
        lose(peers, peer, &reason);
    }
}

/// A process is gone, and without it this one can't go on. What is committed stays; the rest is done again after the restart.
fn lose(peers: &Peers, lost: &Peer, reason: &str) {
    if lost.done.load(Ordering::Relaxed) {
        return;
    }
    crate::events::cluster::lost(lost.process, &lost.address, reason);
    let others = peers.iter().filter(|peer| peer.process != lost.process);
    others.for_each(|peer| peer.say_why(&format!("lost process {} at {}: {reason}", lost.process, lost.address)));
    std::process::exit(1);
}
