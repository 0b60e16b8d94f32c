//! Random draws: shares, call lengths, accounts. Only whole numbers, so that one seed gives the
//! same traffic on every machine.

use std::str::FromStr;

use rand::RngExt;
use rand::rngs::StdRng;

/// Parts of a [`Share`] in a whole.
const MILLION: u32 = 1_000_000;

/// A share of a whole between 0 and 1, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// None.
    pub const NONE: Self = Self(0);

    /// `count` of a million.
    ///
    /// # Panics
    /// If `count` is more than a million.
    pub const fn per_million(count: u32) -> Self {
        assert!(count <= MILLION, "a share is at most the whole");
        Self(count)
    }

    /// Draws whether this case hits; true in this share of the cases.
    pub fn hits(self, random: &mut StdRng) -> bool {
        self.0 > 0 && random.random_range(0..MILLION) < self.0
    }
}

/// Why a text is not a [`Share`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a share between 0 and 1, such as 0.05 or 5%, with at most 6 decimal places")]
pub struct ShareError;

impl FromStr for Share {
    type Err = ShareError;

    /// Parses `0.05` or `5%`.
    fn from_str(text: &str) -> Result<Self, ShareError> {
        let (number, places) = text.strip_suffix('%').map_or((text, 6), |number| (number, 4));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > places {
            return Err(ShareError);
        }
        let parts: u32 = format!("{whole}{fraction:0<places$}").parse().map_err(|_| ShareError)?;
        if parts <= MILLION { Ok(Self(parts)) } else { Err(ShareError) }
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:06}", self.0 / MILLION, self.0 % MILLION);
        formatter.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Quantiles (of a million) of conversation lengths: log-normal with median 110 s and sigma 1, up
/// to the longest call that Twilio permits by default.
const CONVERSATION_SECONDS: [(u32, u32); 17] = [
    (0, 1),
    (100, 3),
    (10_000, 11),
    (50_000, 21),
    (100_000, 31),
    (200_000, 47),
    (300_000, 65),
    (400_000, 85),
    (500_000, 110),
    (600_000, 142),
    (700_000, 186),
    (800_000, 255),
    (900_000, 396),
    (950_000, 570),
    (990_000, 1_126),
    (999_900, 4_534),
    (1_000_000, 14_400),
];

/// Draws the length of a conversation, in seconds.
pub(super) fn conversation_seconds(random: &mut StdRng) -> u32 {
    let place = random.random_range(0..MILLION);
    let above = CONVERSATION_SECONDS.partition_point(|(quantile, _)| *quantile <= place);
    let (low, low_seconds) = CONVERSATION_SECONDS[above - 1];
    let (high, high_seconds) = CONVERSATION_SECONDS[above];
    // The product is at most 10^6 x 9,866 x ...: it needs 64 bits.
    let step =
        u64::from(place - low) * u64::from(high_seconds - low_seconds) / u64::from(high - low);
    low_seconds + u32::try_from(step).expect("a step between two quantiles is below their distance")
}

/// How calls are spread over accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Skew {
    /// Every account makes as many calls as any other.
    #[default]
    Even,
    /// The k-th account makes 1/k as many calls as the first.
    Zipf,
    /// The first account makes all calls.
    One,
}

/// Draws the account of a call.
pub(super) struct Accounts {
    count: u32,
    /// Upper bounds of the accounts' shares, if they differ.
    bounds: Vec<u64>,
}

impl Accounts {
    /// `count` accounts, at least 1, distributed by `skew`.
    pub(super) fn new(count: u32, skew: Skew) -> Self {
        assert!(count > 0, "traffic needs an account");
        match skew {
            Skew::Even => Self { count, bounds: Vec::new() },
            Skew::One => Self { count: 1, bounds: Vec::new() },
            Skew::Zipf => {
                let bounds = (1..=u64::from(count)).scan(0, |sum, rank| {
                    *sum += (1 << 40) / rank;
                    Some(*sum)
                });
                Self { count, bounds: bounds.collect() }
            }
        }
    }

    /// Draws an account's index, from 0.
    pub(super) fn draw(&self, random: &mut StdRng) -> u32 {
        match self.bounds.last() {
            None => random.random_range(0..self.count),
            Some(total) => {
                let place = random.random_range(0..*total);
                let index = self.bounds.partition_point(|bound| *bound <= place);
                u32::try_from(index).expect("an index is below the count of accounts")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_share_reads_fractions_and_percents_and_refuses_the_rest() {
        for (text, parts) in [
            ("0", 0),
            ("1", MILLION),
            ("0.05", 50_000),
            ("5%", 50_000),
            ("0.000001", 1),
            ("12.5%", 125_000),
        ] {
            assert_eq!(text.parse(), Ok(Share(parts)), "{text}");
        }
        for text in ["", ".", "-0.1", "1.1", "101%", "0.0000001", "x", "1e-3", "5 %", "99999999999"]
        {
            assert_eq!(text.parse::<Share>(), Err(ShareError), "{text}");
        }
        assert_eq!(Share(50_000).to_string(), "0.05");
        assert_eq!(Share(MILLION).to_string(), "1");
    }

    #[test]
    fn conversations_have_the_median_and_the_tail_of_the_table() {
        let mut random = StdRng::seed_from_u64(1);
        let mut lengths: Vec<u32> =
            (0..20_000).map(|_| conversation_seconds(&mut random)).collect();
        lengths.sort_unstable();
        assert!((100..=120).contains(&lengths[10_000]), "{}", lengths[10_000]);
        assert!((360..=430).contains(&lengths[18_000]), "{}", lengths[18_000]);
        assert!(lengths[0] >= 1 && lengths[19_999] <= 14_400);
    }

    #[test]
    fn skew_decides_who_calls() {
        let mut random = StdRng::seed_from_u64(1);
        let mut calls = |skew| {
            let accounts = Accounts::new(10, skew);
            let mut calls = [0_u32; 10];
            for _ in 0..10_000 {
                calls[accounts.draw(&mut random) as usize] += 1;
            }
            calls
        };
        assert!(calls(Skew::Even).iter().all(|calls| (800..1_200).contains(calls)));
        assert_eq!(calls(Skew::One)[0], 10_000);
        let zipf = calls(Skew::Zipf);
        assert!(zipf[0] > 3_000 && zipf[9] < 600 && zipf[9] > 0, "{zipf:?}");
    }
}
