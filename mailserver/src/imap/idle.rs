//! IDLE (RFC 2177): the client is told at once what changes, on whichever node it was changed.

use mailmirror_imap_proto::parse::is_done;
use mailmirror_imap_proto::response::{Code, Status};
use mailmirror_model::outcome::Touched;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;

use super::answer::{Done, Stop};
use super::session::Session;
use super::sync::Told;
use super::wire::stopping;

/// What woke a session that idles.
enum Woken {
    Client,
    Changes { relevant: bool },
    Tick,
    TooLong,
}

impl Session {
    pub(super) async fn idle(&mut self) -> Result<Done, Stop> {
        // Listening begins before the look, so that nothing falls between.
        let mut touched = self.service().touched();
        let view = self.service().show().await?;
        self.wire.out.continuation("idling");
        self.follow(&view, &Told::default()).await?;
        self.tell_expunged().await?;
        let deadline = self.patience().until;
        let (account, mailbox) = (self.account()?.id, self.selected().ok().map(|selected| selected.id));
        let concerns = |one: &Touched| match one {
            Touched::Mailbox(touched) => Some(*touched) == mailbox,
            Touched::Account(touched) => *touched == account,
            Touched::Settings => false,
        };
        let mut tick_at = Instant::now() + self.port.config.keepalive_interval;
        loop {
            if let Some(line) = self.wire.take_line()? {
                return if is_done(&line) { Ok(Done::new("idled")) } else { Err(Stop::bad("expected DONE")) };
            }
            self.wire.flush().await?;
            let shutdown = self.wire.shutdown.clone();
            let woken = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(stopping()),
                read = self.wire.read_idle() => { read?; Woken::Client }
                changes = touched.recv() => match changes {
                    Ok(changes) => Woken::Changes { relevant: changes.iter().any(concerns) },
                    Err(RecvError::Lagged(_)) => Woken::Changes { relevant: true },
                    Err(RecvError::Closed) => return Err(stopping()),
                },
                () = tokio::time::sleep_until(deadline) => Woken::TooLong,
                () = tokio::time::sleep_until(tick_at) => Woken::Tick,
            };
            match woken {
                Woken::Client => {}
                Woken::TooLong => return Err(Stop::Bye(None, "no command for too long".to_owned())),
                Woken::Tick => {
                    tick_at = Instant::now() + self.port.config.keepalive_interval;
                    self.wire.out.untagged(Status::Ok, None, "still here");
                }
                Woken::Changes { mut relevant } => {
                    // Many changes at once make one look.
                    loop {
                        match touched.try_recv() {
                            Ok(more) => relevant |= more.iter().any(concerns),
                            Err(TryRecvError::Lagged(_)) => relevant = true,
                            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                        }
                    }
                    if relevant {
                        self.look_while_idle().await?;
                    }
                }
            }
        }
    }

    async fn look_while_idle(&mut self) -> Result<(), Stop> {
        let view = self.service().peek();
        let enabled = view.account(self.account()?.id).await?.is_some_and(|account| account.enabled);
        if !enabled {
            return Err(Stop::Bye(Some(Code::ContactAdmin), "the account was closed".to_owned()));
        }
        self.follow(&view, &Told::default()).await?;
        self.tell_expunged().await?;
        Ok(())
    }
}
