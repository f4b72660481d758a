//! Situations that mirrored mail systems have been seen to fail in, each as a test with its number: two real nodes in one
//! process with a cable between them that is cut and mended. After each, both nodes hold the same, and every promise that
//! was made to a client on either node is kept ([`harness::promises`]).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod content;
mod harness;
mod mailboxes;
mod nodes;
mod roaming;
mod users;
