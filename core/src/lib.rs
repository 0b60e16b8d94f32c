//! The pure core of callmeter.
