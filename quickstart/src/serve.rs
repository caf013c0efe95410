//! A small web server (HTTP/1.1, one request a connection): enough to see a pod and to probe it.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::{Outcome, print, system};

/// A client that says nothing for so long is let go.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest request line and headers.
const LONGEST: u64 = 16 << 10;

struct Site {
    dir: PathBuf,
    hostname: String,
    /// When `/healthz` begins to fail.
    unhealthy: Option<Instant>,
}

struct Answer {
    status: &'static str,
    kind: &'static str,
    body: Vec<u8>,
}

/// `serve [--port N] [--dir D]`, `unhealthy [--after S]`
pub(crate) fn serve(arguments: &Arguments, unhealthy: Option<Duration>) -> Outcome {
    let port = arguments.number("port", 8080u16)?;
    let dir = PathBuf::from(arguments.option("dir").unwrap_or("/srv"));
    let unhealthy = unhealthy.and_then(|after| Instant::now().checked_add(after));
    let site = Arc::new(Site { dir, hostname: system::hostname()?, unhealthy });
    // Both families by one socket; a pod without IPv6 has only the other.
    let listener =
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)));
    let listener = listener.map_err(|error| format!("port {port}: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("port {port}: {error}"))?;
    print(&format!("listening on port {}\n", address.port()))?;
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let site = Arc::clone(&site);
        // Without a thread to spare the client is served in turn.
        let work = move |stream| drop(talk(&site, stream));
        let second = stream.try_clone();
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        if thread
            .spawn({
                let work = work.clone();
                move || work(stream)
            })
            .is_err()
            && let Ok(stream) = second
        {
            work(stream);
        }
    }
    Err("the listener ended".into())
}

fn talk(site: &Site, stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new((&stream).take(LONGEST));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let mut words = request.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let answer = match method {
        "GET" | "HEAD" => site.answer(target.split(['?', '#']).next().unwrap_or_default()),
        _ => Answer::text("405 Method Not Allowed", "only GET and HEAD\n"),
    };
    // The log of a container is the place for it; one that cannot be written stops nobody.
    let _ = print(&format!("{method} {target} {}\n", answer.status));
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.kind,
        answer.body.len()
    );
    (&stream).write_all(head.as_bytes())?;
    if method != "HEAD" {
        (&stream).write_all(&answer.body)?;
    }
    Ok(())
}

impl Site {
    fn answer(&self, path: &str) -> Answer {
        match path {
            "/healthz" if self.unhealthy.is_some_and(|since| Instant::now() >= since) => {
                Answer::text("503 Service Unavailable", "unhealthy, as was asked for\n")
            }
            "/healthz" => Answer::text("200 OK", "ok\n"),
            "/hostname" => Answer::text("200 OK", &format!("{}\n", self.hostname)),
            _ => self.file(path),
        }
    }

    fn file(&self, path: &str) -> Answer {
        let inside = Path::new(path.trim_start_matches('/'));
        if inside.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Answer::text("400 Bad Request", "no such path\n");
        }
        let mut file = self.dir.join(inside);
        if file.is_dir() {
            file.push("index.html");
        }
        match fs::read(&file) {
            Ok(body) => Answer { status: "200 OK", kind: kind_of(&file), body },
            Err(_) if path == "/" => Answer::text("200 OK", &format!("Hello from {}\n", self.hostname)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Answer::text("403 Forbidden", "forbidden\n")
            }
            Err(_) => Answer::text("404 Not Found", "not found\n"),
        }
    }
}

impl Answer {
    fn text(status: &'static str, body: &str) -> Self {
        Answer { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }
}

fn kind_of(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css",
        Some("js") => "text/javascript",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
