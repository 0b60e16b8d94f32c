//! A wallet as customers see it.
//!
//! Beside the flow: reads the ledger and the holds; never writes money. It estimates what calls will cost,
//! and keeps such an estimate where it names a campaign.

mod campaigns;
mod estimate;
mod estimate_json;
pub mod insights;
mod live;
mod live_calls;
mod read;
mod view;

pub use campaigns::{Campaign, CampaignDetails, Campaigns, Course, CourseState};
pub use estimate::{
    AVERAGE_SECONDS_MAX, CALLS_MAX, Destinations, EstimateRequest, EstimateRules, Estimated,
    NotEstimated, TAG_CHARACTERS_MAX, is_destination,
};
pub(crate) use estimate_json::EstimateJson;
pub use live::{Live, LiveEvent, News, Told, WatchLimits, Watcher};
pub use live_calls::LiveCall;
pub use read::Wallets;
pub use view::{AllowanceView, WalletView};
