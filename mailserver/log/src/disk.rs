//! The only place that changes files. Every change passes [`Disk::step`], where tests stop the world or watch it.

use crate::LogError;
use crate::error::io_error;
use mailmirror_model::ids::Seq;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A change that is about to be made. Paths are full.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "only the hooks of tests look into it"))]
pub(crate) enum Step<'a> {
    Create(&'a Path),
    Reserve(&'a Path, u64),
    Write(&'a Path, u64, &'a [IoSlice<'a>]),
    Sync(&'a Path),
    SetLength(&'a Path, u64),
    Rename(&'a Path, &'a Path),
    Remove(&'a Path),
    SyncDirectory(&'a Path),
}

/// Sees every change before it is made, and may refuse it.
pub(crate) type Hook = Arc<dyn Fn(&Step<'_>) -> io::Result<()> + Send + Sync>;

/// At most this many pieces go to the kernel in one call (`IOV_MAX`).
const PIECES_MAX: usize = 1024;

/// The directory of the log.
#[derive(Clone)]
pub(crate) struct Disk {
    pub directory: PathBuf,
    hook: Option<Hook>,
}

/// An open file that knows its name.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub file: File,
    pub path: PathBuf,
}

impl Disk {
    pub fn new(directory: &Path, hook: Option<Hook>) -> Self {
        Self { directory: directory.to_owned(), hook }
    }

    /// The file of a segment.
    pub fn segment_path(&self, first: Seq) -> PathBuf {
        self.directory.join(format!("{:016x}.log", first.0))
    }

    /// The file that says where in a sealed segment each entry is.
    pub fn index_path(&self, first: Seq) -> PathBuf {
        self.directory.join(format!("{:016x}.idx", first.0))
    }

    fn step(&self, step: &Step<'_>) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(step))
    }

    pub fn create(&self, path: &Path) -> Result<LogFile, LogError> {
        let create = || {
            self.step(&Step::Create(path))?;
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
        };
        Ok(LogFile { file: create().map_err(io_error("create", path))?, path: path.to_owned() })
    }

    /// Takes space for the whole file, up to `length` bytes, which read as zeros where nothing was written.
    pub fn reserve(&self, file: &LogFile, length: u64) -> Result<(), LogError> {
        let reserve = || {
            self.step(&Step::Reserve(&file.path, length))?;
            match rustix::fs::fallocate(&file.file, rustix::fs::FallocateFlags::empty(), 0, length) {
                Ok(()) => Ok(()),
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_zeros(&file.file, length),
                Err(error) => Err(error.into()),
            }
        };
        reserve().map_err(io_error("reserve space in", &file.path))
    }

    /// Writes the pieces one after the other, from byte `at` on.
    pub fn write(&self, file: &LogFile, at: u64, pieces: &[IoSlice<'_>]) -> Result<(), LogError> {
        let write = || {
            self.step(&Step::Write(&file.path, at, pieces))?;
            let mut at = at;
            for group in pieces.chunks(PIECES_MAX) {
                at += write_group(&file.file, at, group)?;
            }
            Ok(())
        };
        write().map_err(io_error("write", &file.path))
    }

    /// Puts what was written on stable storage.
    pub fn sync(&self, file: &LogFile) -> Result<(), LogError> {
        let sync = || {
            self.step(&Step::Sync(&file.path))?;
            file.file.sync_data()
        };
        sync().map_err(io_error("flush", &file.path))
    }

    /// As [`Disk::sync`], with the length and everything else about the file.
    pub fn sync_all(&self, file: &LogFile) -> Result<(), LogError> {
        let sync = || {
            self.step(&Step::Sync(&file.path))?;
            file.file.sync_all()
        };
        sync().map_err(io_error("flush", &file.path))
    }

    pub fn set_length(&self, file: &LogFile, length: u64) -> Result<(), LogError> {
        let set_length = || {
            self.step(&Step::SetLength(&file.path, length))?;
            file.file.set_len(length)
        };
        set_length().map_err(io_error("cut", &file.path))
    }

    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), LogError> {
        let rename = || {
            self.step(&Step::Rename(from, to))?;
            std::fs::rename(from, to)
        };
        rename().map_err(io_error("rename", from))
    }

    /// Removes a file; that it is not there is no error.
    pub fn remove(&self, path: &Path) -> Result<(), LogError> {
        let remove = || {
            self.step(&Step::Remove(path))?;
            match std::fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        };
        remove().map_err(io_error("remove", path))
    }

    /// Makes names created, changed and removed in the log's directory durable.
    pub fn sync_directory(&self) -> Result<(), LogError> {
        self.sync_directory_of(&self.directory)
    }

    pub fn sync_directory_of(&self, directory: &Path) -> Result<(), LogError> {
        let sync = || {
            self.step(&Step::SyncDirectory(directory))?;
            File::open(directory)?.sync_all()
        };
        sync().map_err(io_error("flush the directory", directory))
    }

    /// Writes a small file so that after a crash it is there as a whole or not at all.
    pub fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let temporary = temporary_name(path);
        let file = self.create(&temporary)?;
        self.write(&file, 0, &[IoSlice::new(bytes)])?;
        self.sync(&file)?;
        self.rename(&temporary, path)?;
        self.sync_directory_of(path.parent().unwrap_or(&self.directory))
    }
}

/// The name under which a file is written before it gets its own.
pub(crate) fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

impl LogFile {
    pub fn open_to_write(path: &Path) -> Result<Self, LogError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(io_error("open", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    pub fn length(&self) -> Result<u64, LogError> {
        Ok(self.file.metadata().map_err(io_error("look at", &self.path))?.len())
    }

    /// Forgets what the kernel remembers of the file, so that what is read next comes from the device: after a failed
    /// flush memory and disk may differ. Call it only when everything is flushed.
    pub fn drop_cached(&self) {
        let advised = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
        if let Err(error) = advised {
            tracing::debug!(path = %self.path.display(), %error, "the file system keeps its cache");
        }
    }
}

fn write_group(file: &File, mut at: u64, group: &[IoSlice<'_>]) -> io::Result<u64> {
    let total: usize = group.iter().map(|piece| piece.len()).sum();
    let mut written = match rustix::io::pwritev(file, group, at) {
        Ok(count) => count,
        Err(rustix::io::Errno::INTR) => 0,
        Err(error) => return Err(error.into()),
    };
    at += written as u64;
    if written < total {
        // A short write is rare; what is left goes out piece by piece.
        for piece in group {
            let skip = written.min(piece.len());
            written -= skip;
            file.write_all_at(&piece[skip..], at)?;
            at += (piece.len() - skip) as u64;
        }
    }
    Ok(total as u64)
}

fn write_zeros(file: &File, length: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = file.metadata()?.len();
    while at < length {
        let count = usize::try_from(length - at).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all_at(&zeros[..count], at)?;
        at += count as u64;
    }
    // There may be no space for what is only in memory.
    file.sync_all()
}
