//! The results, as a table and as JSON. Figures are whole numbers, ratios are thousandths.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// The goal of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// At least these thousandths of the floor.
    RatioAtLeast(u64),
    /// At most these thousandths of the floor.
    RatioAtMost(u64),
    /// At most this figure.
    AtMost(u64),
}

struct Row {
    name: String,
    figure: u64,
    floor: Option<u64>,
    goal: Goal,
}

/// All rows.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Row {
    fn ratio(&self) -> Option<u64> {
        self.floor.map(|floor| self.figure * 1_000 / floor.max(1))
    }

    fn met(&self) -> bool {
        match self.goal {
            Goal::RatioAtLeast(thousandths) => self.ratio().is_some_and(|it| it >= thousandths),
            Goal::RatioAtMost(thousandths) => self.ratio().is_some_and(|it| it <= thousandths),
            Goal::AtMost(most) => self.figure <= most,
        }
    }
}

impl Report {
    /// A figure with a minimum ratio to its floor.
    pub(crate) fn ratio(&mut self, name: &str, figure: u64, floor: u64, thousandths: u64) {
        let (floor, goal) = (Some(floor), Goal::RatioAtLeast(thousandths));
        self.rows.push(Row { name: name.to_owned(), figure, floor, goal });
    }

    /// A figure with a maximum ratio to its floor.
    pub(crate) fn ratio_at_most(&mut self, name: &str, figure: u64, floor: u64, thousandths: u64) {
        let (floor, goal) = (Some(floor), Goal::RatioAtMost(thousandths));
        self.rows.push(Row { name: name.to_owned(), figure, floor, goal });
    }

    /// A figure with a limit of its own.
    pub(crate) fn limit(&mut self, name: &str, figure: u64, goal: Goal) {
        self.rows.push(Row { name: name.to_owned(), figure, floor: None, goal });
    }

    /// A line below the table.
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let head = ["figure", "floor", "ratio", "budget", "met"];
        let [figure, floor, ratio, budget, met] = head;
        let _ =
            writeln!(text, "{:width$}{figure:>12}{floor:>12}{ratio:>8}{budget:>10}  {met}", "name");
        for row in &self.rows {
            let floor = row.floor.map_or_else(|| "-".to_owned(), |floor| floor.to_string());
            let ratio = row.ratio().map_or_else(|| "-".to_owned(), thousandths);
            let budget = match row.goal {
                Goal::RatioAtLeast(least) => format!(">= {}", thousandths(least)),
                Goal::RatioAtMost(most) => format!("<= {}", thousandths(most)),
                Goal::AtMost(most) => format!("<= {most}"),
            };
            let met = if row.met() { "yes" } else { "no" };
            let (name, figure) = (&row.name, row.figure);
            let _ =
                writeln!(text, "{name:width$}{figure:>12}{floor:>12}{ratio:>8}{budget:>10}  {met}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }

    pub(crate) fn json(&self) -> anyhow::Result<String> {
        let rows = self.rows.iter().map(|row| {
            let budget = match row.goal {
                Goal::RatioAtLeast(ratio) | Goal::RatioAtMost(ratio) => number(ratio)?,
                Goal::AtMost(most) => json!(most),
            };
            Ok(json!({
                "name": row.name,
                "figure": row.figure,
                "floor": row.floor,
                "ratio": row.ratio().map(number).transpose()?,
                "budget": budget,
                "met": row.met(),
            }))
        });
        Ok(serde_json::to_string_pretty(&rows.collect::<anyhow::Result<Vec<Value>>>()?)?)
    }
}

/// `0.650` for 650.
fn thousandths(count: u64) -> String {
    format!("{}.{:03}", count / 1_000, count % 1_000)
}

fn number(count: u64) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&thousandths(count))?)
}

/// The median; of an even count the lower of the middle two.
pub(crate) fn median(figures: &mut [u64]) -> u64 {
    figures.sort_unstable();
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}
