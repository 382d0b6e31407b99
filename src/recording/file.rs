//! The WAV file of a running recording. Each append is two writes: the sound, then the header that counts it, so that the
//! file can be played up to there at any moment and a crash of this process loses nothing before it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::opus_copy::beside;
use super::path::numbered;
use super::timeline::Layout;
use super::wav_header::{HEADER_BYTES, wav_header};

/// A file that is being written.
#[derive(Debug)]
pub struct WavFile {
    file: File,
    path: PathBuf,
    layout: Layout,
    rate_hz: u32,
    data_bytes: u32,
}

impl WavFile {
    /// Creates the file `relative` below `root` with its folders and an empty header on disk. An existing file is never
    /// touched: a number is added to the name. Answers the relative path that was taken.
    pub fn create(
        root: &Path,
        relative: &str,
        layout: Layout,
        rate_hz: u32,
    ) -> io::Result<(WavFile, String)> {
        let mut taken = relative.to_owned();
        for n in 2.. {
            let path = root.join(&taken);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let opened = if beside(&path).exists() {
                // An earlier namesake, of which only the copy is left.
                Err(io::ErrorKind::AlreadyExists.into())
            } else {
                OpenOptions::new().write(true).create_new(true).open(&path)
            };
            match opened {
                Ok(file) => {
                    let file = WavFile {
                        file,
                        path,
                        layout,
                        rate_hz,
                        data_bytes: 0,
                    };
                    return match file.write_header() {
                        Ok(()) => Ok((file, taken)),
                        Err(error) => {
                            // A full disk has room for a name and for nothing else. Should it stay, it does no harm.
                            let _left = file.remove();
                            Err(error)
                        }
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && n < MAX_NAMESAKES => {
                    taken = numbered(relative, n);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Appends whole frames of interleaved samples, and brings the header up to date.
    ///
    /// # Errors
    /// The disk fails, or a WAV file cannot be as long.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let more = u32::try_from(bytes.len()).map_err(|_| too_long())?;
        let data_bytes = self.longer(more)?;
        let at = HEADER_BYTES as u64 + u64::from(self.data_bytes);
        self.file.write_all_at(bytes, at)?;
        self.data_bytes = data_bytes;
        self.write_header()
    }

    /// Appends silence: a hole that the file system fills.
    ///
    /// # Errors
    /// As [`append`](WavFile::append).
    pub fn skip(&mut self, bytes: u32) -> io::Result<()> {
        let data_bytes = self.longer(bytes)?;
        self.file
            .set_len(HEADER_BYTES as u64 + u64::from(data_bytes))?;
        self.data_bytes = data_bytes;
        self.write_header()
    }

    fn longer(&self, more: u32) -> io::Result<u32> {
        let data_bytes = self.data_bytes.checked_add(more);
        let data_bytes = data_bytes.filter(|&bytes| bytes <= MAX_DATA_BYTES);
        data_bytes.ok_or_else(too_long)
    }

    /// Closes the file and removes it.
    pub fn remove(self) -> io::Result<()> {
        drop(self.file);
        fs::remove_file(self.path)
    }

    fn write_header(&self) -> io::Result<()> {
        let header = wav_header(self.layout, self.rate_hz, self.data_bytes);
        self.file.write_all_at(&header, 0)
    }
}

fn too_long() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        "a WAV file cannot be longer than 4 GiB",
    )
}

/// Just under 4 GiB: 37 hours of stereo at 8 kHz.
const MAX_DATA_BYTES: u32 = u32::MAX - 1_024;
const MAX_NAMESAKES: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn create(root: &Path, relative: &str) -> io::Result<(WavFile, String)> {
        WavFile::create(root, relative, Layout::Mono, 8_000)
    }

    #[test]
    fn namesakes_get_numbers_and_nothing_is_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let (mut first, name) = create(root.path(), "a/b/x.wav").unwrap();
        first.append(&[1, 0, 2, 0]).unwrap();
        first.skip(2).unwrap();
        first.append(&[3, 0]).unwrap();
        drop(first);
        assert_eq!(name, "a/b/x.wav");
        let (second, name) = create(root.path(), "a/b/x.wav").unwrap();
        assert_eq!(name, "a/b/x_2.wav");
        second.remove().unwrap();
        let mut reader = hound::WavReader::open(root.path().join("a/b/x.wav")).unwrap();
        let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
        assert_eq!(samples, [1, 2, 0, 3]);
        assert!(!root.path().join("a/b/x_2.wav").exists());
    }

    #[test]
    fn the_size_of_a_wav_file_is_respected() {
        let root = tempfile::tempdir().unwrap();
        let (mut file, _) = create(root.path(), "x.wav").unwrap();
        file.data_bytes = MAX_DATA_BYTES - 10;
        let error = file.append(&[0; 12]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut file = WavFile {
            file: OpenOptions::new().write(true).open("/dev/full").unwrap(),
            path: "/dev/full".into(),
            layout: Layout::Stereo,
            rate_hz: 8_000,
            data_bytes: 0,
        };
        let error = file.append(&[1; 32_000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn what_cannot_be_created_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "a file, not a folder").unwrap();
        assert!(create(root.path(), "a/x.wav").is_err());
    }
}
