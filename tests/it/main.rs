//! The system from outside: real servers, real processes, and an independent model of the rules.

mod harness;
mod model;
mod stream;
mod traffic;
