//! Postgres's binary COPY format, as far as the ledger writes it.
//!
//! One row is a 16-bit count of fields; each field a 32-bit length (-1: null) and the value in its
//! type's binary form (PostgreSQL documentation, "COPY", Binary Format).

use callmeter_core::domain::money::Money;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::postgres::PgCopyIn;

use super::store::StoreError;

/// Microseconds from the Unix epoch to 2000-01-01, the epoch of Postgres.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Signature, flags and length of the header's extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Sent whenever this much is written: Postgres works while the rest is written, and a batch of any
/// size takes only this much memory and one row.
const PIECE_BYTES: usize = 128 * 1024;

/// Rows on their way to one table.
pub(crate) struct CopyRows<'c> {
    copy: PgCopyIn<&'c mut PgConnection>,
    bytes: Vec<u8>,
    fields: i16,
    rows: u64,
}

impl<'c> CopyRows<'c> {
    /// Begins `statement` (`COPY … FROM STDIN BINARY`); each row has `fields` fields.
    ///
    /// # Errors
    /// If Postgres refuses the statement or is unavailable.
    pub(crate) async fn begin(
        connection: &'c mut PgConnection,
        statement: &str,
        fields: i16,
    ) -> Result<Self, StoreError> {
        let copy = connection.copy_in_raw(statement).await?;
        let mut bytes = Vec::with_capacity(PIECE_BYTES + 8 * 1024);
        bytes.extend_from_slice(HEADER);
        Ok(Self { copy, bytes, fields, rows: 0 })
    }

    /// Begins a row; exactly as many fields must follow as the table takes.
    pub(crate) fn row(&mut self) -> &mut Self {
        self.rows += 1;
        self.bytes.extend_from_slice(&self.fields.to_be_bytes());
        self
    }

    /// A field of a length known at compile time, as most are.
    #[inline]
    fn number<const BYTES: usize>(&mut self, value: [u8; BYTES]) -> &mut Self {
        let length = i32::try_from(BYTES).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(&value);
        self
    }

    fn field(&mut self, value: &[u8]) -> &mut Self {
        // A field is a number or a short text: its length always fits.
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
        self
    }

    /// A null.
    pub(crate) fn null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        self
    }

    /// An `integer`.
    pub(crate) fn int4(&mut self, value: i32) -> &mut Self {
        self.number(value.to_be_bytes())
    }

    /// A `bigint`.
    pub(crate) fn int8(&mut self, value: i64) -> &mut Self {
        self.number(value.to_be_bytes())
    }

    /// An amount, as a `bigint` of micro-dollars.
    pub(crate) fn money(&mut self, value: Money) -> &mut Self {
        self.int8(value.micros())
    }

    /// A `timestamptz`.
    pub(crate) fn instant(&mut self, value: DateTime<Utc>) -> &mut Self {
        self.int8(value.timestamp_micros() - POSTGRES_EPOCH_MICROS)
    }

    /// A `text`, or a label of an enum.
    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.field(value.as_bytes())
    }

    /// A `bytea`.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.field(value)
    }

    /// A value that may be null.
    pub(crate) fn optional<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    /// Sends the buffer if it is full enough; call it after each row.
    ///
    /// # Errors
    /// If Postgres is unavailable.
    pub(crate) async fn send(&mut self) -> Result<(), StoreError> {
        if self.bytes.len() >= PIECE_BYTES {
            self.copy.send(self.bytes.as_slice()).await?;
            self.bytes.clear();
        }
        Ok(())
    }

    /// Sends the rest and waits until Postgres has taken all rows.
    ///
    /// # Errors
    /// If Postgres refuses a row or is unavailable.
    pub(crate) async fn finish(mut self) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        self.copy.send(self.bytes.as_slice()).await?;
        let written = self.copy.finish().await?;
        debug_assert_eq!(written, self.rows, "Postgres counts the rows that were sent");
        Ok(())
    }
}
