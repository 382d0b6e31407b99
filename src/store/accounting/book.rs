//! The accounting itself, entry by entry.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::envelope::{CallData, RecordingData, event};
use super::{Effects, Known, MissedRow, StateRow};
use crate::ledger::call::{CallRecord, TraceLine};
use crate::ledger::cause::{CallResult, Direction, Flag};
use crate::ledger::clock::Wall;
use crate::ledger::entropy::Entropy;
use crate::ledger::event::EventType;
use crate::ledger::id::{CallId, LegId, Name, RecordingId, Tenant};
use crate::ledger::journal::{
    BanRecord, BindingRecord, Entry, OutboundDay, RecordingKind, RecordingRecord,
};
use crate::ledger::leg::LegRecord;
use crate::store::row::CallRow;

/// The last value by key, in the order of the keys' first appearance.
struct Latest<K, V> {
    places: HashMap<K, usize>,
    values: Vec<V>,
}

impl<K, V> Default for Latest<K, V> {
    fn default() -> Latest<K, V> {
        Latest {
            places: HashMap::new(),
            values: Vec::new(),
        }
    }
}

impl<K: std::hash::Hash + Eq, V> Latest<K, V> {
    fn set(&mut self, key: K, value: V) {
        match self
            .places
            .get(&key)
            .and_then(|at| self.values.get_mut(*at))
        {
            Some(slot) => *slot = value,
            None => {
                self.places.insert(key, self.values.len());
                self.values.push(value);
            }
        }
    }

    fn at(&self, key: &K) -> Option<&V> {
        self.places.get(key).and_then(|at| self.values.get(*at))
    }
}

/// The rows of a batch while it is accounted.
pub(super) struct Book<'a> {
    known: Known,
    entropy: &'a mut Entropy,
    effects: Effects,
    calls: Latest<CallId, CallRow>,
    legs: Latest<(CallId, LegId), (CallId, LegRecord)>,
    missed: Latest<CallId, MissedRow>,
    recordings: Latest<RecordingId, RecordingRecord>,
    bindings: BTreeMap<(Name, String), Option<BindingRecord>>,
    bans: BTreeMap<String, Option<BanRecord>>,
    talked: BTreeMap<(Name, String), OutboundDay>,
}

impl<'a> Book<'a> {
    pub(super) fn new(known: Known, entropy: &'a mut Entropy) -> Book<'a> {
        Book {
            known,
            entropy,
            effects: Effects::default(),
            calls: Latest::default(),
            legs: Latest::default(),
            missed: Latest::default(),
            recordings: Latest::default(),
            bindings: BTreeMap::new(),
            bans: BTreeMap::new(),
            talked: BTreeMap::new(),
        }
    }

    pub(super) fn enter(&mut self, entry: &Entry) -> Result<(), serde_json::Error> {
        match entry {
            Entry::CallStarted(call) => {
                self.begin_or_change(call, Some((EventType::CallStarted, call.arrived_at)))
            }
            Entry::CallAnswered(call) => {
                let at = call.answered_at.unwrap_or(call.arrived_at);
                self.begin_or_change(call, Some((EventType::CallAnswered, at)))
            }
            Entry::CallChanged(call) => self.begin_or_change(call, None),
            Entry::LegChanged(call, leg) => {
                self.legs.set((*call, leg.leg_id), (*call, (**leg).clone()));
                Ok(())
            }
            Entry::CallEnded { call, legs, trace } => self.end(call, legs, trace),
            Entry::RecordingStarted(recording) | Entry::RecordingChanged(recording) => {
                self.recordings
                    .set(recording.recording_id, recording.clone());
                Ok(())
            }
            Entry::RecordingEnded(recording) if recording.copy_due => {
                self.recordings
                    .set(recording.recording_id, recording.clone());
                Ok(())
            }
            Entry::RecordingEnded(recording) | Entry::RecordingCopied(recording) => {
                let length = Duration::from_millis(recording.duration_ms.unwrap_or(0));
                let kind = match recording.kind {
                    RecordingKind::Conversation => EventType::RecordingReady,
                    RecordingKind::Voicemail(_) => EventType::VoicemailLeft,
                };
                self.recording(recording, kind, recording.started_at + length)
            }
            Entry::RecordingFailed { recording, at } => {
                self.recording(recording, EventType::RecordingFailed, *at)
            }
            Entry::BindingSaved(binding) => {
                let key = (binding.operator.clone(), binding.contact.clone());
                self.bindings.insert(key, Some((**binding).clone()));
                Ok(())
            }
            Entry::BindingRemoved { operator, contact } => {
                self.bindings
                    .insert((operator.clone(), contact.clone()), None);
                Ok(())
            }
            Entry::Alive(at) => {
                self.effects.alive = self.effects.alive.max(Some(*at));
                Ok(())
            }
            Entry::OperatorState { .. }
            | Entry::TrunkState { .. }
            | Entry::ConfigReloaded { .. } => self.state(entry),
            Entry::PlanLoaded { plan_version } => {
                self.effects.plan_version = Some(*plan_version);
                Ok(())
            }
            Entry::MessageHeard { recording_id, at } => {
                self.effects.heard.push((*recording_id, *at));
                Ok(())
            }
            Entry::Banned(_)
            | Entry::Unbanned { .. }
            | Entry::OutboundTalked(_)
            | Entry::OutboundLimit { .. } => self.security(entry),
            Entry::LegMeasured(call, leg, quality) => {
                let measured = (*call, *leg, (**quality).clone());
                self.effects.quality.push(measured);
                Ok(())
            }
            Entry::MediaPoor {
                tenant,
                call,
                leg,
                quality,
                at,
            } => {
                let data = serde_json::json!({
                    "tenant": tenant, "call_id": call, "leg_id": leg, "mos": quality.mos,
                    "loss": quality.loss.max(quality.loss_out.unwrap_or_default()),
                    "jitter_ms": quality.jitter_ms, "rtt_ms": quality.rtt_ms, "at": at,
                });
                let kind = EventType::MediaQuality;
                let event = event(kind, tenant, *at, Some(*call), data, self.entropy)?;
                self.effects.events.push(event);
                Ok(())
            }
        }
    }

    fn begin_or_change(
        &mut self,
        call: &CallRecord,
        raise: Option<(EventType, Wall)>,
    ) -> Result<(), serde_json::Error> {
        if self.known.ended.contains(&call.call_id) {
            return Ok(());
        }
        let row = CallRow {
            record: call.clone(),
            repeat_of: None,
        };
        if let Some((kind, at)) = raise {
            self.raise_call(kind, at, CallData::plain(&row))?;
        }
        self.calls.set(call.call_id, row);
        Ok(())
    }

    fn end(
        &mut self,
        call: &CallRecord,
        legs: &[LegRecord],
        trace: &[TraceLine],
    ) -> Result<(), serde_json::Error> {
        if !self.known.ended.insert(call.call_id) {
            return Ok(());
        }
        let ended_at = call.ended_at.unwrap_or(call.arrived_at);
        let mut row = CallRow {
            record: call.clone(),
            repeat_of: None,
        };
        if call.direction == Direction::Inbound {
            self.mark_repeat(&mut row);
        }
        self.raise_call(EventType::CallEnded, ended_at, CallData::plain(&row))?;
        if call.result == Some(CallResult::Missed) {
            row.record.sequence += 1;
            self.raise_call(EventType::CallMissed, ended_at, CallData::plain(&row))?;
            self.open_missed(&row.record, ended_at);
        }
        if call.result == Some(CallResult::Answered) {
            self.recover(&mut row)?;
        }
        for leg in legs {
            self.legs
                .set((call.call_id, leg.leg_id), (call.call_id, leg.clone()));
        }
        self.effects.traces.push((call.call_id, trace.to_vec()));
        self.calls.set(call.call_id, row);
        Ok(())
    }

    /// The caller's open missed calls that ended before this one arrived make it a repeat of the latest of them.
    fn mark_repeat(&self, row: &mut CallRow) {
        let record = &mut row.record;
        let Some(party) = &record.party else { return };
        let open = self
            .known
            .missed
            .get(&(record.tenant.clone(), party.clone()));
        let earlier = open
            .into_iter()
            .flatten()
            .filter(|missed| missed.missed_at <= record.arrived_at)
            .max_by_key(|missed| (missed.missed_at, missed.call_id));
        if let Some(earlier) = earlier {
            row.repeat_of = Some(earlier.call_id);
            if !record.flags.contains(&Flag::RepeatOf) {
                record.flags.push(Flag::RepeatOf);
            }
        }
    }

    fn open_missed(&mut self, call: &CallRecord, missed_at: Wall) {
        let mut missed = MissedRow {
            call_id: call.call_id,
            tenant: call.tenant.clone(),
            caller: call.party.clone(),
            missed_at,
            latest: true,
            recovered_at: None,
            recovered_by: None,
        };
        let Some(party) = &call.party else {
            self.missed.set(missed.call_id, missed);
            return;
        };
        let open = self
            .known
            .missed
            .entry((call.tenant.clone(), party.clone()))
            .or_default();
        for earlier in open.iter_mut().filter(|earlier| earlier.latest) {
            if (earlier.missed_at, earlier.call_id) > (missed.missed_at, missed.call_id) {
                missed.latest = false;
            } else {
                earlier.latest = false;
                self.missed.set(earlier.call_id, earlier.clone());
            }
        }
        open.push(missed.clone());
        self.missed.set(missed.call_id, missed);
    }

    /// An answered contact closes the party's missed calls that ended before a person accepted.
    fn recover(&mut self, row: &mut CallRow) -> Result<(), serde_json::Error> {
        let record = &row.record;
        let (Some(party), Some(answered_at)) = (&record.party, record.answered_at) else {
            return Ok(());
        };
        let key = (record.tenant.clone(), party.clone());
        let Some(open) = self.known.missed.remove(&key) else {
            return Ok(());
        };
        let (recovered, open): (Vec<MissedRow>, Vec<MissedRow>) = open
            .into_iter()
            .partition(|missed| missed.missed_at <= answered_at);
        self.known.missed.insert(key, open);
        let Some(first) = recovered.iter().map(|missed| missed.missed_at).min() else {
            return Ok(());
        };
        let calls: Vec<CallId> = recovered.iter().map(|missed| missed.call_id).collect();
        for mut missed in recovered {
            missed.recovered_at = Some(answered_at);
            missed.recovered_by = Some(record.call_id);
            self.missed.set(missed.call_id, missed);
        }
        let after_micros = answered_at.as_micros() - first.as_micros();
        row.record.sequence += 1;
        let data = CallData {
            recovered_calls: Some(calls),
            recovered_after_ms: Some(after_micros / 1_000),
            ..CallData::plain(row)
        };
        let at = row.record.ended_at.unwrap_or(answered_at);
        self.raise_call(EventType::CallRecovered, at, data)
    }

    fn recording(
        &mut self,
        recording: &RecordingRecord,
        kind: EventType,
        at: Wall,
    ) -> Result<(), serde_json::Error> {
        let call = self
            .calls
            .at(&recording.call_id)
            .or_else(|| self.known.rows.get(&recording.call_id));
        let data = RecordingData::new(recording, call.map(|row| &row.record));
        let event = event(
            kind,
            &recording.tenant,
            at,
            Some(recording.call_id),
            data,
            self.entropy,
        )?;
        self.effects.events.push(event);
        self.recordings
            .set(recording.recording_id, recording.clone());
        Ok(())
    }

    fn state(&mut self, entry: &Entry) -> Result<(), serde_json::Error> {
        let (kind, tenant, at, data) = match entry {
            Entry::OperatorState {
                tenant,
                operator,
                state,
                at,
            } => {
                let data = serde_json::json!({"tenant": tenant, "operator": operator, "state": state, "at": at});
                self.effects
                    .operators
                    .push(state_row(tenant, operator, state, None, *at));
                (EventType::OperatorState, tenant, *at, data)
            }
            Entry::TrunkState {
                tenant,
                trunk,
                state,
                reason,
                at,
            } => {
                let data = serde_json::json!({"tenant": tenant, "trunk": trunk, "state": state, "reason": reason, "at": at});
                let row = state_row(tenant, trunk, state, reason.clone(), *at);
                self.effects.trunks.push(row);
                (EventType::TrunkState, tenant, *at, data)
            }
            Entry::ConfigReloaded {
                tenant,
                plan_version,
                at,
            } => {
                let data =
                    serde_json::json!({"tenant": tenant, "plan_version": plan_version, "at": at});
                self.effects.plan_version = Some(*plan_version);
                (EventType::ConfigReloaded, tenant, *at, data)
            }
            _ => return Ok(()),
        };
        let event = event(kind, tenant, at, None, data, self.entropy)?;
        self.effects.events.push(event);
        Ok(())
    }

    fn security(&mut self, entry: &Entry) -> Result<(), serde_json::Error> {
        let (kind, tenant, at, data) = match entry {
            Entry::Banned(ban) => {
                self.bans.insert(ban.address.clone(), Some(ban.clone()));
                let data = serde_json::to_value(ban)?;
                (EventType::SecurityBanned, &ban.tenant, ban.banned_at, data)
            }
            Entry::OutboundLimit {
                tenant,
                operator,
                reason,
                at,
            } => {
                let data = serde_json::json!({"tenant": tenant, "operator": operator, "reason": reason, "at": at});
                (EventType::SecurityOutboundLimit, tenant, *at, data)
            }
            Entry::Unbanned {
                address,
                tenant,
                why,
                at,
            } => {
                self.bans.insert(address.clone(), None);
                let data =
                    serde_json::json!({"tenant": tenant, "address": address, "why": why, "at": at});
                (EventType::SecurityUnbanned, tenant, *at, data)
            }
            Entry::OutboundTalked(day) => {
                let key = (day.operator.clone(), day.day.clone());
                self.talked.insert(key, day.clone());
                return Ok(());
            }
            _ => return Ok(()),
        };
        let event = event(kind, tenant, at, None, data, self.entropy)?;
        self.effects.events.push(event);
        Ok(())
    }

    fn raise_call(
        &mut self,
        kind: EventType,
        at: Wall,
        data: CallData<'_>,
    ) -> Result<(), serde_json::Error> {
        let (tenant, call) = (&data.row.record.tenant, data.row.record.call_id);
        let event = event(kind, tenant, at, Some(call), &data, self.entropy)?;
        self.effects.events.push(event);
        Ok(())
    }

    pub(super) fn finish(self) -> Effects {
        let mut effects = self.effects;
        effects.calls = self.calls.values;
        effects.legs = self.legs.values;
        effects.missed = self.missed.values;
        effects.recordings = self.recordings.values;
        for (key, binding) in self.bindings {
            match binding {
                Some(binding) => effects.bindings.push(binding),
                None => effects.unbound.push(key),
            }
        }
        for (address, ban) in self.bans {
            match ban {
                Some(ban) => effects.bans.push(ban),
                None => effects.unbanned.push(address),
            }
        }
        effects.talked = self.talked.into_values().collect();
        effects
    }
}

fn state_row(
    tenant: &Tenant,
    name: &Name,
    state: &str,
    reason: Option<String>,
    at: Wall,
) -> StateRow {
    StateRow {
        tenant: tenant.clone(),
        name: name.clone(),
        state: state.to_owned(),
        reason,
        at,
    }
}
