//! What passes through the door, counted.

use super::error::{AuthError, ChangeError};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

type Labels = [(&'static str, &'static str); 1];

/// The counters of one door. A clone counts into the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    deliveries: Family<Labels, Counter>,
    delivery_duration: Histogram,
    logins: Family<Labels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            deliveries: Family::default(),
            // Half a millisecond to half a minute: `g_mirror_hold` lies within.
            delivery_duration: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            logins: Family::default(),
        }
    }
}

impl Metrics {
    /// Shows them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("deliveries", "Messages handed in, by what became of them", self.deliveries.clone());
        registry.register_with_unit(
            "delivery_duration",
            "From the end of a message to its commitment",
            Unit::Seconds,
            self.delivery_duration.clone(),
        );
        registry.register("logins", "Logins, by what became of them", self.logins.clone());
    }

    pub(super) fn delivered(&self, outcome: &Result<(), ChangeError>, took: Duration) {
        let outcome = match outcome {
            Ok(()) => "committed",
            Err(ChangeError::Unknown) => "unknown",
            Err(ChangeError::Unavailable { .. } | ChangeError::NoSpace) => "deferred",
            Err(ChangeError::Internal(_)) => "failed",
            Err(_) => "refused",
        };
        if outcome == "committed" {
            self.delivery_duration.observe(took.as_secs_f64());
        }
        self.deliveries.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(super) fn login<T>(&self, outcome: &Result<T, AuthError>) {
        let outcome = match outcome {
            Ok(_) => "accepted",
            Err(AuthError::Denied) => "denied",
            Err(AuthError::Busy | AuthError::Unavailable(_)) => "deferred",
        };
        self.logins.get_or_create(&[("outcome", outcome)]).inc();
    }
}
