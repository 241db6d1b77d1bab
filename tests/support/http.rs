//! HTTP in two hundred lines: a client to fill registries with, and a server that can behave as badly as a test wants.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A port nobody listens on now, on any loopback address.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// The first of `count` consecutive ports nobody listens on. Never the same answer twice in a run.
pub fn free_ports(count: u16) -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    loop {
        let first = TcpListener::bind(("0.0.0.0", 0)).and_then(|l| l.local_addr()).unwrap().port();
        let Some(end) = first.checked_add(count) else { continue };
        let mut given = GIVEN.lock().unwrap();
        let free = (first..end)
            .all(|port| !given.contains(&port) && TcpListener::bind(("0.0.0.0", port)).is_ok() && udp_is_free(port));
        if free {
            given.extend(first..end);
            return first;
        }
    }
}

fn udp_is_free(port: u16) -> bool {
    std::net::UdpSocket::bind(("0.0.0.0", port)).is_ok()
}

/// What a server was asked, or is to be asked.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// An answer, with its faults.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Close the connection after so many bytes of the body, whatever Content-Length says.
    pub cut_after: Option<usize>,
    /// Send nothing for so long, after `cut_after` bytes (or before the head).
    pub stall: Option<Duration>,
    /// A Content-Length other than the true one.
    pub claims_length: Option<u64>,
    /// Bytes of zeros sent after the body without end.
    pub endless: bool,
}

impl Response {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            cut_after: None,
            stall: None,
            claims_length: None,
            endless: false,
        }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    #[must_use]
    pub fn stall(mut self, time: Duration) -> Self {
        self.stall = Some(time);
        self
    }

    #[must_use]
    pub fn claims_length(mut self, length: u64) -> Self {
        self.claims_length = Some(length);
        self
    }

    #[must_use]
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self
    }
}

/// A server on loopback that asks a function for every answer. Dropped, it ends.
#[derive(Debug)]
pub struct Server {
    port: u16,
    log: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::listening(answer, |_| true)
    }

    /// One on this port.
    pub fn start_at(port: u16, answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", port)).unwrap(), answer, |_| true)
    }

    /// One that reads the bodies of those requests only for which `listens`, of method and path, says so: the others get no
    /// answer, and their connections stay open.
    pub fn listening(
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
        listens: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", 0)).unwrap(), answer, listens)
    }

    fn on(
        listener: TcpListener,
        answer: impl Fn(&Request) -> Response + Send + Sync + 'static,
        listens: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) -> Self {
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (shared_log, shared_ended) = (Arc::clone(&log), Arc::clone(&ended));
        let (answer, listens) = (Arc::new(answer), Arc::new(listens));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared_ended.load(Ordering::Relaxed) {
                    break;
                }
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&shared_log));
                let listens = Arc::clone(&listens);
                std::thread::spawn(move || {
                    // A client that goes away is part of many tests.
                    let _ = serve(&stream, &*answer, &*listens, &log);
                });
            }
        });
        Self { port, log, ended }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the accept.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(
    stream: &TcpStream,
    answer: &(dyn Fn(&Request) -> Response + Send + Sync),
    listens: &(dyn Fn(&Request) -> bool + Send + Sync),
    log: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(mut request) = read_request(&mut reader)? {
        if !listens(&request) {
            log.lock().unwrap().push(request);
            std::thread::sleep(Duration::from_secs(300));
            return Ok(());
        }
        read_body(&mut reader, &mut request)?;
        let response = answer(&request);
        let head_only = request.method == "HEAD";
        log.lock().unwrap().push(request);
        if !write_response(stream, &response, head_only)? {
            return stream.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = read_headers(reader)?;
    Ok(Some(Request { method, target, headers, body: Vec::new() }))
}

fn read_body(reader: &mut impl BufRead, request: &mut Request) -> std::io::Result<()> {
    let length = request.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_end(&mut request.body)?;
    Ok(())
}

fn read_headers(reader: &mut impl BufRead) -> std::io::Result<BTreeMap<String, String>> {
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(headers) };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
}

/// Whether the connection may be used again.
fn write_response(mut stream: &TcpStream, response: &Response, head_only: bool) -> std::io::Result<bool> {
    if let (Some(time), None) = (response.stall, response.cut_after) {
        std::thread::sleep(time);
    }
    let length = response.claims_length.unwrap_or(response.body.len() as u64);
    let mut head = format!("HTTP/1.1 {} Test\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !response.endless {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if head_only {
        return Ok(true);
    }
    if let Some(cut) = response.cut_after {
        stream.write_all(&response.body[..cut.min(response.body.len())])?;
        stream.flush()?;
        std::thread::sleep(response.stall.unwrap_or_default());
        return Ok(false);
    }
    stream.write_all(&response.body)?;
    if response.endless {
        loop {
            stream.write_all(&[0; 65536])?;
        }
    }
    Ok(length == response.body.len() as u64)
}

/// One request to a server without TLS; status, headers and body of the answer.
pub fn request(
    host: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<(u16, BTreeMap<String, String>, Vec<u8>)> {
    let stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    (&stream).write_all(head.as_bytes())?;
    (&stream).write_all(body)?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let headers = read_headers(&mut reader)?;
    let mut body = Vec::new();
    if method != "HEAD" {
        reader.read_to_end(&mut body)?;
    }
    Ok((status, headers, body))
}
