//! Writes events in Twilio's own shapes. Pure, and allocates only to grow its buffers: it must
//! never be what limits a benchmark.

use chrono::{DateTime, Datelike, Timelike, Utc};

use super::call::{Call, Direction, End, PLACES, Shape, Status};

/// Letters of a SID: two for the kind and 32 hexadecimal digits.
pub(super) type Sid = [u8; 34];

/// A deliberate fault of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The JSON is cut off.
    BrokenJson,
    /// A completed call without `CallDuration`.
    NoDuration,
    /// An `AccountSid` that no account has.
    UnknownAccount,
    /// A call reported before with another duration.
    OtherDuration,
}

/// One event to write.
pub(super) struct Event<'a> {
    pub(super) call: &'a Call,
    pub(super) account_sid: &'a Sid,
    pub(super) status: Status,
    pub(super) shape: Shape,
    pub(super) sequence: u8,
    /// Tells the events of one call apart; the same in a repeated delivery.
    pub(super) delivery: u8,
    pub(super) fault: Option<Fault>,
    pub(super) at: DateTime<Utc>,
}

/// Writes records one after the other into its own buffers.
#[derive(Default)]
pub(super) struct Renderer {
    record: Vec<u8>,
    data: Vec<u8>,
}

impl Renderer {
    /// The record's value; valid until the next call.
    pub(super) fn call(&mut self, event: &Event<'_>) -> &[u8] {
        self.record.clear();
        match event.shape {
            Shape::Flat => write_parameters(&mut self.record, event),
            Shape::Cloud { older, text } => {
                self.data.clear();
                write_data(&mut self.data, event);
                write_envelope(&mut self.record, event, older);
                if text {
                    write_as_string(&mut self.record, &self.data);
                } else {
                    self.record.extend_from_slice(&self.data);
                }
                self.record.push(b'}');
            }
        }
        if event.fault == Some(Fault::BrokenJson) {
            self.record.truncate(self.record.len() / 2);
        }
        &self.record
    }

    /// The value of a rental that is due; valid until the next call.
    pub(super) fn rental(&mut self, rental: &Rental<'_>) -> &[u8] {
        let out = &mut self.record;
        out.clear();
        put(
            out,
            r#"{"specversion":"1.0","type":"callmeter.number.rental.due","source":"/scheduler","id":"RN"#,
        );
        put_hex(out, rental.number);
        put(out, r#"","time":""#);
        put_rfc3339(out, rental.at);
        put(out, r#"","data":{"AccountSid":""#);
        out.extend_from_slice(rental.account_sid);
        put(out, r#"","PhoneNumberSid":"PN"#);
        put_hex(out, rental.number);
        put(out, r#"","PhoneNumber":""#);
        put_end(out, rental.phone);
        put(out, r#"","IsoCountry":"US","NumberType":"#);
        put(out, if rental.toll_free { r#""toll free""# } else { r#""local""# });
        put(out, r#","PeriodStart":""#);
        put_date(out, rental.at);
        put(out, r#"","MonthlyPrice":"#);
        put(out, if rental.toll_free { r#""2.15"}}"# } else { r#""1.15"}}"# });
        out
    }
}

/// A month of a number's rent that is due.
pub(super) struct Rental<'a> {
    pub(super) account_sid: &'a Sid,
    pub(super) number: u128,
    pub(super) phone: End,
    pub(super) toll_free: bool,
    /// Its date is the first day of the period.
    pub(super) at: DateTime<Utc>,
}

/// A SID of `kind` (two letters).
pub(super) fn sid(kind: [u8; 2], number: u128) -> Sid {
    let mut letters = Vec::with_capacity(34);
    letters.extend_from_slice(&kind);
    put_hex(&mut letters, number);
    letters.try_into().expect("two letters and 32 digits")
}

fn write_envelope(out: &mut Vec<u8>, event: &Event<'_>, older: bool) {
    put(out, r#"{"specversion":"1.0","type":""#);
    put(out, "com.twilio.voice.");
    put(out, if older { "webhook.status-callback.call." } else { "status-callback.call." });
    put(out, event.status.event());
    put(out, r#"","source":"/2010-04-01/Accounts/"#);
    out.extend_from_slice(event.account_sid);
    put(out, "/Calls/CA");
    put_hex(out, event.call.sid);
    put(out, r#".json","id":"EZ"#);
    put_hex(out, event_id(event));
    put(out, r#"","dataschema":"https://events-schemas.twilio.com/Voice.WebhookEvent/"#);
    put(out, if older { "1" } else { "2" });
    put(out, r#"","datacontenttype":"application/json","time":""#);
    put_rfc3339(out, event.at);
    put(out, r#"","data":"#);
}

fn event_id(event: &Event<'_>) -> u128 {
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let number = u128::from(event.sequence) << 8 | u128::from(event.delivery);
    (event.call.sid ^ number).wrapping_mul(ODD)
}

fn write_data(out: &mut Vec<u8>, event: &Event<'_>) {
    put(out, r#"{"sid":"CA"#);
    put_hex(out, event.call.sid);
    put(out, r#"","requestDateCreated":""#);
    put_rfc2822(out, event.at);
    put(out, r#"","timestamp":""#);
    put_rfc3339(out, event.at);
    put(out, r#"","eventSid":"VW"#);
    put_hex(out, event_id(event).rotate_left(64));
    put(
        out,
        r#"","request":{"method":"POST","url":"https://example.com/twilio/status","parameters":"#,
    );
    write_parameters(out, event);
    put(
        out,
        r#"},"response":{"responseCode":204,"requestDuration":41,"contentType":"","responseBody":"","#,
    );
    put(out, r#""dateCreated":""#);
    put_rfc2822(out, event.at);
    put(out, r#""}}"#);
}

fn write_parameters(out: &mut Vec<u8>, event: &Event<'_>) {
    let call = event.call;
    put(out, r#"{"CallSid":"CA"#);
    put_hex(out, call.sid);
    put(out, r#"","AccountSid":""#);
    out.extend_from_slice(event.account_sid);
    put(out, r#"","ApiVersion":"2010-04-01","CallbackSource":"call-progress-events","#);
    write_party(out, "From", "Caller", call.from);
    write_party(out, "To", "Called", call.to);
    put(out, r#""Direction":""#);
    put(out, call.direction.word());
    put(out, r#"","Timestamp":""#);
    put_rfc2822(out, event.at);
    put(out, r#"","SequenceNumber":""#);
    put_number(out, event.sequence.into());
    put(out, "\"");
    if call.parent != 0 {
        put(out, r#","ParentCallSid":"CA"#);
        put_hex(out, call.parent);
        put(out, "\"");
    }
    if event.status.is_end() {
        write_durations(out, event);
    }
    if call.by_machine && call.direction == Direction::OutboundApi && event.status.is_end() {
        put(out, r#","AnsweredBy":"machine_end_beep""#);
    }
    put(out, r#","CallStatus":""#);
    put(out, event.status.word());
    put(out, r#""}"#);
}

fn write_durations(out: &mut Vec<u8>, event: &Event<'_>) {
    let call = event.call;
    let quote = if call.as_numbers { "" } else { "\"" };
    if let Some(minutes) = call.minutes {
        put(out, r#","Duration":"#);
        put(out, quote);
        put_number(out, minutes);
        put(out, quote);
    }
    let seconds = match event.fault {
        Some(Fault::NoDuration) => return,
        Some(Fault::OtherDuration) => call.seconds + 61,
        _ => call.seconds,
    };
    put(out, r#","CallDuration":"#);
    put(out, quote);
    put_number(out, seconds);
    put(out, quote);
}

/// The parameters of one party, under both names that Twilio uses.
fn write_party(out: &mut Vec<u8>, name: &str, other_name: &str, end: End) {
    for name in [name, other_name] {
        put(out, "\"");
        put(out, name);
        put(out, r#"":""#);
        put_end(out, end);
        put(out, r#"","#);
        if let End::Phone { place, .. } = end {
            let place = &PLACES[usize::from(place)];
            for (part, value) in [
                ("Country", place.country),
                ("State", place.state),
                ("City", place.city),
                ("Zip", place.zip),
            ] {
                put(out, "\"");
                put(out, name);
                put(out, part);
                put(out, r#"":""#);
                put(out, value);
                put(out, r#"","#);
            }
        }
    }
}

fn write_as_string(out: &mut Vec<u8>, json: &[u8]) {
    out.push(b'"');
    for part in json.split_inclusive(|byte| *byte == b'"') {
        match part.split_last() {
            Some((b'"', text)) => {
                out.extend_from_slice(text);
                put(out, r#"\""#);
            }
            _ => out.extend_from_slice(part),
        }
    }
    out.push(b'"');
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// A party of a call as Twilio names it.
pub(super) fn end_name(end: End) -> String {
    let mut name = Vec::new();
    put_end(&mut name, end);
    String::from_utf8_lossy(&name).into_owned()
}

fn put_end(out: &mut Vec<u8>, end: End) {
    match end {
        End::Phone { place, line } => {
            let place = &PLACES[usize::from(place)];
            put(out, place.prefix);
            let lines = 10_u32.pow(u32::try_from(place.digits).expect("few digits"));
            put_digits(out, line % lines, place.digits);
        }
        End::Client(line) => {
            put(out, "client:agent");
            put_number(out, line % 1_000);
        }
        End::Sip(line) => {
            put(out, "sip:desk");
            put_number(out, line % 1_000);
            put(out, "@pbx.example.com");
        }
        End::Anonymous => put(out, "anonymous"),
    }
}

fn put_hex(out: &mut Vec<u8>, number: u128) {
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
    out.extend_from_slice(&digits);
}

/// The last `count` digits, with leading zeros.
fn put_digits(out: &mut Vec<u8>, number: u32, count: usize) {
    let mut digits = [b'0'; 10];
    let mut left = number;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(left % 10).expect("a digit");
        left /= 10;
    }
    out.extend_from_slice(&digits[10 - count..]);
}

fn put_number(out: &mut Vec<u8>, number: u32) {
    let count = number.checked_ilog10().map_or(1, |power| power as usize + 1);
    put_digits(out, number, count);
}

fn put_date(out: &mut Vec<u8>, at: DateTime<Utc>) {
    put_digits(out, at.year().unsigned_abs(), 4);
    out.push(b'-');
    put_digits(out, at.month(), 2);
    out.push(b'-');
    put_digits(out, at.day(), 2);
}

fn put_time(out: &mut Vec<u8>, at: DateTime<Utc>) {
    put_digits(out, at.hour(), 2);
    out.push(b':');
    put_digits(out, at.minute(), 2);
    out.push(b':');
    put_digits(out, at.second(), 2);
}

fn put_rfc3339(out: &mut Vec<u8>, at: DateTime<Utc>) {
    put_date(out, at);
    out.push(b'T');
    put_time(out, at);
    out.push(b'.');
    put_digits(out, at.timestamp_subsec_millis(), 3);
    out.push(b'Z');
}

fn put_rfc2822(out: &mut Vec<u8>, at: DateTime<Utc>) {
    const DAYS: [&str; 7] = ["Mon, ", "Tue, ", "Wed, ", "Thu, ", "Fri, ", "Sat, ", "Sun, "];
    const MONTHS: [&str; 12] = [
        " Jan ", " Feb ", " Mar ", " Apr ", " May ", " Jun ", " Jul ", " Aug ", " Sep ", " Oct ",
        " Nov ", " Dec ",
    ];
    put(out, DAYS[at.weekday().num_days_from_monday() as usize]);
    put_digits(out, at.day(), 2);
    put(out, MONTHS[at.month0() as usize]);
    put_digits(out, at.year().unsigned_abs(), 4);
    out.push(b' ');
    put_time(out, at);
    put(out, " +0000");
}
