//! The network cable of the mirror link: everything goes through it, until it is cut.

use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards connections to one address. Dropped, it is cut for ever.
pub struct Cable {
    address: SocketAddr,
    whole: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.whole.send_replace(false);
        self.task.abort();
    }
}

impl Cable {
    /// Lays a cable to `target`.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn lay(port: u16, target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.context("failed to lay a cable")?;
        let address = listener.local_addr()?;
        let whole = Arc::new(watch::Sender::new(true));
        let for_task = whole.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let whole = for_task.subscribe();
                if *whole.borrow() {
                    tokio::spawn(carry(stream, target, whole));
                }
            }
        });
        Ok(Self { address, whole, task })
    }

    /// Where it begins.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing that is under way arrives, and no connection comes about.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Connections come about again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(stream: TcpStream, target: SocketAddr, mut whole: watch::Receiver<bool>) {
    let dialled = tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(target));
    let Ok(Ok(other)) = dialled.await else { return };
    if stream.set_nodelay(true).and_then(|()| other.set_nodelay(true)).is_err() {
        return;
    }
    let ((here_in, here_out), (there_in, there_out)) = (stream.into_split(), other.into_split());
    let watching = whole.clone();
    let both = async {
        tokio::select! {
            () = copy(here_in, there_out, watching.clone()) => {}
            () = copy(there_in, here_out, watching.clone()) => {}
        }
    };
    tokio::select! {
        // Either end of a copy ends both connections: no half of one is left.
        () = both => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, whole: watch::Receiver<bool>) {
    let mut room = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut room).await {
        if !*whole.borrow() || to.write_all(&room[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn what_goes_through_arrives_until_it_is_cut() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let [port] = crate::ports::free().unwrap();
        let cable = Cable::lay(port, server.local_addr().unwrap()).await.unwrap();
        let mut client = TcpStream::connect(cable.address()).await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        client.write_all(b"one").await.unwrap();
        let mut got = [0; 3];
        served.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"one");
        cable.cut();
        let ended = tokio::time::timeout(Duration::from_secs(5), served.read(&mut got)).await.unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)));
        cable.mend();
        let mut again = TcpStream::connect(cable.address()).await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        again.write_all(b"two").await.unwrap();
        served.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"two");
    }
}
