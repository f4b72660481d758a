//! The door of SMTP to the mail service.

use std::net::IpAddr;

use mailmirror_model::ids::AccountId;
use mailmirror_model::outcome::Refusal;

use super::{
    AuthOutcome, Credentials, Delivery, DeliveryOutcome, ForwardPath, MailDoor, RecipientKey, RecipientOutcome,
    RecipientQuery,
};
use crate::service::{AuthError, ChangeError, RcptError, Service};

/// Takes mail into the mailboxes of a [`Service`].
#[derive(Clone)]
pub struct ServiceDoor {
    service: Service,
}

impl ServiceDoor {
    /// A door to this service.
    pub fn new(service: Service) -> Self {
        Self { service }
    }
}

impl MailDoor for ServiceDoor {
    async fn authenticate(&self, peer: IpAddr, credentials: Credentials) -> AuthOutcome {
        match self.service.authenticate(&credentials.user, credentials.password.reveal()).await {
            Ok(account) => AuthOutcome::Accepted { account: account.address },
            Err(AuthError::Denied) => {
                tracing::info!(%peer, user = %credentials.user, "login denied");
                AuthOutcome::Rejected
            }
            Err(error @ (AuthError::Busy | AuthError::Unavailable(_))) => {
                tracing::warn!(%peer, %error, "failed to check a login");
                AuthOutcome::Unavailable
            }
        }
    }

    async fn resolve_recipient(&self, query: RecipientQuery) -> RecipientOutcome {
        let address = match &query.recipient {
            ForwardPath::Postmaster => "postmaster".to_owned(),
            ForwardPath::Address(address) => address.to_string(),
        };
        match self.service.resolve_recipient(&address, query.declared_size.unwrap_or(0)).await {
            Ok(account) => RecipientOutcome::Accepted(RecipientKey(account.0)),
            Err(RcptError::NotLocal) => RecipientOutcome::RelayDenied,
            Err(RcptError::NoSuchUser) => RecipientOutcome::NoSuchUser,
            Err(RcptError::Disabled) => RecipientOutcome::Disabled,
            Err(RcptError::OverQuota) => RecipientOutcome::OverQuota,
            Err(RcptError::Unavailable(why)) => {
                tracing::info!(%why, "recipients cannot be checked");
                RecipientOutcome::Unavailable
            }
        }
    }

    /// All recipients are one change: it is committed for all of them or for none.
    async fn deliver(&self, delivery: Delivery) -> Vec<DeliveryOutcome> {
        let Delivery { id, envelope, received_at, message } = delivery;
        let accounts: Vec<AccountId> = envelope.recipients.iter().map(|recipient| AccountId(recipient.key.0)).collect();
        let received_at = i64::try_from(received_at.0).unwrap_or(i64::MAX);
        let outcome = match self.service.deliver(&accounts, message, received_at).await {
            Ok(()) => DeliveryOutcome::Committed { id },
            Err(error) => outcome_of(&id, &error),
        };
        vec![outcome; accounts.len()]
    }
}

fn outcome_of(id: &str, error: &ChangeError) -> DeliveryOutcome {
    match error {
        ChangeError::Unavailable { why } => {
            tracing::info!(%id, %why, "message refused for now");
            DeliveryOutcome::Unavailable
        }
        ChangeError::Unknown => {
            tracing::warn!(%id, "outcome of a delivery is unknown; the connection is closed without a reply");
            DeliveryOutcome::Unknown
        }
        ChangeError::NoSpace => DeliveryOutcome::DiskFull,
        ChangeError::OverQuota => DeliveryOutcome::OverQuota,
        ChangeError::TooLarge => DeliveryOutcome::TooLarge,
        ChangeError::Refused(Refusal::NoAccount) => DeliveryOutcome::NoSuchUser,
        ChangeError::BadName(_) | ChangeError::Limit(_) | ChangeError::Refused(_) | ChangeError::Internal(_) => {
            tracing::error!(%id, %error, "failed to deliver a message; its sender is asked to try again");
            DeliveryOutcome::Unavailable
        }
    }
}
