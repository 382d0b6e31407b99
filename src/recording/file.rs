//! The WAV file of a running recording: 16 bit, 8 kHz, readable up to the last refresh of its header whatever happens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::path::numbered;
use super::timeline::Layout;

/// A file that is being written.
pub struct WavFile {
    writer: WavWriter<BufWriter<File>>,
    path: PathBuf,
    samples: u64,
}

impl WavFile {
    /// Creates the file `relative` below `root` with its folders and an empty header on disk. An existing file is never
    /// touched: a number is added to the name. Answers the relative path that was taken.
    pub fn create(root: &Path, relative: &str, layout: Layout) -> io::Result<(WavFile, String)> {
        let mut taken = relative.to_owned();
        for n in 2.. {
            let path = root.join(&taken);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut file = WavFile::over(file, path, layout)?;
                    file.refresh()?;
                    return Ok((file, taken));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && n < MAX_NAMESAKES => {
                    taken = numbered(relative, n);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn over(file: File, path: PathBuf, layout: Layout) -> io::Result<WavFile> {
        let spec = WavSpec {
            channels: layout.channels(),
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        Ok(WavFile {
            writer: WavWriter::new(BufWriter::new(file), spec).map_err(into_io)?,
            path,
            samples: 0,
        })
    }

    /// Appends whole frames of interleaved samples.
    pub fn append(&mut self, samples: &[i16]) -> io::Result<()> {
        for part in samples.chunks(PART) {
            let mut writer = self.writer.get_i16_writer(part.len() as u32);
            for &sample in part {
                writer.write_sample(sample);
            }
            writer.flush().map_err(into_io)?;
            self.samples += part.len() as u64;
        }
        Ok(())
    }

    /// Whether so many more samples can be counted by the 32-bit sizes of a WAV file.
    pub fn has_room(&self, samples: usize) -> bool {
        self.samples + samples as u64 <= MAX_SAMPLES
    }

    /// Brings header and samples to the operating system: from here on a crash of this process loses nothing before it.
    pub fn refresh(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(into_io)
    }

    /// Completes the header and closes the file.
    pub fn finish(self) -> io::Result<()> {
        self.writer.finalize().map_err(into_io)
    }

    /// Closes the file and removes it.
    pub fn remove(self) -> io::Result<()> {
        drop(self.writer);
        fs::remove_file(self.path)
    }
}

fn into_io(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        error => io::Error::other(error),
    }
}

/// Samples per second and channel.
pub const SAMPLE_RATE: u32 = 8_000;
/// A second of stereo at a time bounds `hound`'s buffer.
const PART: usize = 16_000;
/// Just under 4 GiB of 16-bit samples: 37 hours of stereo.
const MAX_SAMPLES: u64 = (u32::MAX as u64 - 1_024) / 2;
const MAX_NAMESAKES: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namesakes_get_numbers_and_nothing_is_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let (mut first, name) = WavFile::create(root.path(), "a/b/x.wav", Layout::Mono).unwrap();
        first.append(&[1, 2, 3]).unwrap();
        first.finish().unwrap();
        assert_eq!(name, "a/b/x.wav");
        let (second, name) = WavFile::create(root.path(), "a/b/x.wav", Layout::Mono).unwrap();
        assert_eq!(name, "a/b/x_2.wav");
        second.remove().unwrap();
        let reader = hound::WavReader::open(root.path().join("a/b/x.wav")).unwrap();
        assert_eq!(reader.duration(), 3);
        assert!(!root.path().join("a/b/x_2.wav").exists());
    }

    #[test]
    fn the_size_of_a_wav_file_is_respected() {
        let root = tempfile::tempdir().unwrap();
        let (mut file, _) = WavFile::create(root.path(), "x.wav", Layout::Stereo).unwrap();
        assert!(file.has_room(640));
        file.samples = MAX_SAMPLES - 10;
        assert!(file.has_room(10) && !file.has_room(12));
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut file = WavFile::over(full, "/dev/full".into(), Layout::Stereo).unwrap();
        let error = file.append(&[1; 32_000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(file.refresh().is_err() && file.finish().is_err());
    }

    #[test]
    fn what_cannot_be_created_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "a file, not a folder").unwrap();
        assert!(WavFile::create(root.path(), "a/x.wav", Layout::Stereo).is_err());
    }
}
