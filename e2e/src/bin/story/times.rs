//! What each step took, and whether that is too long.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Prints and keeps the times of steps.
pub struct Times {
    file: Option<File>,
    asserting: bool,
    begun: Instant,
}

impl Times {
    /// With a file: a JSON object a line is written there too.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(path: Option<&Path>, asserting: bool) -> Result<Self> {
        let file = path.map(|path| {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            File::create(path)
        });
        let file = file.transpose().context("failed to make the file of times")?;
        Ok(Self { file, asserting, begun: Instant::now() })
    }

    /// A step is done: `most` is generous, what it took is printed.
    ///
    /// # Errors
    /// When it took longer than `most` and times are asserted.
    pub fn done(&mut self, step: &str, took: Duration, most: Duration) -> Result<()> {
        let seconds = took.as_secs_f64();
        println!("story: {seconds:7.2} s  {step}");
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", json!({ "step": step, "seconds": seconds, "most": most.as_secs_f64() }))?;
        }
        ensure!(!self.asserting || took <= most, "{step} took {seconds:.2} s, more than {most:?}");
        Ok(())
    }

    /// What all of it took.
    pub fn total(&self) -> Duration {
        self.begun.elapsed()
    }
}

/// Something to look at.
pub fn say(text: &str) {
    for line in text.lines() {
        println!("story:            {line}");
    }
}
