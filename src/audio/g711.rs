//! G.711 (ITU-T G.711): A-law and µ-law, by table.

/// Encodes one 16-bit linear sample as µ-law.
pub fn ulaw_encode(_sample: i16) -> u8 {
    todo!("media helper: tables")
}
/// Encodes one 16-bit linear sample as A-law.
pub fn alaw_encode(_sample: i16) -> u8 {
    todo!("media helper: tables")
}
