//! Opening a log: finish what a crash interrupted, read the last segment, cut off what was torn.

use crate::disk::{Disk, LogFile};
use crate::error::io_error;
use crate::frame::SegmentHead;
use crate::{LogError, SegmentId, Tail, cut, scan};
use mailmirror_model::ids::Seq;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A log as it was found on disk.
pub(crate) struct Found {
    /// Length of each segment's file in bytes, by first entry.
    pub segments: BTreeMap<Seq, u64>,
    pub tail: Tail,
    pub active: Option<ActiveSegment>,
    /// Sealed segments without an index: what should be done about them in the background.
    pub without_index: Vec<Seq>,
    /// Preallocated files, with their lengths.
    pub reserves: Vec<(LogFile, u64)>,
    pub torn_bytes: u64,
    pub scanned_bytes: u64,
    pub cut_finished: bool,
}

/// The segment that is written to.
pub(crate) struct ActiveSegment {
    pub file: LogFile,
    pub head: SegmentHead,
    pub end: u64,
    pub size: u64,
    pub frames: Vec<u32>,
}

struct Listed {
    segments: BTreeMap<Seq, u64>,
    indexes: Vec<Seq>,
    reserves: Vec<PathBuf>,
    temporary: Vec<PathBuf>,
}

fn list(disk: &Disk) -> Result<Listed, LogError> {
    let directory = &disk.directory;
    let failed = || io_error("list", directory);
    let mut listed =
        Listed { segments: BTreeMap::new(), indexes: Vec::new(), reserves: Vec::new(), temporary: Vec::new() };
    for item in std::fs::read_dir(directory).map_err(failed())? {
        let item = item.map_err(failed())?;
        let path = item.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let number = (stem.len() == 16).then(|| u64::from_str_radix(stem, 16).ok()).flatten().map(Seq);
        match (path.extension().and_then(|extension| extension.to_str()), number) {
            (Some("log"), Some(first)) => {
                let bytes = item.metadata().map_err(failed())?.len();
                listed.segments.insert(first, bytes);
            }
            (Some("idx"), Some(first)) => listed.indexes.push(first),
            (Some("reserve"), _) => listed.reserves.push(path),
            (Some("tmp"), _) => listed.temporary.push(path),
            _ => {}
        }
    }
    Ok(listed)
}

/// Reads the state of the log from its directory. `reserve_bytes` is the size that a preallocated file must have to be
/// of use.
pub(crate) fn recover(disk: &Disk, reserve_bytes: u64) -> Result<Found, LogError> {
    let cut_finished = cut::finish(disk)?;
    let listed = list(disk)?;
    for path in &listed.temporary {
        disk.remove(path)?;
    }
    let reserves = adopt(disk, listed.reserves, reserve_bytes)?;
    Ok(Found { reserves, cut_finished, ..recover_segments(disk)? })
}

/// The part of [`recover`] that is about the segments alone.
pub(crate) fn recover_segments(disk: &Disk) -> Result<Found, LogError> {
    let listed = list(disk)?;
    let mut found = Found {
        segments: listed.segments,
        tail: Tail::EMPTY,
        active: None,
        without_index: Vec::new(),
        reserves: Vec::new(),
        torn_bytes: 0,
        scanned_bytes: 0,
        cut_finished: false,
    };
    let Some((&last, _)) = found.segments.last_key_value() else { return Ok(found) };
    read_last(disk, last, &mut found)?;
    found.without_index =
        found.segments.keys().copied().filter(|first| *first != last && !listed.indexes.contains(first)).collect();
    if listed.indexes.contains(&last) {
        disk.remove(&disk.index_path(last))?;
    }
    Ok(found)
}

fn read_last(disk: &Disk, last: Seq, found: &mut Found) -> Result<(), LogError> {
    let file = LogFile::open_to_write(&disk.segment_path(last))?;
    let head = scan::read_head(&file, SegmentId(last))?;
    // What only the page cache holds must not be taken for flushed: flush it, then read what the disk gives back.
    disk.sync_all(&file)?;
    file.drop_cached();
    let scanned = scan::scan_last(&file, &head)?;
    let mut size = file.length()?;
    if scanned.rest_bytes > 0 {
        tracing::info!(bytes = scanned.rest_bytes, after = %scanned.tail.position, "a torn write is cut off the log");
        size = cut::cut_file(disk, &file, scanned.end, size)?;
    }
    found.segments.insert(last, size);
    found.torn_bytes = scanned.rest_bytes;
    found.scanned_bytes = scanned.end;
    found.tail = scanned.tail;
    found.active = Some(ActiveSegment { file, head, end: scanned.end, size, frames: scanned.frames });
    Ok(())
}

fn adopt(disk: &Disk, paths: Vec<PathBuf>, reserve_bytes: u64) -> Result<Vec<(LogFile, u64)>, LogError> {
    let mut reserves = Vec::new();
    for path in paths {
        let file = LogFile::open_to_write(&path)?;
        let length = file.length()?;
        if length >= reserve_bytes {
            reserves.push((file, length));
        } else {
            disk.remove(&path)?;
        }
    }
    Ok(reserves)
}
