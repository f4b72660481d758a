//! Events: what the operator did, for people. A lost one harms nobody.

use super::bounded;
use crate::decide::Event;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event as Publication, EventType, Recorder, Reporter};

/// Where an event belongs.
pub type Reference = ObjectReference;

/// The writer of events.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// With this instance of the operator as reporter.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: "mailmirror-operator".to_owned(), instance: Some(instance.to_owned()) };
        Self(Recorder::new(client, reporter))
    }

    /// Publishes; failing is only logged.
    pub async fn publish(&self, about: &Reference, event: &Event) {
        let note: String = event.note.chars().take(1000).collect();
        let publication = Publication {
            type_: if event.warning { EventType::Warning } else { EventType::Normal },
            reason: event.reason.to_string(),
            // The recorder joins what has the same action: the note must not be lost when it differs.
            action: format!("{}{:08x}", event.reason, fold(&note)),
            note: Some(note),
            secondary: None,
        };
        if let Err(error) = bounded("publish an event", self.0.publish(&publication, about)).await {
            tracing::warn!(%error, reason = %event.reason, "an event is lost");
        }
    }
}

fn fold(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
