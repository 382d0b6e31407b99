//! Journal entries in a local file, as JSON lines: while the database is away, synced to the disk before they count as kept;
//! else only until the batch that they belong to is in the database, so that the end of the process loses nothing.
//!
//! Each line carries the entry's [`Position`]. The database records the position of the last batch that it has, in the
//! batch's own transaction: [`Spool::locate`] skips what is there already, so nothing is applied twice.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Position;
use crate::ledger::journal::Entry;

/// The spool of one journal: `entries.jsonl` in its folder, and beside it `rejected.jsonl` with what no database took.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    file: File,
    length: u64,
    read_to: u64,
}

/// A part of the spool, in order.
#[derive(Debug, Default)]
pub struct Portion {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The entries' positions.
    pub positions: Vec<Position>,
    /// Where the portion ends in the file.
    pub end: u64,
}

impl Spool {
    /// Opens the spool in this folder, which is made where missing. A line that a crash tore is cut off.
    ///
    /// # Errors
    /// The folder or the file cannot be made, read or written.
    pub fn open(folder: &Path) -> io::Result<Spool> {
        std::fs::create_dir_all(folder)?;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(folder.join("entries.jsonl"))?;
        let mut spool = Spool {
            folder: folder.to_owned(),
            file,
            length: 0,
            read_to: 0,
        };
        spool.length = spool.whole_lines()?;
        spool.file.set_len(spool.length)?;
        Ok(spool)
    }

    /// Whether nothing waits in it.
    pub fn is_empty(&self) -> bool {
        self.read_to >= self.length
    }

    /// Bytes that wait in it.
    pub fn pending(&self) -> u64 {
        self.length.saturating_sub(self.read_to)
    }

    /// Appends entries and syncs them. On an error nothing of them is kept.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn append(&mut self, entries: &[Entry], positions: &[Position]) -> io::Result<()> {
        self.write_lines(entries, positions, true)
    }

    fn write_lines(
        &mut self,
        entries: &[Entry],
        positions: &[Position],
        sync: bool,
    ) -> io::Result<()> {
        let mut lines = Vec::with_capacity(entries.len() * 512);
        for (entry, position) in entries.iter().zip(positions) {
            write_line(&mut lines, *position, entry)?;
        }
        let written = self.file.write_all(&lines).and_then(|()| match sync {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        match written {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.file.set_len(self.length)?;
                Err(error)
            }
        }
    }

    /// Appends entries without waiting for the disk: they outlive the process, not the machine.
    ///
    /// # Errors
    /// The disk is full or failing. Nothing of them is kept.
    pub fn note(&mut self, entries: &[Entry], positions: &[Position]) -> io::Result<()> {
        self.write_lines(entries, positions, false)
    }

    /// The database has everything that was noted.
    ///
    /// # Errors
    /// The file cannot be cut.
    pub fn forget(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.length = 0;
        self.read_to = 0;
        Ok(())
    }

    /// Begins reading after the last line of this position's run that is not behind it, or at the start when there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn locate(&mut self, position: Option<Position>) -> io::Result<()> {
        self.read_to = 0;
        let Some(position) = position else {
            return Ok(());
        };
        let mut at = 0;
        for line in self.lines_from(0)? {
            let line = line?;
            at += line.len() as u64;
            let place: Result<Place, _> = serde_json::from_slice(&line);
            if place.is_ok_and(|place| {
                place.at.run == position.run && place.at.number <= position.number
            }) {
                self.read_to = at;
            }
        }
        Ok(())
    }

    /// Reads on, at most `limit` entries, and stays there until [`Spool::advance`]. Lines that do not read are set aside.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&mut self, limit: usize) -> io::Result<Portion> {
        let mut portion = Portion {
            end: self.read_to,
            ..Portion::default()
        };
        let mut torn = Vec::new();
        for line in self.lines_from(self.read_to)?.take(limit) {
            let line = line?;
            portion.end += line.len() as u64;
            match serde_json::from_slice::<Line<Entry>>(&line) {
                Ok(line) => {
                    portion.entries.push(line.entry);
                    portion.positions.push(line.at);
                }
                Err(error) => torn.push((line, error)),
            }
        }
        for (line, error) in torn {
            tracing::error!(%error, "a spooled entry does not read; it is set aside in rejected.jsonl");
            self.set_aside(&line)?;
        }
        if portion.entries.is_empty() {
            self.read_to = portion.end;
        }
        Ok(portion)
    }

    /// What was read up to `end` is in the database. An emptied spool gives its disk space back.
    ///
    /// # Errors
    /// The file cannot be cut.
    pub fn advance(&mut self, end: u64) -> io::Result<()> {
        self.read_to = end;
        if self.is_empty() {
            self.file.set_len(0)?;
            self.file.sync_data()?;
            self.length = 0;
            self.read_to = 0;
        }
        Ok(())
    }

    /// Keeps an entry that the database refuses for good, for a person to look at.
    ///
    /// # Errors
    /// The disk is full or failing.
    pub fn reject(&mut self, entry: &Entry, position: Position) -> io::Result<()> {
        let mut line = Vec::new();
        write_line(&mut line, position, entry)?;
        self.set_aside(&line)
    }

    fn set_aside(&mut self, line: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.folder.join("rejected.jsonl"))?;
        file.write_all(line)?;
        file.sync_data()
    }

    fn lines_from(&self, at: u64) -> io::Result<impl Iterator<Item = io::Result<Vec<u8>>> + use<>> {
        let mut file = File::open(self.folder.join("entries.jsonl"))?;
        file.seek(SeekFrom::Start(at))?;
        let mut reader = BufReader::new(file.take(self.length.saturating_sub(at)));
        Ok(std::iter::from_fn(move || {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => None,
                Ok(_) => Some(Ok(line)),
                Err(error) => Some(Err(error)),
            }
        }))
    }

    /// The length of the file without a torn last line.
    fn whole_lines(&mut self) -> io::Result<u64> {
        self.length = self.file.metadata()?.len();
        let mut whole = 0;
        for line in self.lines_from(0)? {
            let line = line?;
            if line.ends_with(b"\n") {
                whole += line.len() as u64;
            }
        }
        Ok(whole)
    }
}

fn write_line(lines: &mut Vec<u8>, at: Position, entry: &Entry) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, &Line { at, entry })?;
    lines.push(b'\n');
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Line<E> {
    at: Position,
    entry: E,
}

/// A line of which only the place matters.
#[derive(Deserialize)]
struct Place {
    at: Position,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::clock::Wall;

    fn at(number: u64) -> Position {
        Position { run: 7, number }
    }

    fn alive(micros: i64) -> Entry {
        Entry::Alive(Wall::from_micros(micros * 1_000))
    }

    #[test]
    fn keeps_order_over_a_restart_and_cuts_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path()).unwrap();
        spool
            .append(&[alive(1), alive(2)], &[at(1), at(2)])
            .unwrap();
        spool.append(&[alive(3)], &[at(3)]).unwrap();
        drop(spool);
        let path = folder.path().join("entries.jsonl");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"at\":{\"run\":7,\"num").unwrap();
        let mut spool = Spool::open(folder.path()).unwrap();
        let portion = spool.read(10).unwrap();
        assert_eq!(portion.entries, [alive(1), alive(2), alive(3)]);
        assert_eq!(portion.positions, [at(1), at(2), at(3)]);
        spool.advance(portion.end).unwrap();
        assert!(spool.is_empty());
        assert_eq!(std::fs::metadata(path).unwrap().len(), 0);
    }

    #[test]
    fn begins_after_what_the_database_has() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path()).unwrap();
        spool
            .append(&[alive(1), alive(2), alive(3)], &[at(1), at(2), at(3)])
            .unwrap();
        spool.locate(Some(at(2))).unwrap();
        assert_eq!(spool.read(10).unwrap().entries, [alive(3)]);
        let other_run = Position { run: 6, number: 9 };
        spool.locate(Some(other_run)).unwrap();
        assert_eq!(spool.read(2).unwrap().entries, [alive(1), alive(2)]);
        spool.locate(Some(at(9))).unwrap();
        assert!(spool.is_empty());
    }

    #[test]
    fn what_was_noted_outlives_the_process_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path()).unwrap();
        spool.note(&[alive(1)], &[at(1)]).unwrap();
        drop(spool);
        let mut spool = Spool::open(folder.path()).unwrap();
        assert_eq!(spool.read(10).unwrap().entries, [alive(1)]);
        spool.forget().unwrap();
        assert!(spool.is_empty());
        drop(spool);
        assert!(Spool::open(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn a_line_that_does_not_read_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("entries.jsonl"), "nonsense\n").unwrap();
        let mut spool = Spool::open(folder.path()).unwrap();
        spool.append(&[alive(1)], &[at(1)]).unwrap();
        assert_eq!(spool.read(10).unwrap().entries, [alive(1)]);
        let rejected = std::fs::read_to_string(folder.path().join("rejected.jsonl")).unwrap();
        assert_eq!(rejected, "nonsense\n");
    }
}
