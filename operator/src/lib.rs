//! The operator of Mailmirror: it observes a pair, decides, acts, and reports.

pub mod api;
pub mod rbac;
