//! A status callback: the form that Twilio posts becomes a flat object for the topic of calls.

use serde_json::{Map, Value};

use super::signature::pairs;

/// Name of the parameter for the campaign of a call.
const TAG: &str = "tag";

/// Creates the record of a form: every parameter is a string. If a key comes twice its last value
/// counts, as in the decoder. Bytes that are not UTF-8 become replacement characters.
pub(super) fn record(form: &[(Vec<u8>, Vec<u8>)], tag: Option<&str>) -> Vec<u8> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let parameters = form.iter().map(|(key, value)| (text(key), Value::String(text(value))));
    let mut parameters: Map<String, Value> = parameters.collect();
    if let Some(tag) = tag {
        parameters.insert(TAG.to_owned(), Value::String(tag.to_owned()));
    }
    Value::Object(parameters).to_string().into_bytes()
}

/// The tag in the address of a callback, if any.
pub(super) fn tag(query: &str) -> Option<String> {
    let (_, tag) = pairs(query.as_bytes()).into_iter().find(|(key, _)| key == TAG.as_bytes())?;
    (!tag.is_empty()).then(|| String::from_utf8_lossy(&tag).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(form: &str, query: &str, expected: &str) {
        let record = record(&pairs(form.as_bytes()), tag(query).as_deref());
        assert_eq!(String::from_utf8(record).unwrap(), expected, "{form} {query}");
    }

    #[test]
    fn a_form_becomes_a_flat_object_of_strings() {
        check("A=1&B=two+words&C=%2B44", "", r#"{"A":"1","B":"two words","C":"+44"}"#);
        check("ToCity=S%C3%A3o&ToZip=", "", r#"{"ToCity":"São","ToZip":""}"#);
        check("A=1&A=2&B&=x&&", "", r#"{"":"x","A":"2","B":""}"#);
        check(
            "A=%00&B=%FF%22&C=%zz",
            "",
            "{\"A\":\"\\u0000\",\"B\":\"\u{fffd}\\\"\",\"C\":\"%zz\"}",
        );
        check("", "", "{}");
    }

    #[test]
    fn the_tag_of_the_address_wins() {
        check("A=1", "x=2&tag=spring+sale", r#"{"A":"1","tag":"spring sale"}"#);
        check("tag=own", "tag=", r#"{"tag":"own"}"#);
        check("tag=own", "tag=a&tag=b", r#"{"tag":"a"}"#);
    }
}
