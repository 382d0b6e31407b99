//! Completing recordings on disk: mends a header that a crash left behind its file, measures, and hashes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::opus_copy::adopt;
use super::timeline::Layout;
use super::wav_header::wav_header;
use crate::ledger::journal::RecordingRecord;

/// At start-up: completes recordings that were never ended because the process died. A record whose file cannot be read is
/// logged and left out; one whose file has no sound yet is completed with a length of 0.
pub fn repair(root: &Path, records: Vec<RecordingRecord>) -> Vec<RecordingRecord> {
    let mut completed = Vec::with_capacity(records.len());
    for record in records {
        let found = complete(root, &record).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => adopt(root, &record).map_err(|_| error),
            _ => Err(error),
        });
        match found {
            Ok(record) => {
                tracing::info!(
                    recording = %record.recording_id, path = record.path, duration_ms = record.duration_ms,
                    "recording repaired"
                );
                completed.push(record);
            }
            Err(error) => tracing::error!(
                recording = %record.recording_id, path = record.path, %error,
                "the recording cannot be repaired"
            ),
        }
    }
    completed
}

/// Mends a closed file where needed, brings it to the disk, and fills in its length, size and hash.
pub fn complete(root: &Path, record: &RecordingRecord) -> io::Result<RecordingRecord> {
    let path = below(root, &record.path)?;
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let layout = Layout::of(record.kind);
    let shape = mend(&mut file, layout, record.rate_hz)?;
    file.sync_all()?;
    let (bytes, sha256) = hash(&mut file)?;
    let duration = shape.data_bytes * 1_000 / shape.bytes_per_second.max(1);
    let mut record = RecordingRecord {
        duration_ms: Some(duration),
        bytes: Some(bytes),
        sha256: Some(sha256),
        ..record.clone()
    };
    end_all(&mut record, duration);
    Ok(record)
}

/// What lasted until the file ended, ended there; what a crash cut off was never heard.
pub(super) fn end_all(record: &mut RecordingRecord, duration: u64) {
    let end = |to: Option<u64>| Some(to.map_or(duration, |to| to.min(duration)));
    for segment in &mut record.segments {
        segment.from_ms = segment.from_ms.min(duration);
        segment.to_ms = end(segment.to_ms);
    }
    for pause in &mut record.pauses {
        pause.from_ms = pause.from_ms.min(duration);
        pause.to_ms = end(pause.to_ms);
    }
}

/// Where the sound lies in a WAV file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Shape {
    /// Of the first sample.
    data_at: u64,
    data_bytes: u64,
    bytes_per_frame: u64,
    bytes_per_second: u64,
}

/// Makes both sizes in the header say what is on disk, in whole frames. A header that was never written is written.
fn mend(file: &mut File, layout: Layout, rate_hz: u32) -> io::Result<Shape> {
    let on_disk = file.metadata()?.len();
    let mut head = Vec::with_capacity(HEAD_BYTES);
    file.seek(SeekFrom::Start(0))?;
    Read::take(&mut *file, HEAD_BYTES as u64).read_to_end(&mut head)?;
    let shape = match parse_head(&head) {
        Some(shape) => shape,
        None => {
            let header = wav_header(layout, rate_hz, 0);
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header)?;
            parse_head(&header).ok_or(io::ErrorKind::InvalidData)?
        }
    };
    let available = on_disk.saturating_sub(shape.data_at);
    let whole = available - available % shape.bytes_per_frame;
    // A chunk after the sound is none of ours; without one, everything on disk is sound.
    let data_bytes = whole.min(u64::from(u32::MAX) - shape.data_at);
    let riff_size = u32::from_le_bytes(four(&head, 4));
    let sizes_fit = shape.data_bytes == data_bytes
        && u64::from(riff_size) == shape.data_at - 8 + data_bytes
        && available == data_bytes;
    if !sizes_fit {
        let size = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        file.set_len(shape.data_at + data_bytes)?;
        file.seek(SeekFrom::Start(4))?;
        file.write_all(&size(shape.data_at - 8 + data_bytes))?;
        file.seek(SeekFrom::Start(shape.data_at - 4))?;
        file.write_all(&size(data_bytes))?;
    }
    Ok(Shape {
        data_bytes,
        ..shape
    })
}

/// Finds the fmt and data chunks; `None` when this is no WAV header.
fn parse_head(head: &[u8]) -> Option<Shape> {
    if head.get(..4)? != b"RIFF" || head.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut at = 12usize;
    let mut rates = None;
    loop {
        let kind = head.get(at..at + 4)?;
        head.get(at + 4..at + 8)?;
        let length = u32::from_le_bytes(four(head, at + 4));
        let body = at + 8;
        if kind == b"data" {
            let (bytes_per_second, bytes_per_frame) = rates?;
            return Some(Shape {
                data_at: body as u64,
                data_bytes: u64::from(length),
                bytes_per_frame,
                bytes_per_second,
            });
        }
        if kind == b"fmt " {
            head.get(body..body + 16)?;
            let bytes_per_second = u32::from_le_bytes(four(head, body + 8));
            let [low, high, _, _] = four(head, body + 12);
            let bytes_per_frame = u16::from_le_bytes([low, high]);
            if bytes_per_frame == 0 || bytes_per_second == 0 {
                return None;
            }
            rates = Some((u64::from(bytes_per_second), u64::from(bytes_per_frame)));
        }
        at = body.checked_add(usize::try_from(length).ok()?)?;
    }
}

/// Length and SHA-256 of a file, from its beginning.
pub(super) fn hash(file: &mut File) -> io::Result<(u64, String)> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    let mut bytes = 0u64;
    let mut part = vec![0u8; 64 * 1024];
    loop {
        let read = file.read(&mut part)?;
        let Some(filled) = part.get(..read).filter(|filled| !filled.is_empty()) else {
            break;
        };
        hasher.update(filled);
        bytes += read as u64;
    }
    let digest = hasher.finalize();
    let text = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, text))
}

/// The path of a record, which must stay below the root.
pub(super) fn below(root: &Path, relative: &str) -> io::Result<PathBuf> {
    let relative = Path::new(relative);
    if relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        Ok(root.join(relative))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path leads out of the recordings' folder",
        ))
    }
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    let mut four = [0u8; 4];
    if let Some(source) = bytes.get(at..at + 4) {
        four.copy_from_slice(source);
    }
    four
}

/// More than any header that was ever written here.
const HEAD_BYTES: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::file::WavFile;
    use crate::recording::samples;
    use proptest::prelude::*;
    use std::fs;

    /// Bytes of a stereo file with these frames, and the record of it.
    fn written(root: &Path, frames: usize) -> (Vec<u8>, RecordingRecord) {
        let (mut file, _) = WavFile::create(root, "t/x.wav", Layout::Stereo, 8_000).unwrap();
        file.append(&samples::bytes(&vec![7; frames * 2])).unwrap();
        drop(file);
        (
            fs::read(root.join("t/x.wav")).unwrap(),
            samples::record("t/x.wav"),
        )
    }

    fn frames(root: &Path) -> u32 {
        hound::WavReader::open(root.join("t/x.wav"))
            .unwrap()
            .duration()
    }

    #[test]
    fn a_whole_file_is_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let (bytes, record) = written(root.path(), 12_000);
        let completed = complete(root.path(), &record).unwrap();
        assert_eq!(completed.duration_ms, Some(1_500));
        assert_eq!(completed.bytes, Some(48_044));
        assert_eq!(fs::read(root.path().join("t/x.wav")).unwrap(), bytes);
        let expected: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(completed.sha256, Some(expected));
    }

    #[test]
    fn sizes_behind_the_file_are_mended_and_half_frames_cut() {
        let root = tempfile::tempdir().unwrap();
        let (mut bytes, record) = written(root.path(), 8_000);
        bytes[4..8].copy_from_slice(&36u32.to_le_bytes());
        bytes[40..44].copy_from_slice(&0u32.to_le_bytes());
        bytes.extend([1, 2, 3]);
        fs::write(root.path().join("t/x.wav"), bytes).unwrap();
        let repaired = repair(root.path(), vec![record]);
        assert_eq!(repaired[0].duration_ms, Some(1_000));
        assert_eq!(frames(root.path()), 8_000);
    }

    #[test]
    fn files_without_sound_or_header_become_empty_recordings() {
        let root = tempfile::tempdir().unwrap();
        for length in [0, 3, 20, 44, 46] {
            let (bytes, record) = written(root.path(), 100);
            fs::write(root.path().join("t/x.wav"), &bytes[..length]).unwrap();
            let completed = complete(root.path(), &record).unwrap();
            assert_eq!(
                (completed.duration_ms, completed.bytes),
                (Some(0), Some(44)),
                "{length}"
            );
            assert_eq!(frames(root.path()), 0);
            fs::remove_file(root.path().join("t/x.wav")).unwrap();
        }
    }

    #[test]
    fn a_header_lost_with_the_power_is_written_anew() {
        let root = tempfile::tempdir().unwrap();
        let (mut bytes, record) = written(root.path(), 4_000);
        bytes[..44].fill(0);
        fs::write(root.path().join("t/x.wav"), bytes).unwrap();
        assert_eq!(
            complete(root.path(), &record).unwrap().duration_ms,
            Some(500)
        );
        assert_eq!(frames(root.path()), 4_000);
    }

    #[test]
    fn a_missing_file_or_a_path_that_leads_out_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let records = ["t/none.wav", "../x.wav", "/etc/passwd"].map(samples::record);
        assert!(repair(root.path(), records.to_vec()).is_empty());
    }

    proptest! {
        #[test]
        fn any_cut_gives_a_readable_file(length in 0usize..3_300, header_at in 0u32..3_300) {
            let root = tempfile::tempdir().unwrap();
            let (mut bytes, record) = written(root.path(), 800);
            bytes[4..8].copy_from_slice(&(36 + header_at).to_le_bytes());
            bytes[40..44].copy_from_slice(&header_at.to_le_bytes());
            bytes.truncate(length);
            fs::write(root.path().join("t/x.wav"), &bytes).unwrap();
            let completed = complete(root.path(), &record).unwrap();
            let expected = bytes.len().saturating_sub(44) / 4;
            prop_assert_eq!(frames(root.path()) as usize, expected);
            prop_assert_eq!(completed.bytes, Some(44 + 4 * expected as u64));
            let again = complete(root.path(), &record).unwrap();
            prop_assert_eq!(again, completed);
        }
    }
}
