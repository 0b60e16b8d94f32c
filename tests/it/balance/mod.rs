//! Holds and projections on a real Redis.

mod grant;
mod loading;
mod scripts;
mod table;
mod world;
