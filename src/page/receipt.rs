//! `GET /wallet/refills/{refill}/receipt`: the receipt of a completed refill, for printing.

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::RefillStatus;

use super::Page;
use super::decline::face;
use super::error::PageError;
use super::money::exact;
use super::shell::{Entry, Shell};
use super::time::Time;
use super::visit::Look;

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    shell: Shell,
    seller: Seller,
    id: String,
    amount: String,
    card: Option<String>,
    payment: Option<String>,
    paid: Time,
    refunded: Option<String>,
    email: Option<String>,
}

/// Who sells the credit.
#[derive(Clone, Debug)]
pub(super) struct Seller {
    pub(super) name: Option<String>,
    pub(super) address: Option<String>,
    pub(super) tax_id: Option<String>,
}

impl Page {
    /// Who sells the credit, from the settings.
    pub(super) fn seller(&self) -> Seller {
        Seller {
            name: self.settings.seller_name.clone(),
            address: self.settings.seller_address.clone(),
            tax_id: self.settings.seller_tax_id.clone(),
        }
    }
}

/// `GET /wallet/refills/{refill}/receipt`
pub(super) async fn receipt(
    State(page): State<Page>,
    Look(visit): Look,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, PageError> {
    let refill = super::refill::find(&page, &visit, path).await?;
    let finished = refill.finished_at.filter(|_| refill.status == RefillStatus::Completed);
    let paid = finished.ok_or(PageError::NotFound)?;
    let (shell, account) = page.shell(&visit, Entry::History, "Receipt").await?;
    let is_operator = visit.session.visitor.is_operator();
    let shown = ReceiptPage {
        shell,
        seller: page.seller(),
        id: refill.id.to_string(),
        amount: exact(refill.amount),
        card: refill.card.as_ref().filter(|_| !is_operator).map(face),
        payment: refill.payment_intent.map(|id| id.to_string()),
        paid: Time::date(paid),
        refunded: (!refill.refunded.is_zero()).then(|| exact(refill.refunded)),
        email: account.email,
    };
    Ok(super::html(&shown).into_response())
}
