//! `recordings`: the index rows, and the sound by byte ranges.

use std::io::{self, SeekFrom};
use std::path::{Component, Path as FilePath, PathBuf};

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::AsyncSeekExt;

use super::Api;
use super::error::Refusal;
use super::file_body::FileBody;
use super::range::{Extent, extent};
use crate::ledger::id::Tenant;
use crate::ledger::journal::{RecordingKind, RecordingRecord};
use crate::recording::opus_copy;

/// `GET /api/v1/recordings/{recording_id}`
pub(super) async fn one(
    State(api): State<Api>,
    Path(recording): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let recording = find(&api, &recording).await?;
    let heard_at = api.store.heard(recording.recording_id).await?;
    let mut value = shown(&recording);
    if let RecordingKind::Voicemail(_) = recording.kind {
        value["heard_at"] = json!(heard_at);
    }
    Ok(Json(value))
}

/// A recording as the API shows it.
pub(super) fn shown(recording: &RecordingRecord) -> Value {
    let (kind, voicemail) = match recording.kind {
        RecordingKind::Conversation => ("conversation", None),
        RecordingKind::Voicemail(voicemail) => ("voicemail", Some(voicemail)),
    };
    json!({
        "recording_id": recording.recording_id,
        "tenant": recording.tenant,
        "call_id": recording.call_id,
        "kind": kind,
        "voicemail_id": voicemail,
        "voicemail_box": recording.voicemail_box,
        "state": recording.state(),
        "fault": recording.fault,
        "path": recording.path,
        "format": recording.format(),
        "started_at": recording.started_at,
        "duration_ms": recording.duration_ms,
        "bytes": recording.bytes,
        "sha256": recording.sha256,
        "sample_rate": recording.rate_hz,
        "segments": recording.segments,
        "pauses": recording.pauses,
        "audio": format!("/api/v1/recordings/{}/audio", recording.recording_id),
    })
}

/// `GET` and `HEAD /api/v1/recordings/{recording_id}/audio`. A recording that is still written is served as far as it is.
pub(super) async fn audio(
    State(api): State<Api>,
    Path(recording): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let recording = find(&api, &recording).await?;
    let mut path = inside(&api.recordings, &recording.path).ok_or_else(no_file)?;
    let mut opened = open(&path).await;
    let mut sha256 = recording.sha256;
    if opened.is_err() {
        // Between the moment when the copy stands alone and that when the row says so.
        let copy = opus_copy::beside(&path);
        let other = open(&copy).await;
        if other.is_ok() {
            (path, opened, sha256) = (copy, other, None);
        }
    }
    let (mut file, length) = opened.map_err(|error| {
        tracing::warn!(%error, path = %path.display(), "a recording's file cannot be opened");
        no_file()
    })?;
    let tag = sha256.map(|sha256| format!("\"{sha256}\""));
    let extent = match extent(text(&headers, header::RANGE), length) {
        // A range of another version of the file is no use (RFC 9110 §13.1.5).
        Extent::Part(..)
            if headers.contains_key(header::IF_RANGE)
                && text(&headers, header::IF_RANGE) != tag.as_deref() =>
        {
            Extent::Whole
        }
        extent => extent,
    };
    let (status, first, size) = match extent {
        Extent::Whole => (StatusCode::OK, 0, length),
        Extent::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Extent::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let content_range = match extent {
        Extent::Whole => None,
        Extent::Part(first, last) => Some(format!("bytes {first}-{last}/{length}")),
        Extent::Outside => Some(format!("bytes */{length}")),
    };
    if first > 0 {
        let sought = file.seek(SeekFrom::Start(first)).await;
        sought.map_err(|_| no_file())?;
    }
    let mut response = (status, Body::new(FileBody::new(file, size))).into_response();
    let fields = response.headers_mut();
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let is_opus = path.extension().is_some_and(|kind| kind == "opus");
    let kind = if is_opus { "audio/ogg" } else { "audio/wav" };
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    let shown = path.file_name().and_then(|name| name.to_str());
    let disposition =
        shown.map(|name| format!("inline; filename=\"{}\"", name.replace(['"', '\\'], "_")));
    for (name, value) in [
        (header::CONTENT_RANGE, content_range),
        (header::ETAG, tag),
        (header::CONTENT_DISPOSITION, disposition),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            fields.insert(name, value);
        }
    }
    Ok(response)
}

pub(super) async fn find(api: &Api, recording: &str) -> Result<RecordingRecord, Refusal> {
    let missing = || {
        Refusal::missing(
            "recording",
            "GET /api/v1/calls/{call_id} lists a call's recordings.",
        )
    };
    let id = recording.parse().map_err(|_| missing())?;
    let found = api
        .current()
        .await
        .recording(&Tenant::default(), id)
        .await?;
    found.ok_or_else(missing)
}

async fn open(path: &FilePath) -> io::Result<(File, u64)> {
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    Ok((file, metadata.len()))
}

/// The file below the root; `None` when the path leads elsewhere.
fn inside(root: &FilePath, path: &str) -> Option<PathBuf> {
    let path = FilePath::new(path);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (plain && path.file_name().is_some()).then(|| root.join(path))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn no_file() -> Refusal {
    let message =
        "The recording's file is not there: it was removed, or `recordings.path` points elsewhere.";
    Refusal::new(StatusCode::NOT_FOUND, "no_file", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        let root = FilePath::new("/srv/recordings");
        assert_eq!(
            inside(root, "default/2026/x.wav"),
            Some(PathBuf::from("/srv/recordings/default/2026/x.wav"))
        );
        for path in ["/etc/passwd", "../x.wav", "default/../../x", "", "."] {
            assert_eq!(inside(root, path), None, "{path}");
        }
    }
}
