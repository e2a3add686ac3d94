//! Writing a log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::index::{self, BLOCK, Block, Index, IndexWriter};
use super::{Compression, LogOptions, Stream, chain, encode, files, timestamp};
use crate::Error;

/// The longest entry, in bytes of output: a longer line is logged in parts, as Docker does.
const LONGEST: usize = 16 << 10;

/// Encoded bytes after which a batch is written before it is complete.
const BATCH: usize = 256 << 10;

/// Writes one container's log.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    options: LogOptions,
    file: File,
    size: u64,
    generation: u64,
    index: IndexWriter,
    block: Block,
    block_start: u64,
    lines: [Line; 2],
    batch: Batch,
    losses: Losses,
    full: Vec<Full>,
    compressing: Option<u64>,
}

/// The beginning of a line that is not complete yet.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// When the first part was logged, if one was: the other parts get the same time.
    time: Option<u64>,
}

/// Encoded entries that have not been written yet.
#[derive(Debug)]
struct Batch {
    encoded: Vec<u8>,
    lines: u64,
    output: u64,
    earliest: u64,
}

#[derive(Debug, Default)]
struct Losses {
    bytes: u64,
    /// Not yet told in the log.
    untold_bytes: u64,
    untold_lines: u64,
}

/// A full file, the newest first in its list.
#[derive(Debug, Clone, Copy)]
struct Full {
    generation: u64,
    compressed: bool,
}

impl Writer {
    /// Opens or continues the log at `path`; makes good what a killed writer left half done.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path, options: LogOptions) -> Result<Self, Error> {
        let fail = |source| Error::file("open the log", path, source);
        finish_rotation(path).map_err(fail)?;
        remove_temporaries(path);
        let full = find_full(path);
        let newest = full.first().map_or(0, |full| full.generation);
        let known = index::read(&files::index(path, 0)).filter(|index| index.generation > newest);
        let recovered = recover(path, known.as_ref(), newest).map_err(fail)?;
        Ok(Self {
            path: path.to_owned(),
            options: LogOptions { max_files: options.max_files.max(1), ..options },
            file: recovered.file,
            size: recovered.block.end,
            generation: recovered.generation,
            index: recovered.index,
            block: recovered.block,
            block_start: recovered.block_start,
            lines: <[Line; 2]>::default(),
            batch: Batch { encoded: Vec::new(), lines: 0, output: 0, earliest: u64::MAX },
            losses: Losses::default(),
            full,
            compressing: None,
        })
    }

    /// Logs what was read from the container: whole lines at once, the beginning of a line when it
    /// is complete or 16 KiB long. Never fails: what the disk does not take is dropped and counted,
    /// and the log says so when there is space again.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        self.write_at(stream, bytes, timestamp::now());
    }

    fn write_at(&mut self, stream: Stream, bytes: &[u8], time: u64) {
        let formatted = timestamp::format(time);
        let mut line = std::mem::take(&mut self.lines[slot(stream)]);
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LONGEST - line.bytes.len();
            let window = &rest[..rest.len().min(room)];
            let (length, is_whole) = match window.iter().position(|byte| *byte == b'\n') {
                Some(newline) => (newline + 1, true),
                None if window.len() == room => (room, false),
                None => {
                    line.bytes.extend_from_slice(rest);
                    break;
                }
            };
            let (head, tail) = rest.split_at(length);
            let first = line.time.unwrap_or(time);
            self.batch.earliest = self.batch.earliest.min(first);
            match line.time {
                Some(first) => self.entry(&[&line.bytes, head], stream, &timestamp::format(first)),
                None => self.entry(&[&line.bytes, head], stream, &formatted),
            }
            line.bytes.clear();
            line.time = (!is_whole).then_some(first);
            rest = tail;
            if self.is_batch_full() {
                self.flush(time);
            }
        }
        self.lines[slot(stream)] = line;
        self.flush(time);
    }

    /// The stream has ended: logs its last line if that had no newline.
    pub fn end(&mut self, stream: Stream) {
        let line = std::mem::take(&mut self.lines[slot(stream)]);
        if !line.bytes.is_empty() {
            let now = timestamp::now();
            let first = line.time.unwrap_or(now);
            self.batch.earliest = self.batch.earliest.min(first);
            self.entry(&[&line.bytes], stream, &timestamp::format(first));
            self.flush(now);
        }
    }

    /// Bytes of output lost so far because the disk did not take them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.losses.bytes
    }

    /// Gives back the memory of buffers that are empty; for when there has been no output for a
    /// while.
    pub fn release_buffers(&mut self) {
        self.batch.encoded.shrink_to_fit();
        self.lines.iter_mut().for_each(|line| line.bytes.shrink_to_fit());
    }

    /// Starts a new file now. When that fails, the present one goes on.
    pub fn rotate(&mut self) {
        if self.size > 0 && self.shift_files().is_err() {
            // The next try comes with the next entry; until then nothing is lost.
            drop(fs::remove_file(files::next(&self.path)));
        }
    }

    /// The next full file to compress; none while one is being compressed.
    pub fn take_compression(&mut self) -> Option<Compression> {
        if self.compressing.is_some() || !self.options.compress {
            return None;
        }
        let at = self.full.iter().rposition(|full| !full.compressed)?;
        let generation = self.full[at].generation;
        let source = File::open(files::rotated(&self.path, at + 1)).ok()?;
        self.compressing = Some(generation);
        Some(Compression { generation, source, target: files::compression(&self.path, generation) })
    }

    /// Puts the compressed file in the place of the full one (or, after a failure, does not). The
    /// full one may have moved on by a rotation, or have been dropped.
    pub fn finish_compression(&mut self, compression: &Compression, succeeded: bool) {
        self.compressing = None;
        let place = self.full.iter().position(|full| full.generation == compression.generation);
        if let Some(at) = place {
            // After a failure it stays as it is: one try is enough.
            self.full[at].compressed = true;
            let target = files::compressed(&self.path, at + 1);
            if succeeded && fs::rename(&compression.target, target).is_ok() {
                drop(fs::remove_file(files::rotated(&self.path, at + 1)));
                return;
            }
        }
        drop(fs::remove_file(&compression.target));
    }

    fn entry(&mut self, parts: &[&[u8]], stream: Stream, time: &str) {
        encode::entry(&mut self.batch.encoded, parts, stream, time);
        self.batch.lines += 1;
        let output: usize = parts.iter().map(|part| part.len()).sum();
        self.batch.output += output as u64;
    }

    fn is_batch_full(&self) -> bool {
        let pending = self.batch.encoded.len();
        pending >= BATCH || self.is_full_with(pending as u64)
    }

    fn is_full_with(&self, more: u64) -> bool {
        self.options.max_size > 0 && self.size + more >= self.options.max_size
    }

    /// Writes the batch by one call. What does not fit is cut off again, so that no half line is
    /// ever left.
    fn flush(&mut self, time: u64) {
        if self.batch.lines == 0 {
            return;
        }
        if self.is_full_with(0) {
            self.rotate();
        }
        self.tell_losses(time);
        let length = self.batch.encoded.len() as u64;
        match self.file.write_all(&self.batch.encoded) {
            Ok(()) => {
                self.size += length;
                self.block.add(length, self.batch.lines, time);
                self.block.earliest = self.block.earliest.min(self.batch.earliest);
                self.losses.untold_bytes = 0;
                self.losses.untold_lines = 0;
                if self.size - self.block_start >= BLOCK {
                    self.close_block();
                }
            }
            Err(_) => {
                drop(self.file.set_len(self.size));
                self.losses.bytes += self.batch.output;
                self.losses.untold_bytes += self.batch.output;
                self.losses.untold_lines += self.batch.lines;
            }
        }
        self.batch.encoded.clear();
        self.batch.lines = 0;
        self.batch.output = 0;
        self.batch.earliest = u64::MAX;
    }

    /// Puts a line about what was lost in front of the batch.
    fn tell_losses(&mut self, time: u64) {
        let Losses { untold_bytes: bytes, untold_lines: lines, .. } = self.losses;
        if lines == 0 {
            return;
        }
        let text =
            format!("brig: {lines} lines ({bytes} bytes) of output lost: no space for the log\n");
        let mut encoded = Vec::with_capacity(self.batch.encoded.len() + 256);
        let parts = [text.as_bytes()];
        encode::entry(&mut encoded, &parts, Stream::Stderr, &timestamp::format(time));
        encoded.append(&mut self.batch.encoded);
        self.batch.encoded = encoded;
    }

    fn close_block(&mut self) {
        if self.block.lines > 0 {
            self.index.append(&self.block);
        }
        self.block = Block::empty(self.size);
        self.block_start = self.size;
    }

    /// Renames all files and begins a new one, which exists under another name before: so that an
    /// error leaves a file to write to. The full file gets its next name beside its present one,
    /// which the new file then takes over: readers find a current file at any time, and what
    /// [`super::chain`] expects tells them that other names change meanwhile.
    fn shift_files(&mut self) -> io::Result<()> {
        let next = files::next(&self.path);
        let file = open_log(&next)?;
        self.close_block();
        let keep = usize::try_from(self.options.max_files).unwrap_or(usize::MAX) - 1;
        let moving = files::with_suffix(&self.path, MOVING);
        rename_if_there(&files::index(&self.path, 0), &moving)?;
        for number in (keep.max(1)..=self.full.len()).rev() {
            remove_number(&self.path, number);
        }
        for number in (1..keep.min(self.full.len() + 1)).rev() {
            shift_number(&self.path, number)?;
        }
        if keep > 0 {
            fs::hard_link(&self.path, files::rotated(&self.path, 1))?;
            drop(fs::rename(&moving, files::index(&self.path, 1)));
        } else {
            drop(fs::remove_file(&moving));
        }
        self.succeed(&next, file, keep)
    }

    /// Lets the new file take over from the full one, which has its own name already.
    fn succeed(&mut self, next: &Path, file: File, keep: usize) -> io::Result<()> {
        let index_path = files::index(&self.path, 0);
        let index = Index { generation: self.generation + 1, blocks: Vec::new() };
        self.index = IndexWriter::create(&index_path, &index);
        if let Err(error) = fs::rename(next, &self.path) {
            self.index = IndexWriter::default();
            drop(fs::remove_file(&index_path));
            drop(fs::remove_file(files::rotated(&self.path, 1)));
            return Err(error);
        }
        self.full.insert(0, Full { generation: self.generation, compressed: false });
        self.full.truncate(keep);
        self.generation += 1;
        self.file = file;
        self.size = 0;
        self.block = Block::empty(0);
        self.block_start = 0;
        Ok(())
    }
}

/// The current index during a rotation.
const MOVING: &str = ".index.tmp";

/// What a log is continued with.
struct Recovered {
    file: File,
    generation: u64,
    index: IndexWriter,
    block: Block,
    block_start: u64,
}

/// Opens the current file, cuts off a half-written line, and completes its index.
fn recover(path: &Path, known: Option<&Index>, newest: u64) -> io::Result<Recovered> {
    let file = open_log(path)?;
    let size = file.metadata()?.len();
    let known = known.filter(|index| index.end() <= size);
    let index_path = files::index(path, 0);
    let generation = known.map_or(newest + 1, |index| index.generation);
    let mut index = match known {
        Some(_) => IndexWriter::open(&index_path),
        None => IndexWriter::create(&index_path, &Index { generation, blocks: Vec::new() }),
    };
    let mut block_start = known.map_or(0, Index::end);
    let mut block = Block::empty(block_start);
    let mut reader = BufReader::new(&file);
    reader.seek(SeekFrom::Start(block_start))?;
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        // A foreign line has no time: it must be found whatever is asked for.
        let times = encode::decode(&line).map_or([0, u64::MAX], |entry| [entry.time; 2]);
        block.add(line.len() as u64, 1, times[0]);
        block.latest = block.latest.max(times[1]);
        if block.end - block_start >= BLOCK {
            index.append(&block);
            block_start = block.end;
            block = Block::empty(block_start);
        }
    }
    drop(reader);
    file.set_len(block.end)?;
    Ok(Recovered { file, generation, index, block, block_start })
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)
}

/// Gives the current file a successor if a killed writer had come to do only that, and closes the
/// gap that it has left among the full files' numbers.
fn finish_rotation(path: &Path) -> io::Result<()> {
    let full = files::rotated(path, 1);
    if File::open(&full).is_ok_and(|file| chain::is_named(&file, path)) {
        let next = files::next(path);
        drop(open_log(&next)?);
        drop(fs::remove_file(files::index(path, 0)));
        fs::rename(&next, path)?;
    }
    for (free, number) in (1..).zip(numbers(path)).filter(|(free, number)| free != number) {
        move_number(path, number, free)?;
    }
    Ok(())
}

/// The numbers of full files that there are, in order.
fn numbers(path: &Path) -> Vec<usize> {
    let Some(name) = path.file_name() else { return Vec::new() };
    let Ok(entries) = fs::read_dir(files::directory(path)) else { return Vec::new() };
    let number_of = |other: &std::ffi::OsStr| {
        let number = other.to_str()?.strip_prefix(name.to_str()?)?.strip_prefix('.')?;
        number.strip_suffix(".gz").unwrap_or(number).parse().ok().filter(|number| *number > 0)
    };
    let mut numbers: Vec<usize> =
        entries.flatten().filter_map(|entry| number_of(&entry.file_name())).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The full files, the newest first, numbered without gaps. An index that is missing is made, for
/// the generation's sake.
fn find_full(path: &Path) -> Vec<Full> {
    let is_compressed = |number: &usize| match files::rotated(path, *number).exists() {
        true => Some(false),
        false => files::compressed(path, *number).exists().then_some(true),
    };
    let found: Vec<bool> = (1..).map_while(|number| is_compressed(&number)).collect();
    let mut full = Vec::new();
    let mut newest = 0;
    for (at, compressed) in found.iter().enumerate().rev() {
        let index_path = files::index(path, at + 1);
        let known = index::read_generation(&index_path).filter(|known| *known > newest);
        newest = known.unwrap_or(newest + 1);
        if known.is_none() {
            let index = Index { generation: newest, blocks: Vec::new() };
            drop(IndexWriter::create(&index_path, &index));
        }
        full.insert(0, Full { generation: newest, compressed: *compressed });
    }
    full
}

/// Removes what a killed writer or compression has left.
fn remove_temporaries(path: &Path) {
    let Some(name) = path.file_name() else { return };
    let Ok(entries) = fs::read_dir(files::directory(path)) else { return };
    let is_ours = |other: &std::ffi::OsStr| {
        let other = other.as_encoded_bytes();
        other.starts_with(name.as_encoded_bytes()) && other.ends_with(b".tmp")
    };
    for entry in entries.flatten().filter(|entry| is_ours(&entry.file_name())) {
        drop(fs::remove_file(entry.path()));
    }
}

fn names_of(path: &Path, number: usize) -> [PathBuf; 3] {
    [files::rotated(path, number), files::compressed(path, number), files::index(path, number)]
}

fn remove_number(path: &Path, number: usize) {
    for name in names_of(path, number) {
        drop(fs::remove_file(name));
    }
}

fn shift_number(path: &Path, number: usize) -> io::Result<()> {
    move_number(path, number, number + 1)
}

fn move_number(path: &Path, from: usize, to: usize) -> io::Result<()> {
    names_of(path, from)
        .iter()
        .zip(&names_of(path, to))
        .try_for_each(|(from, to)| rename_if_there(from, to))
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// A container writes to two streams.
fn slot(stream: Stream) -> usize {
    usize::from(stream == Stream::Stderr)
}
