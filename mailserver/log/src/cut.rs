//! Cutting the log: decided by one small file, so that after a crash it is done as a whole or not at all.

use crate::disk::{Disk, LogFile, temporary_name};
use crate::error::io_error;
use crate::frame::SegmentHead;
use crate::{LogError, SegmentId};
use bytes::Bytes;
use mailmirror_model::entry::Entry;
use mailmirror_model::ids::{ChainHash, Seq};
use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

const MAGIC_CUT: [u8; 8] = *b"MMCUT\0\0\n";
const MAGIC_BEGIN: [u8; 8] = *b"MMBEGIN\n";

/// A change of the log's files that was decided.
///
/// ```text
/// cut:   magic 8 | first entry of the segment u64 | end u64 | crc32c of these u32
/// begin: magic 8 | first entry of the segment u64 | head of the segment 128 | crc32c of these u32
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Segments after this one go, and it ends at byte `end`.
    Cut { segment: Seq, end: u64 },
    /// All segments go, and an empty one with this head comes.
    Begin(SegmentHead),
}

impl Decision {
    fn write(&self) -> Vec<u8> {
        let mut bytes;
        match self {
            Self::Cut { segment, end } => {
                bytes = MAGIC_CUT.to_vec();
                bytes.extend_from_slice(&segment.0.to_le_bytes());
                bytes.extend_from_slice(&end.to_le_bytes());
            }
            Self::Begin(head) => {
                bytes = MAGIC_BEGIN.to_vec();
                bytes.extend_from_slice(&head.first().0.to_le_bytes());
                bytes.extend_from_slice(&head.write());
            }
        }
        let sum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (covered, sum) = bytes.split_last_chunk::<4>()?;
        if *sum != crc32c::crc32c(covered).to_le_bytes() {
            return None;
        }
        let (magic, rest) = covered.split_first_chunk::<8>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let segment = Seq(u64::from_le_bytes(*first));
        match *magic {
            MAGIC_CUT => Some(Self::Cut { segment, end: u64::from_le_bytes(rest.try_into().ok()?) }),
            MAGIC_BEGIN => SegmentHead::read(rest, segment).ok().map(Self::Begin),
            _ => None,
        }
    }
}

fn decision_path(disk: &Disk) -> PathBuf {
    disk.directory.join("decision")
}

/// Writes the decision down: from now on the change is made, at the next opening if not now.
pub(crate) fn decide(disk: &Disk, decision: &Decision) -> Result<(), LogError> {
    disk.write_whole(&decision_path(disk), &decision.write())
}

/// Makes a change that was decided; whether there was one.
pub(crate) fn finish(disk: &Disk) -> Result<bool, LogError> {
    let path = decision_path(disk);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let Some(decision) = Decision::read(&bytes) else {
        return Err(io_error("read the decided change in", &path)(ErrorKind::InvalidData.into()));
    };
    match decision {
        Decision::Cut { segment, end } => {
            remove_segments(disk, |first| first > segment)?;
            disk.remove(&disk.index_path(segment))?;
            let file = LogFile::open_to_write(&disk.segment_path(segment))?;
            let size = file.length()?;
            cut_file(disk, &file, end.min(size), size)?;
            tracing::info!(segment = %SegmentId(segment), "the log was cut");
        }
        Decision::Begin(head) => {
            remove_segments(disk, |first| first != head.first())?;
            disk.remove(&disk.index_path(head.first()))?;
            disk.write_whole(&disk.segment_path(head.first()), &head.write())?;
            tracing::info!(first = %head.first(), "the log was given a new beginning");
        }
    }
    disk.sync_directory()?;
    disk.remove(&path)?;
    disk.sync_directory()?;
    Ok(true)
}

fn remove_segments(disk: &Disk, which: impl Fn(Seq) -> bool) -> Result<(), LogError> {
    for first in segments(disk)?.into_iter().filter(|first| which(*first)) {
        disk.remove(&disk.index_path(first))?;
        disk.remove(&disk.segment_path(first))?;
    }
    Ok(())
}

fn segments(disk: &Disk) -> Result<Vec<Seq>, LogError> {
    let mut firsts = Vec::new();
    for item in std::fs::read_dir(&disk.directory).map_err(io_error("list", &disk.directory))? {
        let path = item.map_err(io_error("list", &disk.directory))?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "log")
            && let Ok(first) = u64::from_str_radix(stem, 16)
        {
            firsts.push(Seq(first));
        }
    }
    Ok(firsts)
}

/// Removes everything from byte `end` on for good, and takes the space again, up to `size`; returns what it got.
pub(crate) fn cut_file(disk: &Disk, file: &LogFile, end: u64, size: u64) -> Result<u64, LogError> {
    disk.set_length(file, end)?;
    if let Err(error) = disk.reserve(file, size) {
        tracing::warn!(%error, "the space after a cut was lost");
    }
    disk.sync_all(file)?;
    file.length()
}

/// Writes the entries that a cut will remove to `keep_as`, durably. `next` gives them in order.
///
/// A file that is there already may hold the first of these entries (an attempt before a crash) or all of them.
pub(crate) fn keep(
    disk: &Disk,
    keep_as: &Path,
    mut next: impl FnMut() -> Result<Vec<Entry<Bytes>>, LogError>,
) -> Result<(), LogError> {
    let mut earlier = if std::fs::exists(keep_as).map_err(io_error("look at", keep_as))? {
        Some(crate::read_entries_file(keep_as)?)
    } else {
        None
    };
    let temporary = temporary_name(keep_as);
    let file = disk.create(&temporary)?;
    let mut at = 0;
    loop {
        let entries = next()?;
        if entries.is_empty() {
            break;
        }
        if let Some(reader) = &mut earlier {
            for entry in &entries {
                match reader.next().transpose()? {
                    Some(kept) if kept.hash() == entry.hash() => {}
                    Some(_) => return Err(LogError::BranchExists { path: keep_as.to_owned() }),
                    None => break,
                }
            }
        }
        let pieces: Vec<IoSlice<'_>> = entries.iter().map(|entry| IoSlice::new(entry.bytes())).collect();
        disk.write(&file, at, &pieces)?;
        at += entries.iter().map(|entry| entry.bytes().len() as u64).sum::<u64>();
    }
    if earlier.is_some_and(|mut reader| reader.next().is_some()) {
        return Err(LogError::BranchExists { path: keep_as.to_owned() });
    }
    disk.sync_all(&file)?;
    disk.rename(&temporary, keep_as)?;
    disk.sync_directory_of(parent(keep_as))
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Entries of a file that [`crate::Log::truncate_after`] wrote.
#[derive(Debug)]
pub struct EntriesFile {
    path: PathBuf,
    file: LogFile,
    at: u64,
    end: u64,
    before: Option<ChainHash>,
}

/// Opens a file of entries, one after the other, without anything between them.
///
/// # Errors
/// [`LogError::Io`] when it cannot be opened; reading gives [`LogError::BranchDamaged`] once, and then nothing more.
pub fn read_entries_file(path: &Path) -> Result<EntriesFile, LogError> {
    let file = std::fs::File::open(path).map_err(io_error("open", path))?;
    let file = LogFile { file, path: path.to_owned() };
    let end = file.length()?;
    Ok(EntriesFile { path: path.to_owned(), file, at: 0, end, before: None })
}

impl EntriesFile {
    fn read_next(&mut self) -> Result<Entry<Bytes>, LogError> {
        use mailmirror_model::entry::{HEADER_BYTES, length};
        use std::os::unix::fs::FileExt;
        let damaged =
            |what: String, path: &Path, at| LogError::BranchDamaged { path: path.to_owned(), offset_bytes: at, what };
        let left = self.end - self.at;
        let mut bytes = vec![0; HEADER_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX))];
        self.file.file.read_exact_at(&mut bytes, self.at).map_err(io_error("read", &self.path))?;
        let whole = length(&bytes).map_err(|error| damaged(error.to_string(), &self.path, self.at))?;
        if whole as u64 > left {
            return Err(damaged("the file ends in an entry".to_owned(), &self.path, self.at));
        }
        bytes.resize(whole, 0);
        self.file.file.read_exact_at(&mut bytes, self.at).map_err(io_error("read", &self.path))?;
        let entry = Entry::read(Bytes::from(bytes)).map_err(|error| damaged(error.to_string(), &self.path, self.at))?;
        if self.before.is_some_and(|before| before != entry.header().previous) {
            return Err(damaged("the chain of hashes breaks".to_owned(), &self.path, self.at));
        }
        self.at += whole as u64;
        self.before = Some(entry.hash());
        Ok(entry)
    }
}

impl Iterator for EntriesFile {
    type Item = Result<Entry<Bytes>, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let read = self.read_next();
        if read.is_err() {
            self.at = self.end;
        }
        Some(read)
    }
}
