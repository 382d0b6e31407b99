//! How legs sounded: written with the batches, read with their call.

use std::collections::HashMap;

use sqlx::sqlite::SqliteConnection;

use super::column::Columns;
use super::table::{Table, Value};
use crate::ledger::id::{CallId, LegId};
use crate::ledger::leg::LegRecord;
use crate::ledger::quality::{Hundredths, LegQuality};
use crate::store::StoreError;
use crate::store::accounting::Effects;

/// Writes what a batch says of legs' sound.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    let measured = std::mem::take(&mut effects.quality).into_iter();
    LEG_QUALITY
        .put(connection, measured.map(row).collect())
        .await?;
    Ok(())
}

/// Adds what is known of a call's legs to their records.
pub(super) async fn add_to(
    connection: &mut SqliteConnection,
    call: &str,
    legs: &mut [LegRecord],
) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT * FROM leg_quality WHERE call_id = ?")
        .bind(call)
        .fetch_all(connection)
        .await?;
    let mut known: HashMap<LegId, LegQuality> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let columns = Columns::of("leg_quality", row);
        let quality = LegQuality {
            mos: columns.maybe_number("mos")?.map(Hundredths),
            loss: Hundredths(columns.number("loss")?),
            loss_out: columns.maybe_number("loss_out")?.map(Hundredths),
            jitter_ms: columns.number("jitter_ms")?,
            rtt_ms: columns.maybe_number("rtt_ms")?,
            packets_in: columns.number("packets_in")?,
            packets_out: columns.number("packets_out")?,
            srtp: columns.maybe_text("srtp")?,
        };
        known.insert(columns.id("leg_id")?, quality);
    }
    for leg in legs {
        leg.quality = known.remove(&leg.leg_id).map(Box::new);
    }
    Ok(())
}

fn row((call, leg, quality): (CallId, LegId, LegQuality)) -> Vec<Value> {
    let hundredths = |number: Hundredths| u64::from(number.0);
    vec![
        Value::text(call),
        Value::text(leg),
        Value::maybe_number(quality.mos.map(hundredths)),
        Value::number(hundredths(quality.loss)),
        Value::maybe_number(quality.loss_out.map(hundredths)),
        Value::number(quality.jitter_ms.into()),
        Value::maybe_number(quality.rtt_ms.map(u64::from)),
        Value::number(quality.packets_in),
        Value::number(quality.packets_out),
        quality.srtp.into(),
    ]
}

const LEG_QUALITY: Table = Table {
    name: "leg_quality",
    columns: &[
        "call_id",
        "leg_id",
        "mos",
        "loss",
        "loss_out",
        "jitter_ms",
        "rtt_ms",
        "packets_in",
        "packets_out",
        "srtp",
    ],
    key: &["call_id", "leg_id"],
    fixed: &[],
};

#[cfg(test)]
mod tests {
    use super::super::SqliteStore;
    use super::*;
    use crate::ledger::entropy::Entropy;
    use crate::ledger::id::Tenant;
    use crate::ledger::journal::Entry;
    use crate::store::Store;
    use crate::store::accounting::tests::{call, ended, second};

    #[tokio::test]
    async fn a_leg_shows_how_it_sounded_and_a_poor_one_raises_an_event() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vats.db");
        let store = SqliteStore::open_file(&path, Entropy::from_number(1))
            .await
            .unwrap();
        let record = call(7, Some("+79161234567"), 0);
        let id = record.call_id;
        let leg = LegId::from_u128(id.as_u128() * 10);
        let quality = LegQuality {
            mos: Some(Hundredths(331)),
            loss: Hundredths(1003),
            loss_out: None,
            jitter_ms: 12,
            rtt_ms: Some(80),
            packets_in: 900,
            packets_out: 1000,
            srtp: Some("AEAD_AES_256_GCM".into()),
        };
        let poor = Entry::MediaPoor {
            tenant: Tenant::default(),
            call: id,
            leg,
            quality: Box::new(quality.clone()),
            at: second(3),
        };
        // It may be known before the leg's row is written, and is not lost when that is written again.
        store
            .apply(&[
                Entry::CallStarted(Box::new(record.clone())),
                poor,
                Entry::LegMeasured(id, leg, Box::new(quality.clone())),
            ])
            .await
            .unwrap();
        store.apply(&[ended(record, 9, true)]).await.unwrap();
        let detail = store.call(&Tenant::default(), id).await.unwrap().unwrap();
        assert_eq!(detail.legs[0].quality.as_deref(), Some(&quality));
        let shown = serde_json::to_value(&detail.legs[0]).unwrap();
        assert_eq!(shown["quality"]["mos"], 3.31);
        let body: String =
            sqlx::query_scalar("SELECT body FROM events WHERE type = 'media.quality'")
                .fetch_one(&store.writer)
                .await
                .unwrap();
        let event: serde_json::Value = serde_json::from_str(&body).unwrap();
        let data = &event["data"];
        assert_eq!(data["call_id"], id.to_string());
        assert_eq!(data["leg_id"], leg.to_string());
        assert_eq!((&data["mos"], &data["loss"]), (&3.31.into(), &10.03.into()));
        assert_eq!(
            (&data["jitter_ms"], &data["rtt_ms"]),
            (&12.into(), &80.into())
        );
    }
}
