//! Holds and projections on a real Redis.

mod grant;
mod scripts;
mod table;
