//! The Ogg/Opus copy that replaces a recording's WAV file (RFC 7845), made after the call.
//!
//! The order makes a crash harmless at any moment. The copy is written under another name, brought to the disk and read back;
//! then it gets its name, and only then the WAV file goes. Who finds the WAV file gone finds the copy beside it, and a row
//! that still waits for its copy gets it at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use audiopus::coder::{Decoder, Encoder};
use audiopus::packet::Packet;
use audiopus::{Application, Bitrate, Channels, MutSignals, SampleRate};
use hound::WavReader;
use ogg::{PacketReader, PacketWriteEndInfo, PacketWriter};

use super::repair::{below, end_all, hash};
use crate::ledger::journal::RecordingRecord;

/// Why there is no copy. The WAV file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file cannot be read or written.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// The WAV file is none.
    #[error("the WAV file does not read: {0}")]
    Wav(#[from] hound::Error),
    /// The encoder or decoder fails.
    #[error("Opus fails: {0}")]
    Opus(#[from] audiopus::Error),
    /// Neither one nor two channels, or a rate that Opus does not take.
    #[error("{channels} channels at {rate_hz} Hz cannot be copied")]
    Shape {
        /// Channels of the WAV file.
        channels: u16,
        /// Its rate.
        rate_hz: u32,
    },
    /// Read back, the copy is not what was written.
    #[error("the copy does not read back: {0}")]
    Unfaithful(&'static str),
    /// The process stops; the copy is made at the next start.
    #[error("stopped")]
    Stopped,
}

/// The copy's path for a recording's path.
pub fn beside(wav: &Path) -> PathBuf {
    wav.with_extension("opus")
}

/// Replaces the WAV file of a complete recording by its copy; answers what its row says then. Asked again after a crash it
/// goes on where it was.
///
/// # Errors
/// [`CopyError`]; then the WAV file stays.
pub fn replace(
    root: &Path,
    record: &RecordingRecord,
    stop: &AtomicBool,
) -> Result<RecordingRecord, CopyError> {
    let wav = below(root, &record.path)?;
    let copy = beside(&wav);
    if wav.exists() {
        let part = wav.with_extension("opus.part");
        let serial = record.recording_id.as_u128() as u32;
        let made = encode(&wav, &part, serial, stop).and_then(|sound| verify(&part, &sound));
        if let Err(error) = made {
            if part.exists() {
                fs::remove_file(&part)?;
            }
            return Err(error);
        }
        fs::rename(&part, &copy)?;
        settle(&copy)?;
        fs::remove_file(&wav)?;
        settle(&copy)?;
    }
    Ok(described(record, &copy)?)
}

/// A recording whose row was never completed although its copy stands alone: the copy is faster made than the row is
/// written. Answers the complete row.
///
/// # Errors
/// There is no copy that reads.
pub fn adopt(root: &Path, record: &RecordingRecord) -> Result<RecordingRecord, CopyError> {
    let copy = beside(&below(root, &record.path)?);
    let mut ogg = PacketReader::new(BufReader::with_capacity(ROOM, File::open(&copy)?));
    let broken = |_| CopyError::Unfaithful("its pages are broken");
    let head = ogg.read_packet_expected().map_err(broken)?.data;
    let skip = match head.get(10..12) {
        Some(&[low, high]) => u64::from(u16::from_le_bytes([low, high])),
        _ => return Err(CopyError::Unfaithful("its header is another")),
    };
    let mut end = 0;
    while let Some(packet) = ogg.read_packet().map_err(broken)? {
        end = packet.absgp_page();
    }
    let mut record = described(record, &copy)?;
    let duration = end.saturating_sub(skip) / 48;
    record.duration_ms = Some(duration);
    end_all(&mut record, duration);
    Ok(record)
}

/// What the row says once the copy stands alone.
fn described(record: &RecordingRecord, copy: &Path) -> io::Result<RecordingRecord> {
    let (bytes, sha256) = hash(&mut File::open(copy)?)?;
    let path = Path::new(&record.path).with_extension("opus");
    Ok(RecordingRecord {
        path: path.to_string_lossy().into_owned(),
        bytes: Some(bytes),
        sha256: Some(sha256),
        copy_due: false,
        ..record.clone()
    })
}

/// What a copy must hold.
#[derive(Debug)]
struct Sound {
    form: Form,
    frames: u64,
    /// The encoder's delay in frames.
    delay: u64,
    loudness: Loudness,
}

/// How loud each channel is. Of steps from sample to sample, so that a constant offset, which Opus removes, is nothing.
#[derive(Copy, Clone, Default, Debug)]
struct Loudness {
    last: [f64; 2],
    energy: [f64; 2],
}

impl Loudness {
    fn add(&mut self, channel: usize, sample: i16) {
        let (Some(last), Some(energy)) = (self.last.get_mut(channel), self.energy.get_mut(channel))
        else {
            return;
        };
        let sample = f64::from(sample);
        *energy += (sample - *last).powi(2);
        *last = sample;
    }
}

#[derive(Copy, Clone, Debug)]
struct Form {
    channels: usize,
    rate: SampleRate,
    rate_hz: u32,
}

impl Form {
    fn of(channels: u16, rate_hz: u32) -> Result<Form, CopyError> {
        let rate = match rate_hz {
            8_000 => Some(SampleRate::Hz8000),
            16_000 => Some(SampleRate::Hz16000),
            _ => None,
        };
        match (rate, channels) {
            (Some(rate), 1 | 2) => Ok(Form {
                channels: usize::from(channels),
                rate,
                rate_hz,
            }),
            _ => Err(CopyError::Shape { channels, rate_hz }),
        }
    }

    fn layout(self) -> Channels {
        if self.channels == 2 {
            Channels::Stereo
        } else {
            Channels::Mono
        }
    }

    /// Frames of a packet.
    fn packet(self) -> usize {
        (self.rate_hz / PACKETS_A_SECOND) as usize
    }

    /// Granule positions count at 48 kHz whatever the rate (RFC 7845 §4).
    fn granules(self, frames: u64) -> u64 {
        frames * 48_000 / u64::from(self.rate_hz)
    }

    /// Both sides are kept apart as far as from noise: measured, 40 kbit/s and the mode for music do that, at half the work
    /// of the mode for speech.
    fn encoder(self) -> Result<Encoder, CopyError> {
        let mut encoder = Encoder::new(self.rate, self.layout(), Application::Audio)?;
        let bits = if self.channels == 2 { 40_000 } else { 24_000 };
        encoder.set_bitrate(Bitrate::BitsPerSecond(bits))?;
        encoder.set_complexity(COMPLEXITY)?;
        if self.channels == 2 {
            encoder.set_force_channels(Channels::Stereo)?;
        }
        Ok(encoder)
    }

    /// The identification header (RFC 7845 §5.1).
    fn head(self, delay: u64) -> Vec<u8> {
        let skip = u16::try_from(self.granules(delay)).unwrap_or(u16::MAX);
        let mut head = Vec::with_capacity(19);
        head.extend(b"OpusHead");
        head.push(1);
        head.push(self.channels as u8);
        head.extend(skip.to_le_bytes());
        head.extend(self.rate_hz.to_le_bytes());
        head.extend(0u16.to_le_bytes());
        head.push(0);
        head
    }
}

/// The comment header (RFC 7845 §5.2) without comments.
fn tags() -> Vec<u8> {
    let vendor = concat!("vats/", env!("CARGO_PKG_VERSION"));
    let mut tags = Vec::with_capacity(16 + vendor.len());
    tags.extend(b"OpusTags");
    tags.extend((vendor.len() as u32).to_le_bytes());
    tags.extend(vendor.as_bytes());
    tags.extend(0u32.to_le_bytes());
    tags
}

fn encode(wav: &Path, part: &Path, serial: u32, stop: &AtomicBool) -> Result<Sound, CopyError> {
    let mut reader = WavReader::new(BufReader::with_capacity(ROOM, File::open(wav)?))?;
    let form = Form::of(reader.spec().channels, reader.spec().sample_rate)?;
    let encoder = form.encoder()?;
    let delay = u64::from(encoder.lookahead()?);
    let frames = u64::from(reader.duration());
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(part)?;
    let mut ogg = PacketWriter::new(BufWriter::with_capacity(ROOM, file));
    let page = PacketWriteEndInfo::EndPage;
    ogg.write_packet(form.head(delay), serial, page, 0)?;
    ogg.write_packet(tags(), serial, PacketWriteEndInfo::EndPage, 0)?;
    let length = form.packet();
    let packets = (frames + delay).div_ceil(length as u64);
    let end = form.granules(delay + frames);
    let mut loudness = Loudness::default();
    let mut pcm = vec![0i16; length * form.channels];
    let mut payload = vec![0u8; MOST_BYTES];
    let mut samples = reader.samples::<i16>();
    for packet in 1..=packets {
        if stop.load(Ordering::Relaxed) {
            return Err(CopyError::Stopped);
        }
        for (index, place) in pcm.iter_mut().enumerate() {
            *place = samples.next().transpose()?.unwrap_or(0);
            loudness.add(index % form.channels, *place);
        }
        let size = encoder.encode(&pcm, &mut payload)?;
        let (ending, granule) = if packet == packets {
            (PacketWriteEndInfo::EndStream, end)
        } else if packet % u64::from(PACKETS_A_SECOND) == 0 {
            let granule = form.granules(packet * length as u64);
            (PacketWriteEndInfo::EndPage, granule)
        } else {
            (PacketWriteEndInfo::NormalPacket, 0)
        };
        let bytes = payload.get(..size).unwrap_or_default().to_vec();
        ogg.write_packet(bytes, serial, ending, granule)?;
    }
    let mut out = ogg.into_inner();
    out.flush()?;
    out.get_ref().sync_all()?;
    Ok(Sound {
        form,
        frames,
        delay,
        loudness,
    })
}

/// Reads the copy as a player would: every packet decodes, it is as long as it must be, and each side is as loud.
fn verify(part: &Path, sound: &Sound) -> Result<(), CopyError> {
    let form = sound.form;
    let mut ogg = PacketReader::new(BufReader::with_capacity(ROOM, File::open(part)?));
    let mut next = || {
        let packet = ogg.read_packet();
        packet.map_err(|_| CopyError::Unfaithful("its pages are broken"))
    };
    let head = next()?.ok_or(CopyError::Unfaithful("it is empty"))?;
    if head.data != form.head(sound.delay) {
        return Err(CopyError::Unfaithful("its header is another"));
    }
    next()?.ok_or(CopyError::Unfaithful("it has no comments"))?;
    let mut decoder = Decoder::new(form.rate, form.layout())?;
    let mut pcm = vec![0i16; form.packet() * form.channels];
    let mut loudness = Loudness::default();
    let (mut frames, mut end) = (0, 0);
    while let Some(packet) = next()? {
        let signals = MutSignals::try_from(pcm.as_mut_slice())?;
        let payload = Packet::try_from(packet.data.as_slice())?;
        frames += decoder.decode(Some(payload), signals, false)? as u64;
        for (index, sample) in pcm.iter().enumerate() {
            loudness.add(index % form.channels, *sample);
        }
        end = packet.absgp_page();
    }
    if frames < sound.frames + sound.delay || end != form.granules(sound.delay + sound.frames) {
        return Err(CopyError::Unfaithful("it has another length"));
    }
    let heard = |energy: f64| (energy / sound.frames.max(1) as f64).sqrt();
    for (before, after) in sound.loudness.energy.into_iter().zip(loudness.energy) {
        if heard(before) > AUDIBLE && heard(after) < heard(before) / 4.0 {
            return Err(CopyError::Unfaithful("a side is not heard on it"));
        }
    }
    Ok(())
}

/// Brings the names in a file's folder to the disk.
fn settle(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

const PACKETS_A_SECOND: u32 = 50;
/// Of 0 to 10: more takes twice the time and is not heard in a telephone's sound.
const COMPLEXITY: u8 = 3;
/// The largest packet of 20 ms (RFC 6716 §3.2.1 allows 1,275 bytes a frame).
const MOST_BYTES: usize = 1_500;
const ROOM: usize = 64 * 1024;
/// Below this the loudness of a side says nothing.
const AUDIBLE: f64 = 50.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{goertzel, tone};
    use crate::recording::file::WavFile;
    use crate::recording::repair::{complete, repair};
    use crate::recording::samples;
    use crate::recording::timeline::Layout;

    /// A complete recording of tones: 450 Hz left, 1 kHz right.
    fn recorded(root: &Path, rate_hz: u32, ms: u32) -> RecordingRecord {
        let (mut file, path) = WavFile::create(root, "t/x.wav", Layout::Stereo, rate_hz).unwrap();
        // At 16 kHz the same samples sound an octave higher.
        let scale = f64::from(rate_hz) / 8_000.0;
        let left = tone::tone(&[450.0 / scale], -6.0, ms * rate_hz / 8_000);
        let right = tone::tone(&[1_000.0 / scale], -6.0, ms * rate_hz / 8_000);
        let frames: Vec<i16> = left
            .iter()
            .zip(&right)
            .flat_map(|(l, r)| [*l, *r])
            .collect();
        file.append(&samples::bytes(&frames)).unwrap();
        let record = RecordingRecord {
            rate_hz,
            copy_due: true,
            ..samples::record(&path)
        };
        complete(root, &record).unwrap()
    }

    /// The channels of a copy as a player hears them, at 8 kHz.
    fn played(path: &Path) -> Vec<Vec<i16>> {
        let mut ogg = PacketReader::new(File::open(path).unwrap());
        let head = ogg.read_packet_expected().unwrap().data;
        let skip = usize::from(u16::from_le_bytes([head[10], head[11]])) / 6;
        ogg.read_packet_expected().unwrap();
        let mut decoder = Decoder::new(SampleRate::Hz8000, Channels::Stereo).unwrap();
        let (mut pcm, mut all, mut end) = ([0i16; 320], Vec::new(), 0);
        while let Some(packet) = ogg.read_packet().unwrap() {
            let signals = MutSignals::try_from(pcm.as_mut_slice()).unwrap();
            let payload = Packet::try_from(packet.data.as_slice()).unwrap();
            assert_eq!(decoder.decode(Some(payload), signals, false).unwrap(), 160);
            all.extend(pcm);
            end = packet.absgp_page() as usize / 6;
        }
        let side = |at| all.iter().skip(at).step_by(2).copied().take(end).skip(skip);
        vec![side(0).collect(), side(1).collect()]
    }

    #[test]
    fn a_copy_sounds_the_same_is_as_long_and_replaces_the_file() {
        let root = tempfile::tempdir().unwrap();
        for rate_hz in [8_000, 16_000] {
            let record = recorded(root.path(), rate_hz, 2_345);
            let copied = replace(root.path(), &record, &AtomicBool::new(false)).unwrap();
            assert_eq!(copied.path, "t/x.opus");
            assert_eq!(copied.duration_ms, Some(2_345));
            assert!(!copied.copy_due && copied.bytes < record.bytes.map(|bytes| bytes / 4));
            assert_ne!(copied.sha256, record.sha256);
            let path = root.path().join(&copied.path);
            for (side, frequency) in played(&path).iter().zip([450.0, 1_000.0]) {
                assert_eq!(side.len(), 2_345 * 8);
                for part in side[160..18_560].chunks_exact(800) {
                    assert!(goertzel::share(part, frequency) > 0.98, "{frequency}");
                }
            }
            let names = fs::read_dir(root.path().join("t")).unwrap();
            assert_eq!(names.count(), 1);
            let (_, other) = WavFile::create(root.path(), "t/x.wav", Layout::Mono, 8_000).unwrap();
            assert_eq!(other, "t/x_2.wav", "the copy is not written over");
            fs::remove_dir_all(root.path().join("t")).unwrap();
        }
    }

    #[test]
    fn a_crash_at_any_moment_leaves_a_recording_that_is_copied_later() {
        let root = tempfile::tempdir().unwrap();
        let record = recorded(root.path(), 8_000, 500);
        let (wav, copy) = (root.path().join("t/x.wav"), root.path().join("t/x.opus"));
        let keep = fs::read(&wav).unwrap();
        // In the middle of writing.
        fs::write(wav.with_extension("opus.part"), b"OggS").unwrap();
        let stopped = replace(root.path(), &record, &AtomicBool::new(true));
        assert!(matches!(stopped, Err(CopyError::Stopped)));
        assert!(wav.exists() && !wav.with_extension("opus.part").exists());
        let whole = replace(root.path(), &record, &AtomicBool::new(false)).unwrap();
        // The copy has its name, the WAV file is still there.
        fs::write(&wav, keep).unwrap();
        let again = replace(root.path(), &record, &AtomicBool::new(false)).unwrap();
        assert_eq!(again, whole);
        // The WAV file is gone, the row does not know.
        assert!(copy.exists() && !wav.exists());
        let again = replace(root.path(), &record, &AtomicBool::new(false)).unwrap();
        assert_eq!(again, whole);
        // The row was never completed.
        let open = RecordingRecord {
            duration_ms: None,
            bytes: None,
            sha256: None,
            ..record
        };
        assert_eq!(repair(root.path(), vec![open]), [whole]);
    }

    #[test]
    fn what_cannot_be_copied_stays() {
        let root = tempfile::tempdir().unwrap();
        let record = recorded(root.path(), 8_000, 100);
        let wav = root.path().join("t/x.wav");
        fs::write(&wav, b"no sound").unwrap();
        let refused = replace(root.path(), &record, &AtomicBool::new(false));
        assert!(matches!(refused, Err(CopyError::Wav(_))));
        assert!(wav.exists());
        fs::remove_file(wav).unwrap();
        let gone = replace(root.path(), &record, &AtomicBool::new(false));
        assert!(matches!(gone, Err(CopyError::Disk(_))));
    }

    #[test]
    fn empty_recordings_and_messages_are_copied_too() {
        let root = tempfile::tempdir().unwrap();
        for (layout, length) in [(Layout::Stereo, 0), (Layout::Mono, 7_777)] {
            let (mut file, path) = WavFile::create(root.path(), "x.wav", layout, 8_000).unwrap();
            // As from a sound card whose zero is none, which Opus takes away.
            let sound = samples::bytes(&vec![5_000; length]);
            file.append(&sound).unwrap();
            let record = RecordingRecord {
                copy_due: true,
                ..samples::record(&path)
            };
            let copied = replace(root.path(), &record, &AtomicBool::new(false)).unwrap();
            fs::remove_file(root.path().join(copied.path)).unwrap();
        }
    }
}
