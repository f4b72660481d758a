//! The operator of Mailmirror: it observes a pair, decides, acts, and reports.

pub mod act;
pub mod api;
pub mod authority;
pub mod decide;
pub mod election;
pub mod observe;
pub mod pair;
pub mod plugin;
pub mod rbac;
pub mod reason;
pub mod reconcile;
pub mod resources;
pub mod run;
pub mod status;
pub mod telemetry;
