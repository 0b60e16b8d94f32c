//! Scenarios and properties of the core.
