//! A disk that forgets: it follows every change that the log makes, and can say at any step what a power cut would
//! leave.
//!
//! What was flushed stays. Of the rest, each sector of each write is there or not, a length that was not flushed may be
//! the old one, and of the changes of names in a directory that was not flushed some are there: the first few, or any.

use crate::disk::{Hook, Step};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const SECTOR: usize = 512;

/// Random choices that can be repeated.
pub(crate) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.below(1);
        }
        dice
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).unwrap() % bound.max(1)
    }
}

enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
    Extend(usize),
}

#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

enum Naming {
    Put(PathBuf, usize),
    Move(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Naming {
    fn directory(&self) -> &Path {
        let (Self::Put(path, _) | Self::Move(path, _) | Self::Remove(path)) = self;
        path.parent().unwrap()
    }
}

type Names = BTreeMap<PathBuf, usize>;

#[derive(Default)]
struct Model {
    files: Vec<Content>,
    names: Names,
    durable_names: Names,
    pending_names: Vec<Naming>,
    steps: usize,
}

/// The files of a disk.
pub(crate) type Image = BTreeMap<PathBuf, Vec<u8>>;

/// What happens at a step: see [`Power::hook`].
pub(crate) type Watcher = Box<dyn Fn(usize, &Power) + Send + Sync>;

/// The disk. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Power(Arc<Mutex<Model>>);

impl Power {
    /// A disk on which these files are, durably.
    pub fn holding(image: &Image) -> Self {
        let mut model = Model::default();
        for (path, bytes) in image {
            model.names.insert(path.clone(), model.files.len());
            model.files.push(Content { durable: bytes.clone(), pending: Vec::new() });
        }
        model.durable_names = model.names.clone();
        Self(Arc::new(Mutex::new(model)))
    }

    /// Follows a log. `watcher` is called before each step, with its number.
    pub fn hook(&self, watcher: Watcher) -> Hook {
        let power = self.clone();
        Arc::new(move |step| {
            let number = {
                let mut model = power.0.lock().unwrap();
                model.steps += 1;
                model.steps
            };
            watcher(number, &power);
            power.0.lock().unwrap().follow(step);
            Ok(())
        })
    }

    /// How many changes there were.
    pub fn steps(&self) -> usize {
        self.0.lock().unwrap().steps
    }

    /// What the process saw: everything it wrote. This is what SIGKILL leaves.
    pub fn seen(&self) -> Image {
        let model = self.0.lock().unwrap();
        let content = |file: &usize| model.files[*file].after(|_| true);
        model.names.iter().map(|(path, file)| (path.clone(), content(file))).collect()
    }

    /// What a power cut could leave.
    pub fn after_cut(&self, dice: &mut Dice) -> Image {
        let model = self.0.lock().unwrap();
        let mut names = model.durable_names.clone();
        let kept = dice.below(model.pending_names.len() + 1);
        let in_order = dice.below(2) == 0;
        for (number, naming) in model.pending_names.iter().enumerate() {
            if if in_order { number < kept } else { dice.below(2) == 0 } {
                apply(&mut names, naming);
            }
        }
        // Mostly some of it, sometimes nothing or everything.
        let odds = dice.below(5);
        let mut image = Image::new();
        for (path, file) in names {
            let content = model.files[file].after(|_| dice.below(4) < odds);
            image.insert(path, content);
        }
        image
    }
}

fn apply(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Put(path, file) => {
            names.insert(path.clone(), *file);
        }
        Naming::Move(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Naming::Remove(path) => {
            names.remove(path);
        }
    }
}

impl Content {
    /// The content when those sectors and lengths are there that `there` says.
    fn after(&self, mut there: impl FnMut(usize) -> bool) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::Length(length) => {
                    if there(*length) {
                        bytes.resize(*length, 0);
                    }
                }
                Change::Extend(length) => {
                    if there(*length) && bytes.len() < *length {
                        bytes.resize(*length, 0);
                    }
                }
                Change::Write(at, written) => {
                    let mut from = *at;
                    while from < at + written.len() {
                        let to = ((from / SECTOR + 1) * SECTOR).min(at + written.len());
                        if there(from) {
                            bytes.resize(bytes.len().max(to), 0);
                            bytes[from..to].copy_from_slice(&written[from - at..to - at]);
                        }
                        from = to;
                    }
                }
            }
        }
        bytes
    }
}

impl Model {
    fn naming(&mut self, naming: Naming) {
        apply(&mut self.names, &naming);
        self.pending_names.push(naming);
    }

    fn follow(&mut self, step: &Step<'_>) {
        match step {
            Step::Create(path) => {
                self.files.push(Content::default());
                let file = self.files.len() - 1;
                self.naming(Naming::Put(path.to_path_buf(), file));
            }
            Step::Rename(from, to) => self.naming(Naming::Move(from.to_path_buf(), to.to_path_buf())),
            Step::Remove(path) => self.naming(Naming::Remove(path.to_path_buf())),
            Step::SyncDirectory(directory) => {
                let (durable, pending): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut self.pending_names).into_iter().partition(|one| one.directory() == *directory);
                for naming in &durable {
                    apply(&mut self.durable_names, naming);
                }
                self.pending_names = pending;
            }
            Step::Reserve(path, length) => self.change(path, Change::Extend(usize::try_from(*length).unwrap())),
            Step::SetLength(path, length) => self.change(path, Change::Length(usize::try_from(*length).unwrap())),
            Step::Write(path, at, pieces) => {
                let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
                self.change(path, Change::Write(usize::try_from(*at).unwrap(), bytes));
            }
            Step::Sync(path) => {
                let file = self.names[*path];
                let durable = self.files[file].after(|_| true);
                self.files[file] = Content { durable, pending: Vec::new() };
            }
        }
    }

    fn change(&mut self, path: &Path, change: Change) {
        let file = self.names[path];
        self.files[file].pending.push(change);
    }
}

/// Puts the files of an image below `to` that were below `from`.
pub(crate) fn put(image: &Image, from: &Path, to: &Path) {
    for (path, bytes) in image {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
}

/// The files in a directory. It may be that of an open log: an index may get its name meanwhile, and is then missed.
pub(crate) fn image_of(directory: &Path) -> Image {
    let paths = std::fs::read_dir(directory).unwrap().map(|item| item.unwrap().path());
    let mut image = Image::new();
    for path in paths.filter(|path| !path.is_dir()) {
        match std::fs::read(&path) {
            Ok(bytes) => {
                image.insert(path, bytes);
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
    }
    image
}
