//! The operator of Mailmirror: it observes a pair, decides, acts, and reports.

pub mod api;
pub mod pair;
pub mod rbac;
pub mod resources;
