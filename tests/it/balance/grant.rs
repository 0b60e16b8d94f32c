//! The grant in Lua equals the Rust function.

use crate::harness::redis_database::RedisDatabase;
use crate::harness::servers::Servers;
use callmeter::balance::scripts::GRANT;
use callmeter_core::domain::{Increments, Money, RatePerMinute};
use callmeter_core::rating::{
    GrantOutcome, GrantTerms, Pool, grant_allowance_seconds, grant_seconds,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const INPUTS: usize = 100_000;
const INPUTS_PER_CALL: usize = 1_000;

/// Computes the grant for each input in ARGV, nine words each; returns a line for each. Without a
/// budget the third is a dash.
const ASK: &str = "
local answers = {}
for at = 1, #ARGV, 9 do
  local n = {}
  for index = 0, 8 do n[index + 1] = tonumber(ARGV[at + index]) end
  local granted, shortfall, is_over = grant(n[1], n[2], n[3], n[4], n[5], n[6], n[7] == 1, n[8], n[9])
  if granted then
    answers[#answers + 1] = string.format('%.0f %.0f %.0f %.0f %s', granted.granted,
      granted.attainable, granted.allowance, granted.held, granted.final)
  elseif is_over then
    answers[#answers + 1] = string.format('over %.0f', shortfall)
  else
    answers[#answers + 1] = string.format('refused %.0f', shortfall)
  end
end
return answers";

#[derive(Clone, Copy, Debug)]
struct Input {
    allowance: u64,
    money: i64,
    budget: Option<i64>,
    rate: i64,
    initial: u32,
    increment: u32,
    block: bool,
    asked: u32,
    cap: u32,
}

impl Input {
    /// Small and huge numbers, and numbers near the limits of the formula.
    fn draw(random: &mut StdRng) -> Input {
        let cap = pick(random, &[0, 1, 59, 60, 61, 3_600, 14_400, 86_400], 86_400);
        let rate = match random.random_range(0..6) {
            0 => 0,
            1 => random.random_range(1..100),
            2 => 10_000_000_000,
            3 => random.random_range(1..=10_000_000_000),
            _ => random.random_range(1_000..200_000),
        };
        let initial = pick(random, &[1, 6, 30, 60, 3_600], 3_600).max(1);
        let increment = pick(random, &[1, 6, 60, 3_600], 3_600).max(1);
        let price = rate * i64::from(random.random_range(0..20_000_u32)) / 60;
        let money = match random.random_range(0..5) {
            0 => random.random_range(-9_007_000_000_000_000..9_007_000_000_000_000),
            1 => random.random_range(-100..100),
            _ => price + random.random_range(-2..=2),
        };
        let allowance = match random.random_range(0..4) {
            0 => 0,
            1 => random.random_range(0..200),
            2 => random.random_range(0..90_100),
            _ => random.random_range(0..60_000_000_000),
        };
        let asked = match random.random_range(0..3) {
            0 => cap,
            1 => random.random_range(0..400),
            _ => random.random_range(0..100_000),
        };
        let block = random.random_range(0..8) == 0;
        let budget = match random.random_range(0..6) {
            0 => Some(random.random_range(-9_007_000_000_000_000..9_007_000_000_000_000)),
            1 => Some(random.random_range(-2..=2)),
            2 => Some(rate * i64::from(random.random_range(0..20_000_u32)) / 60),
            _ => None,
        };
        Input { allowance, money, budget, rate, initial, increment, block, asked, cap }
    }

    fn arguments(&self) -> [String; 9] {
        let allowance = i64::try_from(self.allowance).expect("below 2^53");
        let (initial, increment) = (i64::from(self.initial), i64::from(self.increment));
        let (block, asked, cap) = (self.block.into(), self.asked.into(), self.cap.into());
        let budget = self.budget.map_or_else(|| "-".to_owned(), |left| left.to_string());
        let [allowance, money, rate, initial, increment, block, asked, cap] =
            [allowance, self.money, self.rate, initial, increment, block, asked, cap]
                .map(|number| number.to_string());
        [allowance, money, budget, rate, initial, increment, block, asked, cap]
    }

    /// The core's result, as a line.
    fn expected(&self) -> String {
        let terms = GrantTerms {
            rate: RatePerMinute::from_micros(self.rate).expect("a rate"),
            increments: Increments::new(self.initial, self.increment).expect("increments"),
        };
        let pool = Pool {
            allowance_seconds: self.allowance,
            money: Money::from_micros(self.money),
            budget: self.budget.map(Money::from_micros),
        };
        let outcome = if self.block {
            grant_allowance_seconds(pool, terms, self.asked, self.cap)
        } else {
            grant_seconds(pool, terms, self.asked, self.cap)
        };
        match outcome {
            GrantOutcome::Granted(grant) => format!(
                "{} {} {} {} {}",
                grant.granted_seconds,
                grant.attainable_seconds,
                grant.allowance_seconds,
                grant.hold.micros(),
                u8::from(grant.is_final)
            ),
            GrantOutcome::Refused { shortfall } => format!("refused {}", shortfall.micros()),
            GrantOutcome::OverBudget => "over 0".to_owned(),
        }
    }
}

fn pick(random: &mut StdRng, edges: &[u32], most: u32) -> u32 {
    match random.random_range(0..2) {
        0 => edges[random.random_range(0..edges.len())],
        _ => random.random_range(0..=most),
    }
}

#[tokio::test]
async fn the_grant_in_lua_equals_the_core_on_a_hundred_thousand_inputs() {
    let database = RedisDatabase::take(&Servers::shared().redis_url);
    let client = redis::Client::open(database.url.as_str()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let script = redis::Script::new(&format!("{GRANT}\n{ASK}"));
    let mut random = StdRng::seed_from_u64(4);
    let (mut granted, mut refused, mut over, mut split) = (0, 0, 0, 0);
    for _ in 0..INPUTS / INPUTS_PER_CALL {
        let inputs: Vec<Input> = (0..INPUTS_PER_CALL).map(|_| Input::draw(&mut random)).collect();
        let mut invocation = script.prepare_invoke();
        for number in inputs.iter().flat_map(Input::arguments) {
            invocation.arg(number);
        }
        let answers: Vec<String> = invocation.invoke_async(&mut connection).await.expect("answers");
        assert_eq!(answers.len(), inputs.len());
        for (input, answer) in inputs.iter().zip(answers) {
            assert_eq!(answer, input.expected(), "{input:?}");
            match answer.split(' ').collect::<Vec<_>>()[..] {
                ["refused", _] => refused += 1,
                ["over", _] => over += 1,
                [_, _, allowance, held, _] if allowance != "0" && held != "0" => split += 1,
                _ => granted += 1,
            }
        }
    }
    let kinds = [granted, refused, over, split];
    assert!(kinds.iter().all(|count| *count > 1_000), "every kind was drawn: {kinds:?}");
}
