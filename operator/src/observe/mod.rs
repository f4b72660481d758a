//! What is known of a pair: pods, volumes, and what the nodes say.

mod answers;
mod clock;
mod pods;
mod view;
mod world;

pub use answers::{Answers, PairKey, Place};
pub use clock::Clock;
pub use pods::{pod_view, role_label, volume_view};
pub use view::{Answer, Millis, NodeView, Observed, PodView, ToldMark, VolumeView};
pub use world::{Fingerprint, World, Writers, role_patch};
