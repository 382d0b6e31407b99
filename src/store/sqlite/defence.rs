//! Bans and what operators have talked to the outside: read at start, written with the batches.

use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::column::Columns;
use super::table::{Table, Value};
use crate::ledger::clock::Wall;
use crate::ledger::id::Name;
use crate::ledger::journal::{BanRecord, OutboundDay};
use crate::store::StoreError;
use crate::store::accounting::Effects;

impl SqliteStore {
    pub(super) async fn read_bans(&self, now: Wall) -> Result<Vec<BanRecord>, StoreError> {
        sqlx::query("DELETE FROM bans WHERE until <= ?")
            .bind(now.as_micros())
            .execute(&self.writer)
            .await?;
        let rows = sqlx::query("SELECT * FROM bans ORDER BY banned_at, address")
            .fetch_all(&self.writer)
            .await?;
        rows.iter()
            .map(|row| {
                let columns = Columns::of("bans", row);
                Ok(BanRecord {
                    tenant: columns.tenant()?,
                    address: columns.text("address")?,
                    reason: columns.text("reason")?,
                    failures: columns.number("failures")?,
                    users: columns.number("users")?,
                    banned_at: columns.wall("banned_at")?,
                    until: columns.wall("until")?,
                })
            })
            .collect()
    }

    pub(super) async fn read_outbound_days(
        &self,
        day: &str,
    ) -> Result<Vec<OutboundDay>, StoreError> {
        sqlx::query("DELETE FROM outbound_days WHERE day < ?")
            .bind(day)
            .execute(&self.writer)
            .await?;
        let rows = sqlx::query("SELECT * FROM outbound_days WHERE day = ? ORDER BY operator")
            .bind(day)
            .fetch_all(&self.writer)
            .await?;
        rows.iter()
            .map(|row| {
                let columns = Columns::of("outbound_days", row);
                Ok(OutboundDay {
                    tenant: columns.tenant()?,
                    operator: Name::from(columns.text("operator")?),
                    day: columns.text("day")?,
                    talked_ms: columns.number("talked_ms")?,
                })
            })
            .collect()
    }
}

/// Writes what a batch says of bans and outbound talk.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    for address in std::mem::take(&mut effects.unbanned) {
        sqlx::query("DELETE FROM bans WHERE address = ?")
            .bind(address)
            .execute(&mut *connection)
            .await?;
    }
    let bans = std::mem::take(&mut effects.bans).into_iter().map(ban_row);
    BANS.put(connection, bans.collect()).await?;
    let talked = std::mem::take(&mut effects.talked).into_iter().map(day_row);
    OUTBOUND_DAYS.put(connection, talked.collect()).await?;
    Ok(())
}

fn ban_row(ban: BanRecord) -> Vec<Value> {
    vec![
        Value::Text(ban.address),
        Value::text(&ban.tenant),
        Value::Text(ban.reason),
        Value::number(ban.failures.into()),
        Value::number(ban.users.into()),
        ban.banned_at.into(),
        ban.until.into(),
    ]
}

fn day_row(day: OutboundDay) -> Vec<Value> {
    vec![
        Value::text(&day.operator),
        Value::Text(day.day),
        Value::text(&day.tenant),
        Value::number(day.talked_ms),
    ]
}

const BANS: Table = Table {
    name: "bans",
    columns: &[
        "address",
        "tenant",
        "reason",
        "failures",
        "users",
        "banned_at",
        "until",
    ],
    key: &["address"],
    fixed: &[],
};

const OUTBOUND_DAYS: Table = Table {
    name: "outbound_days",
    columns: &["operator", "day", "tenant", "talked_ms"],
    key: &["operator", "day"],
    fixed: &[],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::entropy::Entropy;
    use crate::ledger::id::Tenant;
    use crate::ledger::journal::{BanEnd, Entry};
    use crate::store::Store;
    use crate::store::accounting::tests::second;

    fn ban(address: &str, until: i64) -> BanRecord {
        BanRecord {
            tenant: Tenant::default(),
            address: address.into(),
            reason: "12 failed log-ins of 7 users within 4 s".into(),
            failures: 12,
            users: 7,
            banned_at: second(0),
            until: second(until),
        }
    }

    fn day(operator: &str, day: &str, talked_ms: u64) -> OutboundDay {
        OutboundDay {
            tenant: Tenant::default(),
            operator: operator.into(),
            day: day.into(),
            talked_ms,
        }
    }

    #[tokio::test]
    async fn bans_and_talk_survive_until_they_are_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vats.db");
        let store = SqliteStore::open_file(&path, Entropy::from_number(1))
            .await
            .unwrap();
        let entries = [
            Entry::Banned(ban("192.0.2.1", 60)),
            Entry::Banned(ban("2001:db8::/64", 600)),
            Entry::Banned(ban("192.0.2.2", 600)),
            Entry::Unbanned {
                address: "192.0.2.2".into(),
                tenant: Tenant::default(),
                why: BanEnd::Expired,
                at: second(1),
            },
            Entry::OutboundTalked(day("anna", "2026-03-08", 5)),
            Entry::OutboundTalked(day("anna", "2026-03-08", 9)),
            Entry::OutboundTalked(day("boris", "2026-03-07", 7)),
            Entry::OutboundLimit {
                tenant: Tenant::default(),
                operator: "anna".into(),
                reason: "enough".into(),
                at: second(1),
            },
        ];
        store.apply(&entries).await.unwrap();
        assert_eq!(
            store.bans(second(60)).await.unwrap(),
            [ban("2001:db8::/64", 600)]
        );
        let today = store.outbound_days("2026-03-08").await.unwrap();
        assert_eq!(today, [day("anna", "2026-03-08", 9)]);
        let kinds: Vec<String> = sqlx::query_scalar("SELECT type FROM events ORDER BY position")
            .fetch_all(&store.writer)
            .await
            .unwrap();
        assert_eq!(kinds.len(), 5);
        assert_eq!(kinds[0], "security.banned");
        assert_eq!(kinds[3], "security.unbanned");
        assert_eq!(kinds[4], "security.outbound_limit");
    }
}
