//! Bars by day, stacked by series, as lines and rectangles: all geometry is in attributes, in tenths
//! of a unit, by whole numbers.

use callmeter_core::domain::Money;

/// Width and height of the drawing, in tenths of a unit.
const WIDTH: i64 = 6_400;
const HEIGHT: i64 = 2_000;

/// A bar: one day.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    /// What is said of it.
    pub(super) title: String,
    pub(super) parts: Vec<Part>,
}

/// A part of a bar.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
    /// The series, from 1.
    pub(super) series: usize,
}

/// The bars, and the amount at the top.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) bars: Vec<Bar>,
    pub(super) top: Money,
    pub(super) middle: Money,
}

impl Chart {
    /// Draws a bar for each day that has a title: its amounts by series. Amounts below zero are not
    /// drawn.
    pub(super) fn new(days: &[(Option<String>, Vec<Money>)]) -> Self {
        let shown = |amount: &Money| amount.micros().max(0);
        let sum = |amounts: &[Money]| amounts.iter().map(shown).fold(0, i64::saturating_add);
        let highest = days.iter().map(|(_, amounts)| sum(amounts)).max().unwrap_or_default();
        let top = round_up(highest);
        let count = i64::try_from(days.len()).unwrap_or(1).max(1);
        let bar = |(place, (title, amounts)): (usize, &(Option<String>, Vec<Money>))| {
            let title = title.clone()?;
            let slot = i64::try_from(place).unwrap_or_default();
            let left = (slot * WIDTH * 20 + WIDTH * 3) / (count * 20);
            let width = (WIDTH * 14 / (count * 20)).max(5);
            let mut below = 0_i64;
            let mut parts = Vec::with_capacity(amounts.len());
            for (series, amount) in (1..).zip(amounts) {
                let begin = scaled(below, top);
                below = below.saturating_add(shown(amount));
                let end = scaled(below, top);
                if end > begin {
                    parts.push(Part {
                        x: tenths(left),
                        y: tenths(HEIGHT - end),
                        width: tenths(width),
                        height: tenths(end - begin),
                        series,
                    });
                }
            }
            Some(Bar { title, parts })
        };
        Self {
            bars: days.iter().enumerate().filter_map(bar).collect(),
            top: Money::from_micros(top),
            middle: Money::from_micros(top / 2),
        }
    }
}

/// The height of an amount, where `top` is the whole height.
fn scaled(micros: i64, top: i64) -> i64 {
    let height = i128::from(micros) * i128::from(HEIGHT) / i128::from(top.max(1));
    i64::try_from(height).unwrap_or(HEIGHT)
}

/// The next amount whose half is a plain amount too: 2, 4, 6, 8 or 10 of the greatest place, in whole
/// cents.
fn round_up(micros: i64) -> i64 {
    let mut place = 10_000_i64;
    while place.saturating_mul(10) < micros {
        place = place.saturating_mul(10);
    }
    let steps = [2, 4, 6, 8, 10].map(|step: i64| place.saturating_mul(step));
    steps.into_iter().find(|step| *step >= micros).unwrap_or(i64::MAX)
}

fn tenths(number: i64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// A part of a whole in percent with one place, at most 100: `23.5`.
pub(super) fn percent(part: i64, whole: i64) -> String {
    let tenths = i128::from(part.max(0)) * 1_000 / i128::from(whole.max(1));
    let tenths = tenths.min(1_000);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::{Chart, percent, round_up};
    use callmeter_core::domain::Money;

    #[test]
    fn bars_fill_their_day_and_stand_on_each_other() {
        let money = |text: &str| Money::parse(text).expect("an amount");
        let day =
            |title: &str, amounts: [&str; 3]| (Some(title.to_owned()), amounts.map(money).to_vec());
        let days = [
            day("one", ["3.00", "0", "1.00"]),
            (None, Vec::new()),
            day("three", ["0", "-5.00", "0"]),
            day("four", ["2.00", "2.00", "2.00"]),
        ];
        let chart = Chart::new(&days);
        assert_eq!((chart.top, chart.middle), (money("6.00"), money("3.00")));
        let titles: Vec<&str> = chart.bars.iter().map(|bar| bar.title.as_str()).collect();
        assert_eq!(titles, ["one", "three", "four"]);
        let parts = |bar: usize| -> Vec<[String; 4]> {
            let parts = chart.bars[bar].parts.iter();
            parts
                .map(|part| [&part.x, &part.y, &part.width, &part.height].map(Clone::clone))
                .collect()
        };
        let first = [["24.0", "100.0", "112.0", "100.0"], ["24.0", "66.7", "112.0", "33.3"]];
        assert_eq!(parts(0), first.map(|part| part.map(str::to_owned)));
        assert!(parts(1).is_empty());
        assert_eq!(parts(2).last().expect("a part")[1], "0.0");
        assert_eq!(chart.bars[0].parts[1].series, 3);
    }

    #[test]
    fn the_axis_ends_at_a_plain_amount() {
        for (micros, top) in [
            (0, 20_000),
            (20_000, 20_000),
            (20_001, 40_000),
            (6_194_000, 8_000_000),
            (8_000_001, 10_000_000),
            (100_000_001, 200_000_000),
            (i64::MAX, i64::MAX),
        ] {
            assert_eq!(round_up(micros), top, "{micros}");
        }
        assert_eq!(
            [(1, 3), (0, 0), (7, 5)].map(|(part, whole)| percent(part, whole)),
            ["33.3", "0.0", "100.0"]
        );
    }
}
