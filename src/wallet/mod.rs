//! A wallet as customers see it.
//!
//! Beside the flow: reads the ledger and the holds; never writes money.

pub mod insights;
mod live;
mod read;
mod view;

pub use live::{Live, LiveEvent, News, Watcher};
pub use read::Wallets;
pub use view::{AllowanceView, WalletView};
