//! Templates of mails: built in, and replaced one by one by the files of a folder.
//!
//! `OBJECT.txt` has the subject in its first line, then the text. `OBJECT.html`, where a folder has
//! one, is the whole HTML; else `layout.html` shows the text. `footer.txt` ends each text.

use std::path::{Path, PathBuf};

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::kinds::KINDS;

/// The built-in templates.
const BUILT_IN: [(&str, &str); 9] = [
    ("refill.txt", include_str!("../../../templates/mail/refill.txt")),
    ("auto_refill.txt", include_str!("../../../templates/mail/auto_refill.txt")),
    ("payment_method.txt", include_str!("../../../templates/mail/payment_method.txt")),
    ("alert.txt", include_str!("../../../templates/mail/alert.txt")),
    ("budget.txt", include_str!("../../../templates/mail/budget.txt")),
    ("number.txt", include_str!("../../../templates/mail/number.txt")),
    ("webhook_endpoint.txt", include_str!("../../../templates/mail/webhook_endpoint.txt")),
    (FOOTER, include_str!("../../../templates/mail/footer.txt")),
    (LAYOUT, include_str!("../../../templates/mail/layout.html")),
];
const FOOTER: &str = "footer.txt";
const LAYOUT: &str = "layout.html";
/// Longest subject.
const SUBJECT_MAX: usize = 200;

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A file cannot be read.
    #[error("the template {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no template.
    #[error("the template {name} is not valid: {source}")]
    Invalid {
        /// Its name.
        name: String,
        /// Why.
        source: Box<minijinja::Error>,
    },
}

/// The content of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// The templates.
#[derive(Clone, Debug)]
pub(super) struct Templates(Environment<'static>);

impl Templates {
    /// The built-in templates, and those of a folder instead.
    pub(super) fn read(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Chainable);
        templates.set_auto_escape_callback(|name| {
            let is_html = Path::new(name).extension().is_some_and(|it| it == "html");
            if is_html { AutoEscape::Html } else { AutoEscape::None }
        });
        // A value that an event lacks is shown as nothing.
        templates.add_filter("dollars", |amount: Value| {
            amount.as_str().map(dollars).unwrap_or_default()
        });
        let words = |word: Value| word.as_str().unwrap_or_default().replace('_', " ");
        templates.add_filter("words", words);
        let invalid = |name: &str| {
            let name = name.to_owned();
            |error| TemplateError::Invalid { name, source: Box::new(error) }
        };
        for (name, source) in BUILT_IN {
            templates.add_template(name, source).map_err(invalid(name))?;
        }
        let of_objects = KINDS
            .iter()
            .flat_map(|kind| [format!("{}.txt", kind.object), format!("{}.html", kind.object)]);
        for name in of_objects.chain([FOOTER.to_owned(), LAYOUT.to_owned()]) {
            let Some(path) = folder.map(|folder| folder.join(&name)) else { continue };
            match std::fs::read_to_string(&path) {
                Ok(source) => {
                    let added = templates.add_template_owned(name.clone(), source);
                    added.map_err(invalid(&name))?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(TemplateError::Unreadable { path, source }),
            }
        }
        Ok(Self(templates))
    }

    /// Writes the mail of an object.
    pub(super) fn render(
        &self,
        object: &str,
        context: &serde_json::Value,
    ) -> Result<Content, minijinja::Error> {
        let of = |name: &str, context: Value| self.0.get_template(name)?.render(context);
        let written = of(&format!("{object}.txt"), Value::from(Serde(context)))?;
        let (subject, text) = written.trim().split_once('\n').unwrap_or((written.trim(), ""));
        let subject = subject.trim().trim_start_matches("Subject:").trim();
        let subject: String = subject.chars().take(SUBJECT_MAX).collect();
        let footer = of(FOOTER, Value::from(Serde(context)))?;
        let text = tidy(text);
        let mut all = context.clone();
        all["subject"] = serde_json::json!(subject);
        all["paragraphs"] = text.split("\n\n").map(str::trim).collect();
        let own = format!("{object}.html");
        let has_own = self.0.get_template(&own).is_ok();
        let html = of(if has_own { &own } else { LAYOUT }, Value::from(Serde(&all)))?;
        Ok(Content { subject, text: format!("{text}\n\n-- \n{}\n", tidy(&footer)), html })
    }
}

/// Text without the empty lines that conditions leave: paragraphs are one empty line apart.
fn tidy(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    lines.join("\n").trim().to_owned()
}

/// `25.000000` as `$25.00`; every place that is not zero is shown.
fn dollars(amount: &str) -> String {
    let (sign, amount) = amount.strip_prefix('-').map_or(("", amount), |amount| ("-", amount));
    let (whole, places) = amount.split_once('.').unwrap_or((amount, ""));
    format!("{sign}${whole}.{:0<2}", places.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::kinds::mailed_types;
    use super::{Templates, dollars};

    #[test]
    fn amounts_are_shown_in_dollars_and_cents() {
        for (amount, shown) in [
            ("25.000000", "$25.00"),
            ("-0.014000", "-$0.014"),
            ("1.500000", "$1.50"),
            ("7", "$7.00"),
        ] {
            assert_eq!(dollars(amount), shown);
        }
    }

    #[test]
    fn every_type_has_words_of_its_own_and_html_escapes_them() {
        let templates = Templates::read(None).unwrap();
        let mut subjects = Vec::new();
        let later =
            ["alert.balance_below", "budget.warning", "budget.exceeded", "number.suspended"];
        let kinds: BTreeSet<&str> = mailed_types().iter().copied().chain(later).collect();
        for kind in kinds {
            let (object, _) = kind.split_once('.').unwrap();
            let values = json!({
                "type": kind, "account": "acme", "name": "<b>Acme & Sons</b>",
                "data": { "amount": "25.000000", "reason": "<i>card</i>", "last4": "4242" },
            });
            let content = templates.render(object, &values).unwrap();
            assert!(!content.subject.is_empty() && content.text.len() > 40, "{kind}: {content:?}");
            assert!(
                !content.html.contains("<b>Acme") && !content.html.contains("<i>"),
                "{content:?}"
            );
            assert!(content.text.contains("<b>Acme & Sons</b>"), "text is as it is: {content:?}");
            subjects.push(content.subject);
        }
        let count = subjects.len();
        subjects.sort_unstable();
        subjects.dedup();
        assert_eq!(subjects.len(), count, "{subjects:?}");
    }
}
