//! The cable of the link: everything goes through it, until it is cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Cable {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.whole.send_replace(false);
        self.task.abort();
    }
}

impl Cable {
    /// A cable whose other end is plugged in later.
    pub async fn lay() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(address));
        let whole = watch::Sender::new(true);
        let (to, watched) = (target.clone(), whole.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (target, whole) = (*to.lock().unwrap(), watched.subscribe());
                if *whole.borrow() && target != address {
                    tokio::spawn(carry(stream, target, whole));
                }
            }
        });
        Self { address, target, whole, task }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn plug_into(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }

    /// From now on nothing that is under way arrives, and no connection comes about.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(stream: TcpStream, target: SocketAddr, mut whole: watch::Receiver<bool>) {
    let Ok(other) = TcpStream::connect(target).await else { return };
    stream.set_nodelay(true).unwrap();
    other.set_nodelay(true).unwrap();
    let ((here_in, here_out), (there_in, there_out)) = (stream.into_split(), other.into_split());
    tokio::select! {
        () = copy(here_in, there_out) => {}
        () = copy(there_in, here_out) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut room = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut room).await {
        if to.write_all(&room[..read]).await.is_err() {
            return;
        }
    }
}
