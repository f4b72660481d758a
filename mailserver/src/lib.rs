//! The mail server: what clients and administrators speak with, above the mirroring engine.

pub mod accounts;
pub mod admin;
pub mod engine;
pub mod imap;
pub mod net;
pub mod pop3;
pub mod server;
pub mod service;
pub mod settings;
pub mod smtp;
pub mod tell;
