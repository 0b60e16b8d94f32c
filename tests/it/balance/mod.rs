//! Holds and projections on a real Redis.

mod budget;
mod grant;
mod kept;
mod load_scripts;
mod loading;
mod losses;
mod policies;
mod projections;
mod same_scripts;
mod same_steps;
mod scripts;
mod signals;
mod stress;
mod table;
mod trusted;
mod world;
