//! callmeter: charging for live phone calls.
