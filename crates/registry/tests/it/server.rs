//! An HTTP server whose every answer a test decides, and a proxy that cuts connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The start that a `Range: bytes=N-` asks for.
    pub(crate) fn range(&self) -> Option<usize> {
        let text = self.header("range")?.strip_prefix("bytes=")?;
        text.strip_suffix('-')?.parse().ok()
    }
}

/// What to answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    pub(crate) cut_after: Option<usize>,
    /// Fall silent after the body's first half, for this long.
    pub(crate) silence: Option<Duration>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A server on a free port of loopback; it stops on drop.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(
        answer: impl Fn(&Request, SocketAddr) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let thread = std::thread::spawn({
            let (requests, stop) = (Arc::clone(&requests), Arc::clone(&stop));
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
                    std::thread::spawn(move || {
                        let mut stream = stream.unwrap();
                        let Some(request) = read_request(&stream) else { return };
                        requests.lock().unwrap().push(request.clone());
                        drop(write_reply(&mut stream, &request, &answer(&request, address)));
                        drop(stream.shutdown(Shutdown::Both));
                    });
                }
            }
        });
        Self { address, requests, stop, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path.contains(path)).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// `None` for what is no HTTP, such as the first bytes of TLS.
fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut first = Vec::new();
    reader.by_ref().take(5).read_to_end(&mut first).ok()?;
    if first.len() < 5
        || !first.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b' ' || *byte == b'/')
    {
        return None;
    }
    let mut line = String::from_utf8(first).ok()?;
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request { method, path, headers, body: String::new() };
    if let Some(length) = request.header("content-length").and_then(|text| text.parse().ok()) {
        reader.take(length).read_to_string(&mut request.body).ok()?;
    }
    Some(request)
}

fn write_reply(stream: &mut TcpStream, request: &Request, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let body = &reply.body[..reply.cut_after.unwrap_or(reply.body.len()).min(reply.body.len())];
    if let Some(silence) = reply.silence {
        let (first, second) = body.split_at(body.len() / 2);
        stream.write_all(first)?;
        stream.flush()?;
        std::thread::park_timeout(silence);
        return stream.write_all(second);
    }
    stream.write_all(body)
}

/// A TCP proxy that lets a number of bytes through from server to client, then cuts, a number of
/// times; after that it lets everything through.
pub(crate) struct CuttingProxy {
    address: SocketAddr,
    cuts: Arc<AtomicUsize>,
}

impl CuttingProxy {
    pub(crate) fn start(upstream: &str, bytes: usize, cuts: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let left = Arc::new(AtomicUsize::new(cuts));
        let upstream = upstream.to_owned();
        std::thread::spawn({
            let left = Arc::clone(&left);
            move || {
                for client in listener.incoming() {
                    let client = client.unwrap();
                    let Ok(server) = TcpStream::connect(&upstream) else { return };
                    let (back, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                    std::thread::spawn(move || copy(client, to));
                    let left = Arc::clone(&left);
                    std::thread::spawn(move || cutting_copy(server, back, bytes, &left));
                }
            }
        });
        Self { address, cuts: left }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn cuts_left(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    drop(std::io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Write));
}

fn cutting_copy(mut from: TcpStream, mut to: TcpStream, limit: usize, left: &AtomicUsize) {
    let mut buffer = vec![0; 16 << 10];
    let mut sent = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        sent += count;
        let taken = |left: usize| left.checked_sub(1);
        if sent > limit && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, taken).is_ok() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}
