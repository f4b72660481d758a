//! Everything of IMAP that is pure: bytes in, values out, and back. No I/O, no clock, no runtime.
//!
//! ```text
//! bytes ─▶ framing ─▶ parse ─▶ Command      (what the client asks)
//!                              │
//! bytes ◀─ response ◀──────────┘            (what the server answers)
//!            ▲
//!   message (ENVELOPE, BODYSTRUCTURE, sections) and search work on raw RFC 5322 bytes
//! ```
//!
//! * [`framing`] cuts the stream into commands, with literals, under limits.
//! * [`parse`] turns a command into a [`command::Command`], or into a
//!   [`parse::ParseError`] that knows how to answer the client.
//! * [`response`] writes what a server sends.
//! * [`message`] reads messages the way IMAP shows them, byte for byte.
//! * [`listing`] finds what LIST and LSUB shall tell.
//! * [`search`] evaluates a search program.
//! * [`types`] holds the small values that the others share.
//!
//! ```
//! use mailmirror_imap_proto::command::Command;
//! use mailmirror_imap_proto::framing::{FrameEvent, FrameLimits, Framer};
//! use mailmirror_imap_proto::parse::parse;
//! use mailmirror_imap_proto::response::{ResponseBuffer, Status};
//!
//! let mut framer = Framer::new(FrameLimits::UNAUTHENTICATED);
//! let mut out = ResponseBuffer::new();
//! framer.feed(b"a1 NOOP\r\na2 FROB\r\na3 LOGIN {99999}\r\n");
//! loop {
//!     match framer.next_event()? {
//!         FrameEvent::NeedMore => break, // read from the socket into `framer.buffer_mut()`
//!         FrameEvent::Continue => out.continuation("go on"),
//!         FrameEvent::Refused { tag, limit_bytes, .. } => out.refused(tag.as_ref(), limit_bytes),
//!         FrameEvent::Command(frame) => match parse(&frame) {
//!             Ok(request) if request.command == Command::Noop => {
//!                 out.tagged(&request.tag, Status::Ok, None, "nothing done");
//!             }
//!             Ok(_) => {}
//!             Err(error) => out.parse_error(&error),
//!         },
//!     }
//! }
//! assert_eq!(
//!     out.take(),
//!     "a1 OK nothing done\r\n\
//!      a2 BAD unknown command FROB\r\n\
//!      a3 NO [TOOBIG] literal is larger than the 4096 bytes allowed\r\n"
//! );
//! # Ok::<(), mailmirror_imap_proto::framing::FrameError>(())
//! ```
//!
//! Covered: RFC 3501 (`IMAP4rev1`), and of the extensions: RFC 2177 IDLE, 2342 NAMESPACE, 2971 ID,
//! 3691 UNSELECT, 4315 UIDPLUS, 4466/4731 ESEARCH, 4959 SASL-IR, 5161 ENABLE, 5258 LIST-EXTENDED,
//! 5530 response codes, 5819 LIST-STATUS, 6154 SPECIAL-USE, 6851 MOVE, 7162 CONDSTORE and QRESYNC,
//! 7888 LITERAL+, 8438 STATUS=SIZE. Saved results (`$`, RFC 5182) are not offered and are refused.

pub mod command;
pub mod framing;
pub mod listing;
pub mod message;
pub mod parse;
pub mod response;
pub mod search;
pub mod types;
