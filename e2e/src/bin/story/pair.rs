//! A `MailMirrorPair` as the story sees it: through its status, its Service and its pods.

use crate::kube::Kube;
use anyhow::{Context, Result, ensure};
use mailmirror_e2e::clients::Security;
use mailmirror_e2e::clients::imap::{Imap, View};
use mailmirror_e2e::clients::smtp::Smtp;
use mailmirror_e2e::mail;
use mailmirror_e2e::wait;
use serde_json::Value;
use std::time::Duration;

/// One try at a Service or a pod: whoever is dead does not answer.
const TRY: Duration = Duration::from_secs(4);
/// A change may be held while the roles change.
const PATIENCE: Duration = Duration::from_secs(15);
const SENDER: &str = "ann@sender.example";
/// Where a pod serves IMAP with TLS.
const IMAPS: u16 = 2993;

/// Its account.
pub const USER: (&str, &str) = ("user@office.example", "read-me-anywhere");

/// The pair.
pub struct Pair {
    /// Where it is.
    pub kube: Kube,
    /// Its name.
    pub name: String,
}

impl Pair {
    /// The object.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn object(&self) -> Result<Value> {
        self.kube.get(&["mmp", &self.name]).await
    }

    /// A text of its status.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn status(&self, field: &str) -> Result<String> {
        let object = self.object().await?;
        let found = object.pointer(&format!("/status/{field}")).and_then(Value::as_str);
        found.map(str::to_owned).with_context(|| format!("status.{field} is missing"))
    }

    /// The pods that are master and slave.
    ///
    /// # Errors
    /// When one is not there.
    pub async fn roles(&self) -> Result<(String, String)> {
        Ok((self.status("master").await?, self.status("slave").await?))
    }

    /// Waits until both nodes have everything.
    ///
    /// # Errors
    /// When they have not.
    pub async fn wait_mirrored(&self, limit: Duration) -> Result<()> {
        self.kube.wait_for(&format!("mmp/{}", self.name), "Mirrored", limit).await
    }

    /// Waits until a pod is master by the status.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn wait_master(&self, pod: &str, limit: Duration) -> Result<()> {
        wait::until("the new master", limit, || async {
            let master = self.status("master").await?;
            ensure!(master == pod, "the master is {master}");
            Ok(())
        })
        .await
    }

    /// Creates the account.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn add_user(&self) -> Result<()> {
        let pod = self.status("master").await?;
        let arguments = ["exec", "--stdin", &pod, "--container", "mailserver", "--", "tellmail", "add_user", USER.0];
        self.kube.kubectl_with(&arguments, Some(USER.1), TRY * 10).await.map(drop)
    }

    /// Connects to the Service and says goodbye.
    ///
    /// # Errors
    /// When it leads to nobody.
    pub async fn connect(&self) -> Result<()> {
        let door = self.kube.door(&format!("svc/{}", self.name), 25).await?;
        Smtp::connect(door.address, TRY).await?.quit().await
    }

    /// Delivers a message through the Service, once.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn deliver(&self, message: &[u8]) -> Result<()> {
        let door = self.kube.door(&format!("svc/{}", self.name), 25).await?;
        let mut smtp = Smtp::connect(door.address, TRY).await?;
        smtp.send(SENDER, USER.0, message).await.accepted()?;
        smtp.quit().await
    }

    /// What the Service shows.
    ///
    /// # Errors
    /// When it shows nothing.
    pub async fn view_of_service(&self) -> Result<View> {
        let door = self.kube.door(&format!("svc/{}", self.name), 993).await?;
        view(door.address, TRY).await
    }

    /// What a pod shows.
    ///
    /// # Errors
    /// When it shows nothing.
    pub async fn view_of_pod(&self, pod: &str) -> Result<View> {
        let door = self.kube.door(&format!("pod/{pod}"), IMAPS).await?;
        view(door.address, PATIENCE).await
    }

    /// What both pods show, which has to be the same.
    ///
    /// # Errors
    /// When it is not in time, with what differs.
    pub async fn equal_views(&self, limit: Duration) -> Result<View> {
        wait::until("two equal mailboxes", limit, || async {
            let (master, slave) = self.roles().await?;
            let (here, there) = tokio::try_join!(self.view_of_pod(&master), self.view_of_pod(&slave))?;
            match here.difference(&there) {
                None => Ok(here),
                Some(difference) => anyhow::bail!("{master} and {slave} differ: {difference}"),
            }
        })
        .await
    }
}

async fn view(address: std::net::SocketAddr, patience: Duration) -> Result<View> {
    let mut imap = Imap::login(address, Security::Tls, USER, patience).await?;
    let view = imap.view("INBOX").await?;
    imap.logout().await?;
    Ok(view)
}

/// The UID of the message with these bytes, without what its reception wrote in front.
///
/// # Errors
/// When it is not there.
pub fn uid_of(view: &View, sent: &[u8]) -> Result<u32> {
    let mut found = view.messages.iter().filter(|(_, shown)| mail::without_trace(&shown.body) == sent);
    let (uid, _) = found.next().context("the message is not there, or its bytes are others")?;
    Ok(*uid)
}
