//! What the administrator, the operator and the monitoring speak with: the admin API behind TLS and a proof of the
//! secret, and health, metrics and a status page in plain HTTP.

mod api;
mod control;
mod health;
mod http;
mod metrics;
mod page;

pub use api::{AdminApi, serve_admin};
pub use control::{Compared, Control};
pub use health::{Health, serve_health};
pub use metrics::{Connections, Exporter};
