//! Where a recording's file lies: `<tenant>/YYYY/MM/DD/HHMMSS_<direction>_<caller>_<number>_<call id>.wav`, in UTC.
//! Nothing that a caller supplied gets into it unfiltered.

use crate::ledger::call::CallRecord;
use crate::ledger::clock::Wall;
use crate::ledger::journal::RecordingKind;

/// The path below the recordings' root of a recording that begins at `started_at`. A message ends in `_voicemail.wav`.
pub fn relative_path(call: &CallRecord, kind: RecordingKind, started_at: Wall) -> String {
    let suffix = match kind {
        RecordingKind::Conversation => "",
        RecordingKind::Voicemail(_) => "_voicemail",
    };
    format!(
        "{}/{}_{}_{}_{}_{}{suffix}.wav",
        filtered(Some(call.tenant.as_str())),
        started_at.timestamp().strftime("%Y/%m/%d/%H%M%S"),
        call.direction.as_str(),
        filtered(call.caller.as_deref()),
        filtered(call.number.as_deref()),
        call.call_id,
    )
}

/// The same path for the `n`th file that would bear one name.
pub fn numbered(path: &str, n: u32) -> String {
    match path.strip_suffix(".wav") {
        Some(stem) => format!("{stem}_{n}.wav"),
        None => format!("{path}_{n}"),
    }
}

/// Letters, digits, `+` and `-`, at most 32 of them; `unknown` when nothing is left.
fn filtered(text: Option<&str>) -> String {
    let kept: String = text
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-'))
        .take(32)
        .collect();
    if kept.is_empty() {
        "unknown".into()
    } else {
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::id::VoicemailId;
    use crate::recording::samples::call;
    use proptest::prelude::*;

    const AT: Wall = Wall::from_micros(1_772_960_700_999_999);
    const ID: &str = "00000000-0000-0000-0000-000000000007";

    #[test]
    fn conversations_and_messages() {
        let call = call(7, Some("+79991234567"), Some("+74951000001"));
        assert_eq!(
            relative_path(&call, RecordingKind::Conversation, AT),
            format!("default/2026/03/08/090500_inbound_+79991234567_+74951000001_{ID}.wav")
        );
        let message = RecordingKind::Voicemail(VoicemailId::from_u128(1));
        let path = relative_path(&call, message, AT);
        assert!(path.ends_with(&format!("{ID}_voicemail.wav")));
        assert!(numbered(&path, 2).ends_with("_voicemail_2.wav"));
    }

    #[test]
    fn withheld_and_hostile_names() {
        let call = call(7, None, Some("../../etc/passwd\0%00\u{202e}x_y"));
        assert_eq!(
            relative_path(&call, RecordingKind::Conversation, AT),
            format!("default/2026/03/08/090500_inbound_unknown_etcpasswd00xy_{ID}.wav")
        );
    }

    proptest! {
        #[test]
        fn the_shape_never_changes(caller in ".{0,80}", number in ".{0,80}") {
            let path = relative_path(&call(7, Some(&caller), Some(&number)), RecordingKind::Conversation, AT);
            prop_assert_eq!(path.split('/').count(), 5);
            prop_assert_eq!(path.split('_').count(), 5);
            prop_assert!(path.len() < 200 && !path.contains("..") && path.is_ascii());
        }
    }
}
