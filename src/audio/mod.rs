//! Sound as values: codecs, clips, tones, WAV. No devices, no clocks, no files.
pub mod clip;
pub mod concealment;
pub mod g711;
pub mod g722;
pub mod goertzel;
<<<<<<< HEAD
pub mod mix;
pub mod pace;
=======
pub mod opus;
>>>>>>> lead
pub mod resample;
pub mod similarity;
pub mod tone;
pub mod voice;
pub mod wav;
