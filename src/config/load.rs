//! Layers the sources of settings: defaults, file, environment. Later sources win.

use std::ffi::OsString;
use std::path::Path;

use figment::error::{Actual, Kind};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::variables::{self, Given, PLAIN_NAMES};
use super::{DEFAULTS, Settings, SettingsError};

/// Reads the settings from the built-in defaults, the file at `path` if one is given, and the
/// environment of the process.
///
/// # Errors
/// The first wrong setting; print it and end with exit code 2.
pub fn load(path: Option<&Path>) -> Result<Settings, SettingsError> {
    load_from(path, std::env::vars_os())
}

/// As [`load`], with these environment variables and no others.
///
/// # Errors
/// As [`load`].
pub fn load_from(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Settings, SettingsError> {
    let defaults = read_table(DEFAULTS, Path::new("config/callmeter.toml"))?;
    let mut figment = Figment::from(Layer::new("the built-in defaults", defaults.clone()));
    if let Some(path) = path {
        let source = std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
            path: path.to_owned(),
            origin: "--config".to_owned(),
            source,
        })?;
        let table = read_table(&source, path)?;
        figment = figment.merge(Layer::new(&path.display().to_string(), table));
    }
    for given in variables::given_by(environment)? {
        let origin = variables::origin(&given.variable);
        let table = Given::into_table(given, &defaults)?;
        figment = figment.merge(Layer::new(&origin, table));
    }
    for (variable, key) in PLAIN_NAMES.into_iter().take(3) {
        if figment.find_value(key).is_err() {
            return Err(SettingsError::Missing { key, variable });
        }
    }
    let settings: Settings = figment.extract().map_err(|error| describe(&error))?;
    settings.check().map_err(|refused| SettingsError::Invalid {
        key: refused.key.to_owned(),
        origin: origin_of(figment.find_metadata(refused.key)),
        problem: refused.fault,
        remedy: refused.remedy.to_owned(),
    })?;
    Ok(settings)
}

fn read_table(source: &str, path: &Path) -> Result<Dict, SettingsError> {
    let syntax = |line: usize, problem: &str| SettingsError::Syntax {
        path: path.to_owned(),
        line,
        problem: problem.lines().collect::<Vec<_>>().join(" "),
    };
    let table: toml::Table = toml::from_str(source).map_err(|error| {
        let before = error.span().and_then(|span| source.get(..span.start)).unwrap_or("");
        syntax(before.matches('\n').count() + 1, error.message())
    })?;
    match Value::serialize(&table) {
        Ok(Value::Dict(_, dict)) => Ok(dict),
        Ok(_) => Ok(Dict::new()),
        Err(error) => Err(syntax(1, &error.kind.to_string())),
    }
}

/// Turns figment's error into one line. Never repeats the value of a secret.
fn describe(error: &figment::Error) -> SettingsError {
    let origin = origin_of(error.metadata.as_ref());
    let key = error.path.join(".");
    let remedy = "config/callmeter.toml gives its unit and default".to_owned();
    let actual = |actual: &Actual| {
        let secret = variables::is_secret(&error.path);
        if secret { "a value of another type".to_owned() } else { actual.to_string() }
    };
    let problem = match &error.kind {
        Kind::UnknownField(field, known) => {
            let mut path = error.path.clone();
            if path.last() != Some(field) {
                path.push(field.clone());
            }
            let section = path[..path.len() - 1].join(".");
            let place = if section.is_empty() {
                "sections".to_owned()
            } else {
                format!("keys of [{section}]")
            };
            let remedy = format!("{place} are {}", known.join(", "));
            return SettingsError::Unknown { key: path.join("."), origin, remedy };
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let section = expected.starts_with("struct ");
            let expected = if section { "a section with its keys" } else { expected };
            format!("found {}, expected {expected}", actual(found))
        }
        Kind::UnknownVariant(found, known) => {
            format!("{found:?} is not one of {}", known.join(", "))
        }
        other => other.to_string(),
    };
    SettingsError::Invalid { key, origin, problem, remedy }
}

fn origin_of(metadata: Option<&Metadata>) -> String {
    metadata.map_or_else(|| "the settings".to_owned(), |metadata| metadata.name.to_string())
}

/// One source of settings, with its name in errors.
struct Layer {
    name: String,
    table: Dict,
}

impl Layer {
    fn new(name: &str, table: Dict) -> Self {
        Self { name: name.to_owned(), table }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.table.clone())]))
    }
}
