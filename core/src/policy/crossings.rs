//! When a falling balance crosses a level that is watched.

use crate::domain::Money;

/// True if a row takes the balance across a level: `before >= level > after`. The level is armed
/// again once the balance is at it or above.
pub fn crosses(before: Money, after: Money, level: Money) -> bool {
    before >= level && level > after
}

#[cfg(test)]
mod tests {
    use super::crosses;
    use crate::domain::Money;

    #[test]
    fn a_level_is_crossed_once_on_the_way_down() {
        let dollars = |dollars: i64| Money::from_micros(dollars * 1_000_000);
        for (before, after, crossed) in
            [(20, 19, true), (21, 0, true), (20, 20, false), (19, 18, false), (18, 25, false)]
        {
            assert_eq!(crosses(dollars(before), dollars(after), dollars(20)), crossed, "{before}");
        }
    }
}
