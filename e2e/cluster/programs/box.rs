//! The pod of the cluster's self-test, one static program:
//!
//!     box serve            HTTP on port 8080: answers every request with "POD NOTE"
//!     box write TEXT       puts TEXT into /data/note, durably
//!     box fetch HOST:PORT  asks another box and prints its answer (exit code 1 after two seconds without one)

use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

const NOTE: &str = "/data/note";
const PATIENCE: Duration = Duration::from_secs(2);
const REQUEST_MAX_BYTES: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve(),
        ["write", text] => write(text),
        ["fetch", address] => fetch(address),
        _ => Err("usage: box serve | write TEXT | fetch HOST:PORT".into()),
    }
}

fn serve() -> Result<(), Box<dyn Error>> {
    let pod = std::env::var("HOSTNAME")?;
    for connection in TcpListener::bind(("0.0.0.0", 8080))?.incoming() {
        if let Err(error) = connection.and_then(|mut connection| answer(&mut connection, &pod)) {
            eprintln!("failed to answer: {error}");
        }
    }
    Ok(())
}

fn answer(connection: &mut TcpStream, pod: &str) -> std::io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut part = [0; 512];
    while !request.ends_with(b"\r\n\r\n") && request.len() < REQUEST_MAX_BYTES {
        match connection.read(&mut part)? {
            0 => break,
            length => request.extend_from_slice(&part[..length]),
        }
    }
    let note = fs::read_to_string(NOTE).unwrap_or_default();
    write!(connection, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{pod} {note}\n")
}

fn write(text: &str) -> Result<(), Box<dyn Error>> {
    let mut file = File::create(NOTE)?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}

fn fetch(address: &str) -> Result<(), Box<dyn Error>> {
    let address = address.to_socket_addrs()?.next().ok_or("the name has no address")?;
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut response = String::new();
    connection.read_to_string(&mut response)?;
    let (_, body) = response.split_once("\r\n\r\n").ok_or("no HTTP response")?;
    print!("{body}");
    Ok(())
}
