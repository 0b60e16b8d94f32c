//! Rentals of numbers as events.

use super::Dice;
use super::world::{NUMBER_KINDS, account_sid};
use crate::model::money::{Micros, show};
use crate::model::time::{At, date_of, rfc3339};
use serde_json::{Value, json};

/// One period of one rented number.
pub(crate) struct Rental {
    account: usize,
    phone_number_sid: String,
    period: At,
    kind: (&'static str, &'static str),
    /// Its own price; else the catalog's counts.
    price: Option<Micros>,
    other_price: Micros,
}

impl Rental {
    /// A number with a name from `named`; its price identifies it.
    pub(crate) fn new(account: usize, named: u64, period: At, dice: &mut Dice) -> Rental {
        Rental {
            account,
            phone_number_sid: format!("PN{named:032x}"),
            period,
            kind: *dice.pick(&NUMBER_KINDS),
            price: dice.chance(70).then(|| 1_000_000 + Micros::from(named) * 13),
            other_price: Micros::from(named) * 17,
        }
    }

    /// The event for the due period.
    pub(crate) fn event(&self, dice: &mut Dice) -> Value {
        let date = date_of(self.period);
        let mut event = json!({
            "specversion": "1.0",
            "type": "callmeter.number.rental.due",
            "source": "scheduler",
            "id": format!("rental-{:016x}", dice.number()),
            "data": {
                "AccountSid": account_sid(self.account),
                "PhoneNumberSid": self.phone_number_sid,
                "PhoneNumber": "+15005550006",
                "IsoCountry": self.kind.0,
                "NumberType": self.kind.1,
                "PeriodStart": format!("{:04}-{:02}-{:02}", date.year, date.month, date.day),
            },
        });
        if dice.chance(50) {
            event["time"] = json!(rfc3339(self.period));
        }
        match self.price {
            Some(price) => event["data"]["MonthlyPrice"] = json!(show(price)),
            None if dice.chance(50) => event["data"]["MonthlyPrice"] = Value::Null,
            None => {}
        }
        event
    }

    /// The same period at a unique price.
    pub(crate) fn at_another_price(&self) -> Value {
        let mut event = self.event(&mut Dice::new(0));
        let price = 50_000_000 + self.other_price;
        event["data"]["MonthlyPrice"] = json!(show(price));
        event
    }
}
