//! How a script is called: its keys, its arguments, and its digest.

use std::sync::{Arc, LazyLock};

use callmeter_core::domain::AccountId;
use redis::{Cmd, Script, ToRedisArgs, Value};

use crate::balance::model::BalanceError;

/// The grant in Lua, for the test that it equals the Rust function.
pub const GRANT: &str = include_str!("grant.lua");

/// What follows the wallet's key in each key of an account.
const KEY_PARTS: [&str; 9] = ["", ":h", ":x", ":t0", ":t1", ":t2", ":t3", ":v", ":l"];
/// Words and bytes of a usual command, so that it is written without growing.
const ARGUMENTS_USUAL: usize = 24;
const BYTES_USUAL: usize = 640;

/// A script, and the digest by which Redis is asked to run it.
#[derive(Debug)]
struct Source {
    text: &'static str,
    script: Script,
}

macro_rules! scripts {
    ($($name:ident: $($part:literal),+;)+) => {
        /// The scripts, each by its caller.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Name {
            $(#[doc = concat!("[`", stringify!($name), "`](super::", stringify!($name), ")")] $name),+
        }

        /// Assembled on first use, in the order of their names.
        static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
            let texts = [$(concat!($(include_str!($part), "\n"),+)),+];
            texts.map(|text| Source { text, script: Script::new(text) }).into()
        });
    };
}

scripts! {
    Announce: "common.lua", "announce.lua";
    Place: "common.lua", "wallet.lua", "grant.lua", "place.lua";
    Extend: "common.lua", "wallet.lua", "write_hold.lua", "grant.lua", "extend.lua";
    Void: "common.lua", "wallet.lua", "projection.lua", "void.lua";
    Settle: "common.lua", "wallet.lua", "projection.lua", "settle.lua";
    Expire: "common.lua", "wallet.lua", "expire.lua";
    Load: "common.lua", "wallet.lua", "write_hold.lua", "projection.lua", "load.lua";
    Holds: "common.lua", "wallet.lua", "holds.lua";
    Missing: "common.lua", "wallet.lua", "projection.lua", "missing.lua";
    Remember: "common.lua", "wallet.lua", "projection.lua", "remember.lua";
    Restore: "common.lua", "wallet.lua", "write_hold.lua", "restore.lua";
}

impl Name {
    /// The script's whole text.
    pub fn text(self) -> &'static str {
        SOURCES[self as usize].text
    }
}

/// Commands that load every script into Redis, so that each can be called by its digest.
pub(crate) fn teach() -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    for source in SOURCES.iter() {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(source.text).ignore();
    }
    pipeline
}

/// The arguments that every script gets.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// `run_id` of the Redis server at the other end of the connection.
    pub epoch: Arc<str>,
    /// Incarnation of the ledger.
    pub incarnation: i64,
    /// Micro-seconds added to Redis's clock; 0 in production.
    pub offset_micros: i64,
}

/// A call of one script for one account.
pub trait Request {
    /// The script's answer.
    type Reply;

    /// The script.
    const SCRIPT: Name;

    /// How many of the account's keys it is given: the first ones.
    const KEYS: usize = 9;

    /// The account whose keys it works on.
    fn account(&self) -> &AccountId;

    /// Adds its own arguments, after the stamp.
    fn arguments(&self, command: &mut Cmd);

    /// Reads its answer.
    ///
    /// # Errors
    /// `Unreadable` if the answer breaks the script's contract.
    fn read(value: Value) -> Result<Self::Reply, BalanceError>;

    /// The command.
    fn command(&self, stamp: &Stamp) -> Cmd {
        let mut command = Cmd::with_capacity(ARGUMENTS_USUAL, BYTES_USUAL);
        command.arg("EVALSHA").arg(SOURCES[Self::SCRIPT as usize].script.get_hash());
        command.arg(Self::KEYS);
        let mut key = wallet_key(self.account());
        let wallet_length = key.len();
        for part in &KEY_PARTS[..Self::KEYS] {
            key.truncate(wallet_length);
            key.push_str(part);
            command.arg(&key);
        }
        command.arg(&*stamp.epoch).arg(stamp.incarnation).arg(stamp.offset_micros);
        self.arguments(&mut command);
        command
    }
}

/// The keys of an account, all in the slot of its hash tag, in the order of `common.lua`.
pub fn keys(account: &AccountId) -> [String; 9] {
    let wallet = wallet_key(account);
    KEY_PARTS.map(|part| format!("{wallet}{part}"))
}

fn wallet_key(account: &AccountId) -> String {
    format!("cm:{{{account}}}")
}

/// Adds a list: the number of its members, then each member.
pub(super) fn list<T: ToRedisArgs>(command: &mut Cmd, members: impl ExactSizeIterator<Item = T>) {
    command.arg(members.len());
    for member in members {
        command.arg(member);
    }
}

/// Adds a list of pairs, counted by their words.
pub(super) fn pairs<A: ToRedisArgs, B: ToRedisArgs>(
    command: &mut Cmd,
    members: impl ExactSizeIterator<Item = (A, B)>,
) {
    command.arg(members.len() * 2);
    for (first, second) in members {
        command.arg(first).arg(second);
    }
}
