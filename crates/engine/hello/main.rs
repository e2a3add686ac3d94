//! The program of the built-in image `hello`: says what just happened, or serves a page.
//!
//! It is compiled by the engine's `build.rs` and carried inside brig, so that a first container
//! runs without any network. It uses the standard library alone and nothing from its image.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const DEFAULT_PORT: u16 = 8080;
/// Requests longer than this are not read to their end.
const MAX_REQUEST: u64 = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [] => greet(),
        ["serve"] => serve(DEFAULT_PORT),
        ["serve", port] => match port.parse() {
            Ok(port) => serve(port),
            Err(_) => return usage(),
        },
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: hello [serve [PORT]]");
    ExitCode::from(2)
}

fn host_name() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = text.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}

fn process() -> String {
    match std::process::id() {
        1 => "process 1".to_owned(),
        id => format!("process {id}"),
    }
}

fn greet() -> io::Result<()> {
    let text = format!(
        "\nHello from brig!\n\n\
         You have just run a container. This is what happened:\n\
         \x20 1. The image \"hello\" was found inside brig itself: nothing was downloaded.\n\
         \x20 2. Its root file system was mounted, with a layer of its own to write to.\n\
         \x20 3. This program was started in it as {}, in namespaces that show it neither your\n\
         \x20    processes nor your files; the host is called {} here.\n\
         \x20 4. A small monitor beside it passed these lines on to you.\n\n\
         What to try next:\n\
         \x20 brig run -p 8080:8080 hello serve     a page on http://localhost:8080\n\
         \x20 brig run -it --rm debian bash         a shell in another system\n\
         \x20 brig ps -a                            your containers, this one among them\n\n",
        process(),
        host_name()
    );
    io::stdout().write_all(text.as_bytes())
}

/// Serves on IPv6 and IPv4, whichever of them there is.
fn serve(port: u16) -> io::Result<()> {
    let both = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    // Taken already when the first listener serves IPv4 as well.
    let old = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
    let (first, second) = match (both, old) {
        (Ok(both), old) => (both, old.ok()),
        (Err(_), Ok(old)) => (old, None),
        (Err(_), Err(error)) => return Err(error),
    };
    println!("hello: serving a page on port {port}");
    if let Some(second) = second {
        thread::spawn(move || accept(&second));
    }
    accept(&first);
    Ok(())
}

fn accept(listener: &TcpListener) {
    for stream in listener.incoming() {
        // A connection that fails is the visitor's loss only.
        if let Ok(stream) = stream {
            thread::spawn(move || answer(&stream));
        }
    }
}

fn answer(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.take(MAX_REQUEST));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/") => ("200 OK", page()),
        ("GET" | "HEAD", _) => {
            ("404 Not Found", "<p>Only <a href=\"/\">/</a> is here.</p>\n".to_owned())
        }
        _ => ("405 Method Not Allowed", String::new()),
    };
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if method != "HEAD" {
        text.push_str(&body);
    }
    let mut writer = stream;
    writer.write_all(text.as_bytes())?;
    println!("hello: {method} {path} from {}", stream.peer_addr()?.ip().to_canonical());
    Ok(())
}

fn page() -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Hello from brig</title>\n\
         <style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:36rem;margin:15vh auto;\
         padding:0 1rem;color:#1b2733;background:#f6f8fa}}h1{{font-size:2.2rem;margin:0}}\
         code{{background:#e3e9ef;padding:.1em .35em;border-radius:.3em}}\
         @media(prefers-color-scheme:dark){{body{{color:#dfe7ee;background:#141a20}}\
         code{{background:#26313b}}}}</style></head>\n\
         <body><h1>Hello from brig</h1>\n\
         <p>This page is served by {} of container <code>{}</code>. It has its own file system, \
         processes and network; brig leads your request to it.</p>\n\
         <p>See it with <code>brig ps</code>, its log with <code>brig logs</code>, and end it with \
         <code>brig stop</code>.</p></body></html>\n",
        process(),
        host_name()
    )
}
