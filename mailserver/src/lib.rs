//! The mail server: what clients and administrators speak with, above the mirroring engine.

pub mod accounts;
pub mod service;
pub mod settings;
