//! The status page: what `tellmail status` says, for a browser.

use crate::tell::status_text;
use mailmirror_control::status::NodeStatus;

/// The page.
pub(super) fn render(status: &NodeStatus) -> String {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    let text = escape(&status_text(status, now));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"5\">\
         <title>Mailmirror node {node}</title>\
         <style>body{{font-family:system-ui,sans-serif;margin:2em}}pre{{font-size:110%}}</style></head>\
         <body><h1>Mailmirror node {node}</h1><pre>{text}</pre></body></html>\n",
        node = status.node
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
