//! What the overview tells first: problems, each with its way out.

use callmeter_core::domain::{Money, WalletState};

use super::Page;
use super::controls::AutoRefillSummary;
use super::money::{cents, exact, field};
use crate::wallet::WalletView;

/// A problem with its way out.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) tone: &'static str,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) link: String,
    pub(super) action: String,
}

/// The problems of a wallet; `suggestion` is what to add.
pub(super) fn notices(
    page: &Page,
    view: &WalletView,
    auto: &AutoRefillSummary,
    suggestion: Money,
) -> Vec<Notice> {
    let (at, amount) = (&page.at, exact(suggestion));
    let add = format!("{at}/add-funds?amount={}", field(suggestion));
    let mut notices = Vec::new();
    match view.state {
        WalletState::Closed => notices.push(Notice {
            tone: "warn",
            title: "This account is closed.".to_owned(),
            text: "New calls are refused. Calls that are still on their way are charged."
                .to_owned(),
            link: format!("{at}/history"),
            action: "See the history".to_owned(),
        }),
        WalletState::Empty => notices.push(Notice {
            tone: "bad",
            title: "Calls are refused: the wallet is empty".to_owned(),
            text: "They start again as soon as money arrives.".to_owned(),
            link: add,
            action: format!("Add {amount}"),
        }),
        WalletState::Low => notices.push(Notice {
            tone: "warn",
            title: "The wallet is low.".to_owned(),
            text: format!(
                "{} is left; calls are refused when it is used up.",
                cents(view.available)
            ),
            link: add,
            action: format!("Add {amount}"),
        }),
        WalletState::Active => {}
    }
    if let Some(problem) = &auto.problem {
        notices.push(Notice {
            tone: "warn",
            title: problem.title.clone(),
            text: problem.text.clone(),
            link: problem.link.clone(),
            action: problem.action.to_owned(),
        });
    }
    notices
}
