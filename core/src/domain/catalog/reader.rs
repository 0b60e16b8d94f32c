//! Reads TOML so that every error has its line and its key path.
//!
//! Place in the flow: below `parse`, which knows the meaning of keys; this knows types and places.
//!
//! It must never ignore an unknown key.

use chrono::{DateTime, FixedOffset, NaiveDate, Utc};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::{Datetime, Offset};

use super::error::{CatalogError, CatalogProblem};

/// A value and its position.
#[derive(Clone)]
pub(super) struct Node<'t> {
    source: &'t str,
    path: String,
    value: &'t Spanned<DeValue<'t>>,
}

/// A table and its position.
pub(super) struct Section<'t> {
    source: &'t str,
    path: String,
    /// Start of the table, in bytes.
    position: usize,
    table: &'t DeTable<'t>,
}

impl<'t> Section<'t> {
    /// Takes the whole file.
    pub(super) fn root(source: &'t str, table: &'t Spanned<DeTable<'t>>) -> Self {
        Self { source, path: String::new(), position: 0, table: table.get_ref() }
    }

    /// Refuses every key except these.
    pub(super) fn allow_only(&self, known: &[&str]) -> Result<(), CatalogError> {
        let unknown = self.table.keys().find(|key| !known.contains(&key.get_ref().as_ref()));
        unknown.map_or(Ok(()), |key| {
            let problem = CatalogProblem::UnknownKey { known: known.join(", ").into() };
            Err(fault(self.source, key.span().start, self.path_of(key.get_ref()), problem))
        })
    }

    /// Returns the value of an optional key.
    pub(super) fn optional(&self, key: &str) -> Option<Node<'t>> {
        let value = self.table.get(key)?;
        Some(Node { source: self.source, path: self.path_of(key), value })
    }

    /// Returns the value of a required key; `example` says what to add.
    pub(super) fn required(
        &self,
        key: &str,
        example: &'static str,
    ) -> Result<Node<'t>, CatalogError> {
        self.optional(key).ok_or_else(|| {
            let problem = CatalogProblem::Missing { example };
            fault(self.source, self.position, self.path_of(key), problem)
        })
    }

    /// Returns the elements of an optional array of tables.
    pub(super) fn sections(&self, key: &str) -> Result<Vec<Section<'t>>, CatalogError> {
        let Some(node) = self.optional(key) else {
            return Ok(Vec::new());
        };
        let elements = node.elements()?;
        elements.into_iter().map(Node::into_section).collect()
    }

    /// Reports an error of the table as a whole.
    pub(super) fn fault(&self, problem: CatalogProblem) -> CatalogError {
        fault(self.source, self.position, self.path.clone(), problem)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'t> Node<'t> {
    /// Reads a table.
    pub(super) fn into_section(self) -> Result<Section<'t>, CatalogError> {
        match self.value.get_ref() {
            DeValue::Table(table) => Ok(Section {
                source: self.source,
                path: self.path,
                position: self.value.span().start,
                table,
            }),
            _ => Err(self.wrong_type("a table")),
        }
    }

    /// Reads a string; `expected` says what to write otherwise.
    pub(super) fn text(&self, expected: &'static str) -> Result<&'t str, CatalogError> {
        self.value.get_ref().as_str().ok_or_else(|| self.wrong_type(expected))
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&self) -> Result<bool, CatalogError> {
        self.value.get_ref().as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// Reads a whole number from 0 to `max`.
    pub(super) fn whole_number(&self, max: u64) -> Result<u64, CatalogError> {
        let DeValue::Integer(integer) = self.value.get_ref() else {
            return Err(self.wrong_type("a whole number without quotes"));
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        number.filter(|number| *number <= max).ok_or_else(|| {
            self.fault(CatalogProblem::OutOfRange { value: integer.as_str().into(), max })
        })
    }

    /// Reads a date and time with an offset.
    pub(super) fn instant(&self) -> Result<DateTime<Utc>, CatalogError> {
        let Some(datetime) = self.value.get_ref().as_datetime() else {
            return Err(self.wrong_type("a date and time without quotes"));
        };
        to_instant(datetime).ok_or_else(|| self.fault(CatalogProblem::Instant))
    }

    /// Reports an error of this value.
    pub(super) fn fault(&self, problem: CatalogProblem) -> CatalogError {
        fault(self.source, self.value.span().start, self.path.clone(), problem)
    }

    fn elements(&self) -> Result<Vec<Node<'t>>, CatalogError> {
        let DeValue::Array(array) = self.value.get_ref() else {
            return Err(self.wrong_type("an array of tables"));
        };
        let element = |(index, value)| Node {
            source: self.source,
            path: format!("{}[{index}]", self.path),
            value,
        };
        Ok(array.iter().enumerate().map(element).collect())
    }

    fn wrong_type(&self, expected: &'static str) -> CatalogError {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a floating-point number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.fault(CatalogProblem::WrongType { found, expected })
    }
}

/// Reports an error at a byte of the file.
pub(super) fn fault(
    source: &str,
    position: usize,
    path: String,
    problem: CatalogProblem,
) -> CatalogError {
    let before = source.get(..position).unwrap_or(source);
    let line = 1 + before.matches('\n').count();
    CatalogError { line, path: path.into(), problem }
}

fn to_instant(datetime: &Datetime) -> Option<DateTime<Utc>> {
    let (date, time) = (datetime.date?, datetime.time?);
    let offset_minutes = match datetime.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i32::from(minutes),
    };
    NaiveDate::from_ymd_opt(i32::from(date.year), u32::from(date.month), u32::from(date.day))?
        .and_hms_nano_opt(
            u32::from(time.hour),
            u32::from(time.minute),
            u32::from(time.second.unwrap_or(0)),
            time.nanosecond.unwrap_or(0),
        )?
        .and_local_timezone(FixedOffset::east_opt(offset_minutes * 60)?)
        .single()
        .map(|instant| instant.to_utc())
}
