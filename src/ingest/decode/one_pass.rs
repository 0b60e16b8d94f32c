//! Reads a call record of a usual shape in one pass over its text, copying nothing.
//!
//! Comes before the reading of [`super::fields`], which takes every shape, and must never read a
//! record otherwise than that does. So it gives up on whatever it need not know, and the record is
//! read in full: an escape in a key or in a value that charging reads, a fraction, an array, a
//! `type` that follows `data` or is no call's, bytes that are not UTF-8, text that is not JSON.
//!
//! The usual shapes are those of Twilio's status callbacks and of Event Streams, whose sinks may
//! send `data` as a string that holds the object:
//!
//! ```text
//! {"CallSid":"CA…","CallStatus":"completed","CallDuration":"49","ToCity":"S\u00e3o Paulo",…}
//! {"specversion":"1.0","type":"com.twilio.voice.…","data":{"request":{"parameters":{…}},…}}
//! {"specversion":"1.0","type":"com.twilio.voice.…","data":"{\"request\":{\"parameters\":{…}},…}"}
//! ```

use std::borrow::Cow;

use super::fields::{Envelope, EventData, Parameters, Request, Scalar};

/// How deep the objects of a value may lie that is skipped; Twilio's have no object within.
const DEPTH_MAX: u32 = 8;
/// A number of more digits may be none of 64 bits, and another kind of value then.
const DIGITS_MAX: usize = 18;

/// A record of a usual shape.
#[derive(Default)]
pub(super) struct Usual<'a> {
    /// Its members; [`Envelope::data`] stays empty.
    pub(super) envelope: Envelope<'a>,
    /// `data` of a call's event; none in a callback.
    pub(super) data: Option<EventData<'a>>,
}

impl<'a> Usual<'a> {
    /// Fills an empty one from a record; none if the record must be read in full.
    ///
    /// `is_call` says whether `data` after this `type` is a call's.
    pub(super) fn read(&mut self, record: &'a [u8], is_call: impl Fn(&str) -> bool) -> Option<()> {
        let mut scanner = Scanner::<PLAIN> { text: str::from_utf8(record).ok()?, at: 0 };
        scanner.object(|scanner, key| {
            match key {
                b"data" => {
                    self.envelope.kind.text().filter(|kind| is_call(kind))?;
                    scanner.data(self.data.insert(EventData::default()))?;
                }
                // `data` was read by the type that came before.
                b"type" if self.data.is_some() => return None,
                _ => match self.envelope.slot(key) {
                    Some(slot) => *slot = scanner.scalar()?,
                    None => scanner.skip(DEPTH_MAX)?,
                },
            }
            Some(())
        })?;
        scanner.skip_space();
        (scanner.at == record.len()).then_some(())
    }
}

/// JSON as it is.
const PLAIN: bool = false;
/// JSON held in a string of JSON: a quote is written `\"`, a backslash `\\`.
const HELD: bool = true;

/// A place in a text. Each step returns none where the record must be read in full; the place means
/// nothing after that.
struct Scanner<'a, const IS_HELD: bool> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a, PLAIN> {
    /// `data`: an object, or a string that holds one.
    fn data(&mut self, into: &mut EventData<'a>) -> Option<()> {
        self.skip_space();
        if self.peek()? == b'{' {
            return self.event_data(into);
        }
        self.take(b'"')?;
        let mut held = Scanner::<HELD> { text: self.text, at: self.at };
        held.event_data(into)?;
        held.skip_space();
        self.at = held.at;
        self.take(b'"')
    }
}

// Of a key that comes twice the last value counts, whole: an object begins anew.
impl<'a, const IS_HELD: bool> Scanner<'a, IS_HELD> {
    fn event_data(&mut self, into: &mut EventData<'a>) -> Option<()> {
        self.object(|scanner, key| match key {
            b"timestamp" => scanner.scalar().map(|value| into.timestamp = value),
            b"request" => {
                into.request = Request::default();
                scanner.request(&mut into.request)
            }
            _ => scanner.skip(DEPTH_MAX),
        })
    }

    fn request(&mut self, into: &mut Request<'a>) -> Option<()> {
        self.object(|scanner, key| match key {
            b"url" => scanner.scalar().map(|value| into.url = value),
            b"parameters" => {
                into.parameters = Parameters::default();
                scanner.parameters(&mut into.parameters)
            }
            _ => scanner.skip(DEPTH_MAX),
        })
    }

    fn parameters(&mut self, into: &mut Parameters<'a>) -> Option<()> {
        self.object(|scanner, key| match into.slot(key) {
            Some(slot) => scanner.scalar().map(|value| *slot = value),
            None => scanner.skip(DEPTH_MAX),
        })
    }

    /// Passes each key of an object to `member`, which reads or skips the value.
    #[inline]
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.skip_space();
        self.take(b'{')?;
        self.skip_space();
        if self.peek()? == b'}' {
            return self.take(b'}');
        }
        loop {
            self.skip_space();
            let (start, end) = self.plain_string()?;
            let key = self.text.as_bytes().get(start..end)?;
            self.skip_space();
            self.take(b':')?;
            member(self, key)?;
            self.skip_space();
            if self.peek()? == b'}' {
                return self.take(b'}');
            }
            self.take(b',')?;
        }
    }

    /// A string without escapes, a whole number without sign, or `null`.
    fn scalar(&mut self) -> Option<Scalar<'a>> {
        self.skip_space();
        match self.peek()? {
            b'"' | b'\\' => {
                let (start, end) = self.plain_string()?;
                self.text.get(start..end).map(|text| Scalar::Text(Cow::Borrowed(text)))
            }
            b'n' => self.take_word("null").map(|()| Scalar::Absent),
            _ => self.number().map(|number| Scalar::Integer(number.into())),
        }
    }

    /// A value that charging does not read. Escapes are checked as serde checks what it ignores:
    /// unpaired surrogates are allowed.
    fn skip(&mut self, depth: u32) -> Option<()> {
        self.skip_space();
        match self.peek()? {
            b'"' | b'\\' => self.skip_string(),
            b'{' => {
                let depth = depth.checked_sub(1)?;
                self.object(|scanner, _| scanner.skip(depth))
            }
            b'n' => self.take_word("null"),
            b't' => self.take_word("true"),
            b'f' => self.take_word("false"),
            _ => self.number().map(drop),
        }
    }

    /// A whole number without sign. Zeros before it are no JSON.
    fn number(&mut self) -> Option<u64> {
        let rest = self.text.get(self.at..)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest.get(..digits)?;
        self.at += digits;
        let is_whole = !matches!(self.peek()?, b'.' | b'e' | b'E');
        let has_form = digits <= DIGITS_MAX && (digits == 1 || !number.starts_with('0'));
        if is_whole && has_form { number.parse().ok() } else { None }
    }

    /// Start and end of a string without escapes.
    #[inline]
    fn plain_string(&mut self) -> Option<(usize, usize)> {
        self.take_quote()?;
        let start = self.at;
        let end = self.next_special()?;
        self.at = end;
        self.take_quote()?;
        Some((start, end))
    }

    #[inline]
    fn skip_string(&mut self) -> Option<()> {
        self.take_quote()?;
        loop {
            self.at = self.next_special()?;
            if self.take_quote().is_some() {
                return Some(());
            }
            self.skip_escape()?;
        }
    }

    fn skip_escape(&mut self) -> Option<()> {
        self.take_backslash()?;
        match self.peek()? {
            b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let digits = self.text.as_bytes().get(self.at + 1..self.at + 5)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                self.at += 5;
            }
            _ => self.take_quote().or_else(|| self.take_backslash())?,
        }
        Some(())
    }

    /// Place of the next quote, backslash or control character.
    #[inline]
    fn next_special(&self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            if let Some(found) = first_special(*eight) {
                return Some(at + found);
            }
            at += 8;
        }
        let rest = bytes.get(at..)?;
        let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20));
        found.map(|found| at + found)
    }

    #[inline]
    fn take_quote(&mut self) -> Option<()> {
        self.take_word(if IS_HELD { "\\\"" } else { "\"" })
    }

    #[inline]
    fn take_backslash(&mut self) -> Option<()> {
        self.take_word(if IS_HELD { "\\\\" } else { "\\" })
    }

    #[inline]
    fn take_word(&mut self, word: &str) -> Option<()> {
        let is_next = self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes());
        is_next.then(|| self.at += word.len())
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// White space; in a string, spaces only, since others are escaped there.
    #[inline]
    fn skip_space(&mut self) {
        while let Some(byte @ ..=b' ') = self.peek() {
            match byte {
                b' ' => self.at += 1,
                b'\n' | b'\r' | b'\t' if !IS_HELD => self.at += 1,
                _ => return,
            }
        }
    }
}

/// The first quote, backslash or control character among eight bytes.
///
/// The highest bit of a byte is set if an ASCII byte less a limit is below zero. The borrow reaches
/// only bytes after the first that is found (Bit Twiddling Hacks, `hasless`).
#[inline]
fn first_special(eight: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    let bytes = u64::from_le_bytes(eight);
    let less = |bytes: u64, limit: u8| bytes.wrapping_sub(ONES * u64::from(limit));
    let is_control = less(bytes, 0x20);
    let is_quote = less(bytes ^ (ONES * u64::from(b'"')), 1);
    let is_backslash = less(bytes ^ (ONES * u64::from(b'\\')), 1);
    let found = (is_control | is_quote | is_backslash) & !bytes & (ONES * 0x80);
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}
