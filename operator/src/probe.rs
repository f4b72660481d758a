//! Asks an HTTP address whether it is well: what a test pod does in an image that has no other client.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The longest first line of an answer that is read.
const STATUS_LINE_MAX_BYTES: u64 = 1024;

/// Why an address is not well.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It is no `http://HOST:PORT/PATH`.
    #[error("failed to understand {0:?}: give http://HOST:PORT/PATH")]
    Address(String),
    /// Nobody answers.
    #[error("failed to ask {address}: {source}")]
    Connection {
        /// Host and port.
        address: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The answer is not a success.
    #[error("failed: {url} answers {answer:?}")]
    Answer {
        /// What was asked.
        url: String,
        /// Its first line.
        answer: String,
    },
}

/// Sends `GET` to `http://HOST:PORT/PATH` and returns the first line of the answer, if its status is 2xx.
///
/// # Errors
/// When the address is malformed, does not answer within `timeout` (for each step), or answers something else.
pub fn probe(url: &str, timeout: Duration) -> Result<String, ProbeError> {
    let malformed = || ProbeError::Address(url.to_owned());
    let (address, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).ok_or_else(malformed)?;
    if address.is_empty() || path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(malformed());
    }
    let answer = first_line(address, path, timeout)
        .map_err(|source| ProbeError::Connection { address: address.to_owned(), source })?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if answer.starts_with("HTTP/1.") && status.len() == 3 && status.starts_with('2') {
        Ok(answer)
    } else {
        Err(ProbeError::Answer { url: url.to_owned(), answer })
    }
}

fn first_line(address: &str, path: &str, timeout: Duration) -> std::io::Result<String> {
    let target = address.to_socket_addrs()?.next().ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&target, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut limited = stream.take(STATUS_LINE_MAX_BYTES);
    let mut byte = [0];
    while limited.read(&mut byte)? == 1 && byte[0] != b'\n' {
        answer.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::net::TcpListener;

    const TIMEOUT: Duration = Duration::from_secs(5);

    /// The address of a server that gives one answer, and what it was asked.
    fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        (address, asked)
    }

    #[test]
    fn a_success_is_one_and_the_request_is_http() {
        let (address, asked) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(probe(&format!("http://{address}/readyz"), TIMEOUT).unwrap(), "HTTP/1.1 200 OK");
        let request = asked.join().unwrap();
        assert!(request.starts_with(&format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\n")), "{request}");
    }

    #[test]
    fn other_answers_are_errors() {
        for answer in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 2\r\n\r\n", "220 mx ESMTP\r\n", "", "\n"] {
            let (address, asked) = server(answer);
            let error = probe(&format!("http://{address}/readyz"), TIMEOUT).unwrap_err();
            assert!(matches!(error, ProbeError::Answer { .. }), "{answer:?}: {error}");
            asked.join().unwrap();
        }
    }

    #[test]
    fn nobody_there_is_an_error_with_the_address() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = probe(&format!("http://{free}/readyz"), TIMEOUT).unwrap_err();
        assert!(matches!(&error, ProbeError::Connection { address, .. } if *address == free.to_string()), "{error}");
    }

    #[test]
    fn odd_addresses_are_refused() {
        for url in ["127.0.0.1:80/", "https://a:1/", "http://a:1", "http:///x", "http://a:1/x y", "http://a:1/x\r\ny"] {
            assert!(matches!(probe(url, TIMEOUT), Err(ProbeError::Address(_))), "{url}");
        }
    }
}
