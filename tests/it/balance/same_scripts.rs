//! `place.lua` and `settle.lua` are written for speed. Beside each stands a plain script, in
//! `reference`, and both must give the same answers and leave the same state in Redis.
//!
//! Random steps run on two accounts, one by the scripts of the service, one by the plain scripts. The
//! time is an argument: both scripts of a step read the same.

use super::same_steps::{Scenario, Step, TICKET};
use crate::harness::redis_database::RedisDatabase;
use crate::harness::servers::Servers;
use callmeter::balance::scripts::{Name, keys};
use callmeter_core::domain::AccountId;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Script, Value};
use std::collections::BTreeMap;

const SCENARIOS: u64 = 600;
const STEPS: usize = 12;

/// Gives a script its last argument as Redis's clock, in micro-seconds.
const CLOCK: &str = "
local server, now = redis, table.remove(ARGV)
local redis = { call = function(name, ...)
  if name == 'TIME' then return { string.sub(now, 1, -7), string.sub(now, -6) } end
  return server.call(name, ...)
end }
";

const PLACE: &str = concat!(
    include_str!("reference/common.lua"),
    include_str!("reference/grant.lua"),
    include_str!("reference/place.lua")
);
const SETTLE: &str =
    concat!(include_str!("reference/common.lua"), include_str!("reference/settle.lua"));

/// For each key, its members in order, the milli-seconds that it lives, and until when the wallet is
/// quiet, which only the service's scripts note.
const LOOK: &str = "
local found = {}
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  local members = {}
  if kind == 'hash' then
    local words = redis.call('HGETALL', key)
    for at = 1, #words, 2 do
      if words[at] ~= 'quiet_until' then members[#members + 1] = words[at] .. '=' .. words[at + 1] end
    end
  elseif kind == 'zset' then
    members = { table.concat(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), ' ') }
  elseif kind == 'set' then
    members = redis.call('SMEMBERS', key)
  elseif kind == 'string' then
    members = { redis.call('GET', key) }
  end
  table.sort(members)
  found[#found + 1] = { kind .. ': ' .. table.concat(members, ', '), redis.call('PTTL', key),
    kind == 'hash' and redis.call('HGET', key, 'quiet_until') or '' }
end
return found";

/// The number of the key of expiries.
const EXPIRIES: usize = 2;

/// Milli-seconds between two commands that set the same expiry.
const PAUSE_MILLIS_MAX: u64 = 100_000;

/// One account, and the scripts that run on it.
struct Side {
    keys: [String; 9],
    scripts: BTreeMap<&'static str, Script>,
}

impl Side {
    fn new(id: &str, place: &str, settle: &str) -> Side {
        let scripts = [
            ("place", place),
            ("settle", settle),
            ("load", Name::Load.text()),
            ("void", Name::Void.text()),
        ];
        Side {
            keys: keys(&AccountId::parse(id).expect("an id")),
            scripts: scripts
                .map(|(name, text)| (name, Script::new(&format!("{CLOCK}{text}"))))
                .into(),
        }
    }

    fn command(&self, step: &Step) -> Cmd {
        match step {
            Step::Run(name, arguments) => {
                let mut command = redis::cmd("EVALSHA");
                command.arg(self.scripts[word(*name)].get_hash());
                command.arg(self.keys.len()).arg(&self.keys).arg(arguments);
                command
            }
            Step::Announce(index, text) => Cmd::set(&self.keys[*index], *text),
            // While the wallet is quiet, the service does not miss its expiries: `projections` has that.
            Step::Lose(EXPIRIES) => self.unquiet("redis.call('DEL', KEYS[3])"),
            Step::Lose(index) => Cmd::del(&self.keys[*index]),
            // A wallet that was not looked at for long is not quiet.
            Step::LeaveSoon => self.unquiet("redis.call('EXPIRE', KEYS[1], 1000)"),
        }
    }

    /// Does something to a wallet that is not quiet.
    fn unquiet(&self, what: &str) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(format!("redis.call('HDEL', KEYS[1], 'quiet_until') return {what}"));
        command.arg(self.keys.len()).arg(&self.keys);
        command
    }
}

fn word(name: Name) -> &'static str {
    match name {
        Name::Place => "place",
        Name::Settle => "settle",
        Name::Load => "load",
        Name::Void => "void",
        other => panic!("no step runs {other:?}"),
    }
}

struct Sides {
    connection: MultiplexedConnection,
    service: Side,
    plain: Side,
    look: Script,
    /// How often each answer was given.
    answers: BTreeMap<String, u32>,
}

impl Sides {
    /// Runs the steps of one seed, and compares the answers and the state after each.
    async fn run(&mut self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut scenario = Scenario::new(&mut random);
        let steps: Vec<Step> = (0..STEPS).map(|_| scenario.step()).collect();
        let keys = [&self.service.keys[..], &self.plain.keys[..]].concat();
        let mut pipeline = redis::pipe();
        pipeline.del(&keys).ignore();
        for side in [&self.service, &self.plain] {
            pipeline.add_command(side.command(&Step::Announce(8, TICKET))).ignore();
        }
        for step in &steps {
            pipeline.add_command(self.service.command(step));
            pipeline.add_command(self.plain.command(step));
            pipeline.cmd("EVALSHA").arg(self.look.get_hash()).arg(keys.len()).arg(&keys);
        }
        let answers: Result<Vec<Value>, _> = pipeline.query_async(&mut self.connection).await;
        let answers = answers.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{steps:#?}"));
        let mut now_micros = 0;
        for (at, answers) in answers.chunks(3).enumerate() {
            let [service, plain, state] = answers else { panic!("three answers to a step") };
            let so_far = || format!("seed {seed}, after {:#?}", &steps[..=at]);
            // Nobody reads why settle did not know a wallet; with two reasons, each gives its own.
            let are_unknown =
                || [service, plain].iter().all(|it| first_words(it).starts_with("unknown "));
            let is_settle = matches!(&steps[at], Step::Run(Name::Settle, _));
            assert!(
                service == plain || is_settle && are_unknown(),
                "{service:?}, and should be {plain:?}, {}",
                so_far()
            );
            let state: Vec<(String, i64, String)> =
                redis::from_redis_value(state.clone()).expect("a state");
            let (service_keys, plain_keys) = state.split_at(self.service.keys.len());
            if let Step::Run(_, arguments) = &steps[at] {
                let micros = |text: &String| text.parse::<i64>().expect("a time");
                now_micros = micros(&arguments[2]) + arguments.last().map_or(0, micros);
            }
            let quiet_until: Option<i64> = service_keys[0].2.parse().ok();
            let first_expiry: Option<i64> =
                service_keys[2].0.split(' ').nth(2).and_then(|score| score.parse().ok());
            assert!(
                quiet_until.is_none() || first_expiry.is_none() || quiet_until <= first_expiry,
                "a hold is due while the wallet is quiet, {}",
                so_far()
            );
            // A wallet begins a new life when holds are looked at, which is when it is not quiet.
            let is_looked_at_next = quiet_until.is_none_or(|until| until <= now_micros);
            for (key, (ours, theirs)) in service_keys.iter().zip(plain_keys).enumerate() {
                assert_eq!(ours.0, theirs.0, "{}", so_far());
                // Redis forgets no bucket while only the time of the steps passes; where one comes
                // round again, the plain settle lets it live anew.
                let is_bucket = (3..7).contains(&key) && ours.1.signum() == theirs.1.signum();
                let are_close = ours.1.abs_diff(theirs.1) < PAUSE_MILLIS_MAX;
                let is_wallet = key == 0
                    && ours.1.signum() == theirs.1.signum()
                    && (ours.1 > theirs.1 || is_looked_at_next);
                assert!(is_bucket || are_close || is_wallet, "{ours:?}, {theirs:?}, {}", so_far());
            }
            if let Step::Run(name, _) = &steps[at] {
                let answer = format!("{} {}", word(*name), first_words(service));
                *self.answers.entry(answer).or_default() += 1;
            }
        }
    }
}

/// What kind of answer it is.
fn first_words(answer: &Value) -> String {
    let Value::Array(values) = answer else { panic!("{answer:?} is no list") };
    let words = values.iter().take(2).map(|value| match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Int(number) => number.min(&2).to_string(),
        other => panic!("{other:?} is no word"),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_fast_scripts_do_what_the_plain_ones_do_in_thousands_of_random_states() {
    let database = RedisDatabase::take(&Servers::shared().redis_url);
    let client = redis::Client::open(database.url.as_str()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let service = Side::new("service", Name::Place.text(), Name::Settle.text());
    let plain = Side::new("plain", PLACE, SETTLE);
    let look = Script::new(LOOK);
    let scripts = service.scripts.values().chain(plain.scripts.values());
    for script in scripts.chain([&look]) {
        script.load_async(&mut connection).await.expect("the script compiles");
    }
    let mut sides = Sides { connection, service, plain, look, answers: BTreeMap::new() };
    for seed in 0..SCENARIOS {
        sides.run(seed).await;
    }

    for answer in [
        "place held 0",
        "place held 1",
        "place denied account_closed",
        "place denied allowance_exhausted",
        "place denied budget_exceeded",
        "place denied call_already_settled",
        "place denied destination_blocked",
        "place denied insufficient_funds",
        "place denied too_many_calls",
        "place stale r1",
        "place unsure",
        "place unknown absent",
        "place unknown epoch",
        "place unknown incarnation",
        "place unknown moved",
        "place unknown torn",
        "settle projected 0",
        "settle projected 1",
        "settle projected 2",
        "settle gap 2",
        "settle newer 2",
        "settle stale 2",
        "settle unknown absent",
        "settle unknown epoch",
        "settle unknown incarnation",
        "settle unknown torn",
    ] {
        let times = sides.answers.get(answer).copied().unwrap_or_default();
        assert!(times >= 5, "{answer}: {times} times, of {:#?}", sides.answers);
    }
}
