//! Use cases over the ledger: what a customer sees of the wallet.
//!
//! Beside the flow: asks the ledger and the pure core, never writes money by itself.

mod live;
mod read;
mod view;

pub use live::{Live, Watcher};
pub use read::Wallets;
pub use view::{AllowanceView, WalletView};
