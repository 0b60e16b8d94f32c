//! Lists in pages with cursors (<https://docs.stripe.com/api/pagination>), and expanded members.

use serde_json::{Value, json};

use super::answer::Complaint;
use super::form::Parameters;
use super::world::World;

const LIMIT: i64 = 10;
const LIMIT_MAX: i64 = 100;

/// Parameters that every list takes.
pub(super) const CURSORS: &[&str] = &["limit", "starting_after", "ending_before"];

/// Parameters of a list by time.
pub(super) const CREATED: &[&str] =
    &["created", "created[gte]", "created[gt]", "created[lte]", "created[lt]"];

/// Answers a page of the objects of a kind that `holds` selects, newest first.
pub(super) fn page(
    world: &World,
    kind: &str,
    url: &str,
    form: &Parameters,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value, Complaint> {
    let limit = form.integer("limit")?.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let message = if limit > LIMIT_MAX {
            format!("This value must be less than or equal to 100 (it currently is '{limit}').")
        } else {
            format!("This value must be greater than or equal to 1 (it currently is '{limit}').")
        };
        return Err(Complaint::parameter("parameter_invalid_integer", "limit", &message));
    }
    let limit = usize::try_from(limit).unwrap_or(1);
    let bounds = bounds(form)?;
    let is_inside = |row: &&Value| {
        let created = row["created"].as_i64().unwrap_or_default();
        bounds.iter().all(|(name, bound)| match *name {
            "created[gte]" => created >= *bound,
            "created[gt]" => created > *bound,
            "created[lte]" => created <= *bound,
            "created[lt]" => created < *bound,
            _ => created == *bound,
        })
    };
    // A cursor may be outside of the filter.
    let all: Vec<&Value> = world.all(kind).collect();
    let place = |name: &str| -> Result<Option<usize>, Complaint> {
        let Some(id) = form.text(name)? else { return Ok(None) };
        let place = all.iter().position(|row| row["id"] == id);
        place.map(Some).ok_or_else(|| Complaint::missing(kind, id, name))
    };
    let (after, before) = (place("starting_after")?, place("ending_before")?);
    let selected = |rows: &[&'_ Value]| -> Vec<Value> {
        rows.iter().copied().filter(is_inside).filter(|row| holds(row)).cloned().collect()
    };
    let (data, has_more) = match (after, before) {
        (Some(_), Some(_)) => {
            let message = "You can only specify one of these parameters: starting_after, \
                           ending_before.";
            return Err(Complaint::refused(message));
        }
        (None, Some(before)) => {
            let mut rows = selected(&all[..before]);
            let surplus = rows.len().saturating_sub(limit);
            (rows.split_off(surplus), surplus > 0)
        }
        (after, None) => {
            let mut rows = selected(&all[after.map_or(0, |place| place + 1)..]);
            let has_more = rows.len() > limit;
            rows.truncate(limit);
            (rows, has_more)
        }
    };
    Ok(json!({ "object": "list", "data": data, "has_more": has_more, "url": url }))
}

fn bounds(form: &Parameters) -> Result<Vec<(&'static str, i64)>, Complaint> {
    let mut bounds = Vec::new();
    for name in CREATED {
        if let Some(bound) = form.integer(name)? {
            bounds.push((*name, bound));
        }
    }
    Ok(bounds)
}

/// Selects by equality of members with the parameters of the same names.
pub(super) fn equals<'a>(
    form: &'a Parameters,
    names: &'a [&'a str],
) -> Result<impl Fn(&Value) -> bool + 'a, Complaint> {
    let mut wanted = Vec::new();
    for name in names {
        if let Some(value) = form.text(name)? {
            wanted.push((*name, value));
        }
    }
    Ok(move |row: &Value| wanted.iter().all(|(name, value)| row[*name] == *value))
}

/// Replaces ids by the objects that `expand[]` names.
pub(super) fn expand(world: &World, value: &mut Value, paths: &[&str]) -> Result<(), Complaint> {
    paths.iter().try_for_each(|path| {
        expand_one(world, value, path).map_err(|()| {
            let message = format!("This property cannot be expanded ({path}).");
            Complaint::refused(&message).about("expand")
        })
    })
}

fn expand_one(world: &World, value: &mut Value, path: &str) -> Result<(), ()> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    if first == "data" {
        let rows = value["data"].as_array_mut().ok_or(())?;
        return rows.iter_mut().try_for_each(|row| expand_one(world, row, rest));
    }
    let member = value.get_mut(first).ok_or(())?;
    if let Some(id) = member.as_str() {
        *member = world.any(id).cloned().ok_or(())?;
    }
    if rest.is_empty() || member.is_null() { Ok(()) } else { expand_one(world, member, rest) }
}
