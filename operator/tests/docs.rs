//! The generated pages are the committed ones.
#![allow(clippy::unwrap_used)]

use mailmirror_operator::reason::{self, Reason};
use std::collections::BTreeSet;

#[test]
fn the_committed_page_of_reasons_is_the_generated_one() {
    let committed = include_str!("../../docs/operator-reasons.md");
    assert!(reason::page() == committed, "docs/operator-reasons.md differs: run `make generate`");
}

/// A reason that no code gives would be a promise that nothing keeps.
#[test]
fn every_reason_is_given_somewhere() {
    let mut code = String::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                code.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let idle: BTreeSet<_> = Reason::ALL.iter().filter(|reason| !code.contains(&format!("Reason::{reason}"))).collect();
    assert!(idle.is_empty(), "never given: {idle:?}");
}
