//! Sound as values: codecs, clips, tones, WAV. No devices, no clocks, no files.
pub mod clip;
pub mod concealment;
pub mod crossfade;
pub mod dtmf_detect;
pub mod g711;
pub mod g722;
pub mod goertzel;
pub mod mix;
pub mod opus;
pub mod pace;
pub mod resample;
pub mod similarity;
pub mod tone;
pub mod voice;
pub mod wav;
