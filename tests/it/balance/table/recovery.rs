//! The commands that restore what Redis lost.

use super::{Table, Words};
use callmeter::balance::scripts::{Announce, Holds, Missing, Remember, Restore, Restored};
use callmeter::balance::{GrantedBy, Hold};
use callmeter_core::domain::{CallSid, Money};
use std::collections::BTreeSet;

impl Table {
    /// Changes the journal's hold of a call to a larger one, granted while Redis was away.
    pub(in crate::balance) fn granted_without_redis(&mut self, call_sid: &str) {
        let any = self.journal.values().next().expect("a hold").clone();
        let revision = any.revision + 60_000_000;
        let money = Money::from_micros(28_000);
        let hold = Hold { revision, money, granted_by: GrantedBy::Postgres, ..any };
        self.journal.insert(CallSid::parse(call_sid).expect("a sid"), hold);
    }

    pub(super) async fn announce(&self) -> String {
        let announce = Announce { account: &self.account };
        let answer = self.link.run(&announce, self.incarnation, self.offset_micros).await;
        answer.expect("an answer")
    }

    /// Restores the journal's hold of a call.
    pub(super) async fn restore(&self, words: &Words<'_>) -> String {
        let call_sid = CallSid::parse(words.plain[1]).expect("a sid");
        let hold = &self.journal[&call_sid];
        let restore = Restore { account: &self.account, call_sid: &call_sid, hold };
        let answer = self.link.run(&restore, self.incarnation, self.offset_micros).await;
        match answer.expect("an answer") {
            Restored::Restored { beyond } => format!("restored beyond={}", beyond.micros()),
            Restored::Standing => "standing".to_owned(),
            Restored::Over => "over".to_owned(),
            Restored::Unknown => "unknown".to_owned(),
        }
    }

    pub(super) async fn missing(&self, words: &Words<'_>) -> String {
        let missing = Missing { account: &self.account, call_sids: &words.sids(1) };
        let answer = self.link.run(&missing, self.incarnation, self.offset_micros).await;
        answer.expect("an answer").join(" ")
    }

    /// Reads all holds, about this many at a time.
    pub(super) async fn holds(&self, words: &Words<'_>) -> String {
        let (mut cursor, mut found) = (Some("0".to_owned()), BTreeSet::new());
        while let Some(at) = cursor {
            let count = words.plain[1].parse().expect("a number");
            let holds = Holds { account: &self.account, cursor: &at, count };
            let answer = self.link.run(&holds, self.incarnation, self.offset_micros).await;
            let some = answer.expect("an answer");
            cursor = some.cursor;
            for (sid, hold) in some.holds {
                assert_eq!(self.journal[sid.as_str()], hold);
                found.insert(sid);
            }
        }
        found.into_iter().collect::<Vec<_>>().join(" ")
    }

    pub(super) async fn remember(&self, words: &Words<'_>) -> String {
        let (unsure, next) = (words.named["unsure"], words.named.get("next").copied());
        let settled = &words.sids(1);
        let remember = Remember { account: &self.account, unsure, next, settled };
        let answer = self.link.run(&remember, self.incarnation, self.offset_micros).await;
        if answer.expect("an answer") { "remembered" } else { "others" }.to_owned()
    }
}
