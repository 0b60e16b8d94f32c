//! A wallet as customers see it.
//!
//! Beside the flow: reads the ledger and the holds; never writes money.

pub mod insights;
mod live;
mod live_calls;
mod read;
mod view;

pub use live::{Live, LiveEvent, News, Watcher};
pub use live_calls::LiveCall;
pub use read::Wallets;
pub use view::{AllowanceView, WalletView};
