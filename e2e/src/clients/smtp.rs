//! An SMTP client (RFC 5321) that knows what became of each message, or that nobody can know it.

use super::Security;
use super::stream::LineStream;
use anyhow::{Result, bail};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A reply: its code and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// The text behind them.
    pub lines: Vec<String>,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.join(" / "))
    }
}

/// What became of a message.
#[derive(Debug)]
pub enum Delivery {
    /// The server has it: `250` after the data.
    Accepted(Reply),
    /// The server said that it does not have it.
    Refused(Reply),
    /// The connection was lost before the data were sent: the server does not have it.
    NotSent(anyhow::Error),
    /// The connection was lost after the data were sent: nobody knows.
    Unknown(anyhow::Error),
}

impl Delivery {
    /// The reply of a server that has the message.
    ///
    /// # Errors
    /// Anything else.
    pub fn accepted(self) -> Result<Reply> {
        match self {
            Self::Accepted(reply) => Ok(reply),
            Self::Refused(reply) => bail!("the message was refused: {reply}"),
            Self::NotSent(error) => Err(error.context("the message was not sent")),
            Self::Unknown(error) => Err(error.context("it is unknown whether the message was accepted")),
        }
    }
}

/// A session.
pub struct Smtp {
    stream: LineStream,
    /// What EHLO told, upper case.
    pub extensions: Vec<String>,
}

impl Smtp {
    /// Connects and greets.
    ///
    /// # Errors
    /// When there is no session.
    pub async fn connect(address: SocketAddr, patience: Duration) -> Result<Self> {
        let stream = LineStream::connect(address, Security::Plain, patience).await?;
        let mut smtp = Self { stream, extensions: Vec::new() };
        smtp.expect(220).await?;
        let told = smtp.command("EHLO client.sender.example", 250).await?;
        smtp.extensions = told.lines.iter().skip(1).map(|line| line.to_uppercase()).collect();
        Ok(smtp)
    }

    /// Sends one message to one recipient, in two round trips where the server knows PIPELINING (RFC 2920).
    pub async fn send(&mut self, from: &str, to: &str, message: &[u8]) -> Delivery {
        match self.prepare(from, to).await {
            Ok(None) => {}
            Ok(Some(refused)) => return Delivery::Refused(refused),
            Err(error) => return Delivery::NotSent(error),
        }
        if let Err(error) = self.stream.write(&stuffed(message)).await {
            return Delivery::Unknown(error);
        }
        match self.reply().await {
            Ok(reply) if reply.code == 250 => Delivery::Accepted(reply),
            Ok(reply) => Delivery::Refused(reply),
            Err(error) => Delivery::Unknown(error),
        }
    }

    /// Ends the session.
    ///
    /// # Errors
    /// When the server does not say goodbye.
    pub async fn quit(mut self) -> Result<()> {
        self.command("QUIT", 221).await.map(drop)
    }

    /// Up to the `354` of DATA; `Some`: the reply that refused it.
    async fn prepare(&mut self, from: &str, to: &str) -> Result<Option<Reply>> {
        let lines = [format!("MAIL FROM:<{from}>\r\n"), format!("RCPT TO:<{to}>\r\n"), "DATA\r\n".to_owned()];
        let wanted = [250, 250, 354];
        if self.extensions.iter().any(|extension| extension == "PIPELINING") {
            self.stream.write(lines.concat().as_bytes()).await?;
            let mut refused = None;
            for code in wanted {
                let reply = self.reply().await?;
                if reply.code != code && refused.is_none() {
                    refused = Some(reply);
                } else if reply.code == 354 && refused.is_some() {
                    bail!("the server takes data after it refused the sender or the recipient");
                }
            }
            if refused.is_some() {
                self.command("RSET", 250).await?;
            }
            return Ok(refused);
        }
        for (line, code) in lines.iter().zip(wanted) {
            self.stream.write(line.as_bytes()).await?;
            let reply = self.reply().await?;
            if reply.code != code {
                self.command("RSET", 250).await?;
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    async fn command(&mut self, line: &str, code: u16) -> Result<Reply> {
        self.stream.write(format!("{line}\r\n").as_bytes()).await?;
        self.expect(code).await
    }

    async fn expect(&mut self, code: u16) -> Result<Reply> {
        let reply = self.reply().await?;
        if reply.code == code { Ok(reply) } else { bail!("expected {code}, the server said {reply}") }
    }

    async fn reply(&mut self) -> Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = String::from_utf8(self.stream.line().await?)?;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let (Some(code), rest) = (code, line.get(3..).unwrap_or_default()) else { bail!("no reply: {line:?}") };
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            match rest.as_bytes().first() {
                Some(b'-') => {}
                Some(b' ') | None => return Ok(Reply { code, lines }),
                Some(_) => bail!("no reply: {line:?}"),
            }
        }
    }
}

/// The message with a second dot before each line that begins with one, and the end of data.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + 64);
    let mut at_line_start = true;
    for byte in message {
        if at_line_start && *byte == b'.' {
            bytes.push(b'.');
        }
        bytes.push(*byte);
        at_line_start = *byte == b'\n';
    }
    if !at_line_start {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b".\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_at_the_start_of_lines_only() {
        assert_eq!(stuffed(b".a.\r\n..\r\n"), b"..a.\r\n...\r\n.\r\n");
        assert_eq!(stuffed(b"a"), b"a\r\n.\r\n");
    }
}
