//! The catalog file: what each key means.
//!
//! Place in the flow: `Catalog::parse`, at start, on request, and for each stored version.
//!
//! It must never fill in what matters: only increments, overage, legs, prefix rates and the
//! effective time have defaults.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::DeTable;

use super::deck::{Prefix, PrefixRate, RateDeck};
use super::error::{CatalogError, CatalogProblem};
use super::plan::{Catalog, NumberPrice, NumberType, Plan, Tariff};
use super::reader::{Node, Section, fault};
use crate::domain::ids::PlanId;
use crate::domain::increments::Increments;
use crate::domain::money::{Money, MoneyError};
use crate::domain::named::UnknownName;
use crate::domain::rate::RatePerMinute;

const NAME_CHARS_MAX: usize = 100;
const AMOUNT: &str = "dollars in quotes, such as \"0.014\"";

impl Catalog {
    /// Reads a catalog file (docs/charging.md, "The catalog").
    ///
    /// # Errors
    /// [`CatalogError`] with line, key path and remedy of the first error. The caller keeps its
    /// current catalog.
    pub fn parse(source: &str) -> Result<Self, CatalogError> {
        if source.len() > Self::BYTES_MAX {
            let problem =
                CatalogProblem::FileTooLarge { bytes: source.len(), max: Self::BYTES_MAX };
            return Err(fault(source, 0, "catalog".into(), problem));
        }
        let document = DeTable::parse(source).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(", ").into();
            let position = error.span().map_or(0, |span| span.start);
            fault(source, position, "catalog".into(), CatalogProblem::Syntax { message })
        })?;
        let root = Section::root(source, &document);
        root.allow_only(&["effective_at", "standard", "plans", "numbers"])?;
        Ok(Self {
            effective_at: root.optional("effective_at").map(|node| node.instant()).transpose()?,
            standard: standard(&root)?,
            plans: plans(&root)?,
            numbers: numbers(&root)?,
        })
    }
}

fn standard(root: &Section<'_>) -> Result<Tariff, CatalogError> {
    let node = root.required("standard", "[standard] with per_minute = \"0.020\"")?;
    let section = node.into_section()?;
    section.allow_only(&["per_minute", "increments", "rates"])?;
    tariff(&section)
}

fn plans(root: &Section<'_>) -> Result<BTreeMap<PlanId, Plan>, CatalogError> {
    let mut plans = BTreeMap::new();
    for section in root.sections("plans")? {
        let plan = plan(&section)?;
        if plans.contains_key(&plan.id) {
            let name = format!("plan {}", plan.id).into();
            return Err(section.fault(CatalogProblem::Duplicate { name }));
        }
        plans.insert(plan.id.clone(), plan);
    }
    Ok(plans)
}

fn plan(section: &Section<'_>) -> Result<Plan, CatalogError> {
    section.allow_only(&[
        "id",
        "name",
        "monthly_fee",
        "included_minutes",
        "per_minute",
        "increments",
        "overage",
        "legs",
        "rates",
    ])?;
    let id = section.required("id", "id = \"starter\"")?;
    let id_text = id.text("an id in quotes, such as \"starter\"")?;
    let name = section.required("name", "name = \"Starter\"")?;
    let fee = section.required("monthly_fee", "monthly_fee = \"29.00\"")?;
    let minutes = section.required("included_minutes", "included_minutes = 100")?;
    Ok(Plan {
        id: PlanId::parse(id_text).map_err(|error| id.fault(CatalogProblem::PlanId(error)))?,
        name: plan_name(&name)?,
        monthly_fee: amount(&fee, Catalog::PRICE_MAX)?,
        included_seconds: minutes.whole_number(Catalog::INCLUDED_MINUTES_MAX)? * 60,
        tariff: tariff(section)?,
        overage: policy(section, "overage")?,
        legs: policy(section, "legs")?,
    })
}

fn plan_name(node: &Node<'_>) -> Result<String, CatalogError> {
    let name = node.text("a name in quotes, such as \"Starter\"")?;
    let printable = !name.trim().is_empty() && !name.chars().any(char::is_control);
    if printable && name.chars().count() <= NAME_CHARS_MAX {
        Ok(name.to_owned())
    } else {
        Err(node.fault(CatalogProblem::Name { max: NAME_CHARS_MAX }))
    }
}

/// Reads a policy by its name; its default if the key is absent.
fn policy<T>(section: &Section<'_>, key: &str) -> Result<T, CatalogError>
where
    T: Default + std::str::FromStr<Err = UnknownName>,
{
    let Some(node) = section.optional(key) else {
        return Ok(T::default());
    };
    let name = node.text("a policy in quotes")?;
    name.parse().map_err(|error| node.fault(CatalogProblem::UnknownName(error)))
}

fn tariff(section: &Section<'_>) -> Result<Tariff, CatalogError> {
    let per_minute = section.required("per_minute", "per_minute = \"0.014\"")?;
    let increments = match section.optional("increments") {
        None => Increments::default(),
        Some(node) => Increments::parse(node.text("seconds in quotes, such as \"60/60\"")?)
            .map_err(|error| node.fault(CatalogProblem::Increments(error)))?,
    };
    let mut by_prefix = BTreeMap::new();
    for exception in section.sections("rates")? {
        let (prefix, rate) = prefix_rate(&exception)?;
        if by_prefix.contains_key(&prefix) {
            let name = format!("prefix {}", prefix.as_str()).into();
            return Err(exception.fault(CatalogProblem::Duplicate { name }));
        }
        by_prefix.insert(prefix, rate);
    }
    Ok(Tariff { increments, deck: RateDeck::new(rate(&per_minute)?, by_prefix) })
}

fn prefix_rate(section: &Section<'_>) -> Result<(Prefix, PrefixRate), CatalogError> {
    section.allow_only(&["prefix", "per_minute", "blocked"])?;
    let node = section.required("prefix", "prefix = \"+44\"")?;
    let prefix = Prefix::parse(node.text("a prefix in quotes, such as \"+44\"")?)
        .map_err(|error| node.fault(CatalogProblem::Prefix(error)))?;
    let per_minute = section.optional("per_minute");
    let blocked = match section.optional("blocked") {
        None => false,
        Some(node) => node.boolean()?,
    };
    match (per_minute, blocked) {
        (Some(node), false) => Ok((prefix, PrefixRate::PerMinute(rate(&node)?))),
        (None, true) => Ok((prefix, PrefixRate::Blocked)),
        _ => Err(section.fault(CatalogProblem::PricedOrBlocked)),
    }
}

fn numbers(root: &Section<'_>) -> Result<Vec<NumberPrice>, CatalogError> {
    let mut prices = Vec::new();
    let mut seen = BTreeSet::new();
    for section in root.sections("numbers")? {
        let price = number_price(&section)?;
        if !seen.insert((price.country.clone(), price.number_type)) {
            let name = format!("number {} {}", price.country, price.number_type).into();
            return Err(section.fault(CatalogProblem::Duplicate { name }));
        }
        prices.push(price);
    }
    Ok(prices)
}

fn number_price(section: &Section<'_>) -> Result<NumberPrice, CatalogError> {
    section.allow_only(&["country", "type", "purchase", "monthly"])?;
    let country = section.required("country", "country = \"US\"")?;
    let number_type = section.required("type", "type = \"local\"")?;
    let purchase = section.required("purchase", "purchase = \"1.15\"")?;
    let monthly = section.required("monthly", "monthly = \"1.15\"")?;
    Ok(NumberPrice {
        country: country_code(&country)?,
        number_type: type_of_number(&number_type)?,
        purchase: amount(&purchase, Catalog::PRICE_MAX)?,
        monthly: amount(&monthly, Catalog::PRICE_MAX)?,
    })
}

fn country_code(node: &Node<'_>) -> Result<Box<str>, CatalogError> {
    let country = node.text("two letters in quotes, such as \"US\"")?;
    if country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        Ok(country.to_ascii_uppercase().into())
    } else {
        Err(node.fault(CatalogProblem::Country { country: country.into() }))
    }
}

fn type_of_number(node: &Node<'_>) -> Result<NumberType, CatalogError> {
    let text = node.text("a type in quotes, such as \"local\"")?;
    match NumberType::parse_loosely(text) {
        Some(number_type) => Ok(number_type),
        None => {
            NumberType::parse(text).map_err(|error| node.fault(CatalogProblem::UnknownName(error)))
        }
    }
}

fn rate(node: &Node<'_>) -> Result<RatePerMinute, CatalogError> {
    let amount = amount(node, Catalog::RATE_MAX)?;
    RatePerMinute::try_from(amount).map_err(|error| node.fault(CatalogProblem::Amount(error)))
}

/// Reads dollars, zero or more.
fn amount(node: &Node<'_>, max: Money) -> Result<Money, CatalogError> {
    let amount = Money::parse(node.text(AMOUNT)?)
        .map_err(|error| node.fault(CatalogProblem::Amount(error)))?;
    if amount.is_negative() {
        return Err(node.fault(CatalogProblem::Amount(MoneyError::Negative { amount })));
    }
    if amount > max {
        return Err(node.fault(CatalogProblem::AmountTooLarge { amount, max }));
    }
    Ok(amount)
}
