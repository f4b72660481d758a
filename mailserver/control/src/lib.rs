//! What the authority and the nodes say to each other: the record, the status of a node, and the admin API's client.
//!
//! The operator is one authority, `tellmail` in a person's hands is another, tests are a third. [`record`] holds the
//! rules that all of them follow; it is pure. [`status`] and [`tell`] are the words of the API, [`auth`] is how both
//! ends prove that they know the secret, [`client`] speaks to a node.

pub mod auth;
pub mod client;
pub mod record;
pub mod status;
pub mod tell;
pub mod tls;
