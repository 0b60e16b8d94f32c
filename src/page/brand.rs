//! The platform's name, logo and colours, from the settings.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use axum::body::Bytes;

use super::file::File;
use crate::config::{self, Colour};

/// Most bytes of a logo: each first visit loads it.
const LOGO_BYTES_MAX: u64 = 32_768;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// What the page is written on where the browser asks for dark pages, as `assets/wallet.css` has it.
const DARK_SURFACE: &str = "#171c1b";
/// The contrast of an accent for dark pages that is made of the one for light pages.
const DARK_CONTRAST: f64 = 7.0;

/// The platform's name, logo and colours.
#[derive(Debug)]
pub(super) struct Brand {
    pub(super) name: Option<String>,
    pub(super) logo: Option<File>,
    pub(super) colours: Option<File>,
}

/// Why a logo cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LogoError {
    /// The file cannot be read.
    #[error("page.logo_file: {0} cannot be read")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// It is neither SVG nor PNG, or too large.
    #[error("page.logo_file: {0} is not an SVG or PNG of at most 32 KiB")]
    NotALogo(PathBuf),
}

impl Brand {
    /// Reads the logo.
    ///
    /// # Errors
    /// If it cannot be read or is not a logo.
    pub(super) fn read(settings: &config::Page) -> Result<Self, LogoError> {
        let logo = settings.logo_file.as_deref().map(read_logo).transpose()?;
        let colours = colours(settings.accent, settings.accent_dark);
        let colours = colours.map(|text| File::new("colours", "css", text.into()));
        Ok(Self { name: settings.name.clone(), logo, colours })
    }
}

fn read_logo(path: &Path) -> Result<File, LogoError> {
    let unreadable = |error| LogoError::Unreadable(path.to_owned(), error);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(LOGO_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let is_small = bytes.len() as u64 <= LOGO_BYTES_MAX;
    let is_svg = || std::str::from_utf8(&bytes).is_ok_and(|text| text.contains("<svg"));
    let ending = match is_small {
        true if bytes.starts_with(PNG) => "png",
        true if is_svg() => "svg",
        _ => return Err(LogoError::NotALogo(path.to_owned())),
    };
    Ok(File::new("logo", ending, Bytes::from(bytes)))
}

/// The stylesheet that replaces the accent.
fn colours(light: Option<Colour>, dark: Option<Colour>) -> Option<String> {
    let dark = dark.or_else(|| light.map(lightened));
    let rules = |accent: Colour, strong: Colour, ground: Colour, on: Colour| {
        format!(
            ":root {{ --accent: {accent}; --accent-strong: {}; --accent-soft: {}; --on-accent: {on}; \
             --c1: {accent}; }}",
            accent.mixed(strong, 25),
            ground.mixed(accent, 12),
        )
    };
    let mut text = String::new();
    if let Some(light) = light {
        text = rules(light, Colour::BLACK, Colour::WHITE, Colour::WHITE);
    }
    if let Some(dark) = dark {
        let on = dark.mixed(Colour::BLACK, 85);
        let rules = rules(dark, Colour::WHITE, surface(), on);
        // A text is written without fail.
        let _ = write!(text, "\n@media (prefers-color-scheme: dark) {{ {rules} }}");
    }
    (!text.is_empty()).then_some(text)
}

/// A colour as light as text on a dark page must be.
fn lightened(accent: Colour) -> Colour {
    let steps = (0..=100).step_by(5).map(|percent| accent.mixed(Colour::WHITE, percent));
    let mut readable = steps.filter(|it| it.contrast(surface()) >= DARK_CONTRAST);
    readable.next().unwrap_or(Colour::WHITE)
}

fn surface() -> Colour {
    DARK_SURFACE.parse().unwrap_or(Colour::BLACK)
}

#[cfg(test)]
mod tests {
    use super::{colours, read_logo, surface};
    use crate::config::Colour;

    fn colour(text: &str) -> Colour {
        text.parse().expect("a colour")
    }

    #[test]
    fn one_colour_makes_a_readable_pair() {
        for accent in ["#0b5f57", "#000000", "#5b21b6", "#b00020", "#1a3fd0"] {
            let text = colours(Some(colour(accent)), None).expect("a stylesheet");
            let (light, dark) = text.split_once("@media").expect("two parts");
            assert!(light.contains(&format!("--accent: {accent};")), "{text}");
            let of = |part: &str, name: &str| {
                let rest = part.split(&format!("--{name}: ")).nth(1).expect("the colour");
                colour(&rest[..7])
            };
            assert!(of(dark, "accent").contrast(surface()) >= 7.0, "{text}");
            for part in [light, dark] {
                let pairs = [("accent", "on-accent"), ("accent-strong", "accent-soft")];
                for (one, other) in pairs {
                    let ratio = of(part, one).contrast(of(part, other));
                    assert!(ratio >= 4.5, "{one} on {other} reads at {ratio}: {part}");
                }
            }
        }
        assert_eq!(colours(None, None), None);
    }

    #[test]
    fn a_logo_is_a_small_svg_or_png() {
        let folder = tempfile::tempdir().expect("a folder");
        let logo = |bytes: &[u8]| {
            let path = folder.path().join("logo");
            std::fs::write(&path, bytes).expect("it is written");
            read_logo(&path).map(|file| file.name).map_err(|error| error.to_string())
        };
        assert!(
            logo(b"<svg xmlns=\"x\"/>")
                .expect("a logo")
                .split_once('.')
                .is_some_and(|it| it.1 == "svg")
        );
        assert!(
            logo(b"\x89PNG\r\n\x1a\nrest")
                .expect("a logo")
                .split_once('.')
                .is_some_and(|it| it.1 == "png")
        );
        let long = vec![0xff; 40_000];
        for bytes in [&b"GIF89a"[..], b"", b"<html>", &long] {
            assert!(logo(bytes).expect_err("no logo").contains("page.logo_file"));
        }
        let large = format!("<svg>{}</svg>", " ".repeat(32_768));
        logo(large.as_bytes()).expect_err("too large");
        read_logo(&folder.path().join("missing")).expect_err("not there");
    }
}
