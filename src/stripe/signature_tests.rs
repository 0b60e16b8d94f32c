//! Signatures as Python's `hmac` computes them, and what must not pass for one.

use chrono::TimeDelta;

use super::*;

const ONE: &str = "whsec_test_secret_one_0123456789abcdef";
const TWO: &str = "whsec_rolled_fedcba9876543210";
const BODY: &[u8] = br#"{"id":"evt_1","object":"event"}"#;
const TIME: i64 = 1_764_000_000;
/// Of `BODY` at `TIME`, with `ONE`.
const BY_ONE: &str = "992fda2d7aa414a997e08eecb68f1c32211c48ddacd2779a2a45a193333de9b7";
/// Of `BODY` at `TIME`, with `TWO`.
const BY_TWO: &str = "873d623caa9f7d32ee85379305f39d5ad41821c78d51ec79e5e9dc28046c0141";
const WRONG: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts.iter().map(|text| Secret::from((*text).to_owned())).collect()
}

fn check(header: &str, body: &[u8], texts: &[&str]) -> Result<(), BadSignature> {
    verify(header, body, &secrets(texts), at(TIME))
}

#[test]
fn signatures_are_those_that_another_implementation_computes() {
    let unicode = "{\n  \"id\": \"evt_2\",\n  \"name\": \"Zoë ☎\"\n}";
    for (body, signature) in [
        (BODY, BY_ONE),
        (unicode.as_bytes(), "a95ecdf54a95772bfa56dceb8e75a79a13612ccc0cbbeb77055c83d99b5ca372"),
        (b"", "f9f22cbe3120f848631d929eabbbb1cfdc7a2d3c554f28778fd358a774c71bc7"),
        (
            &[0xff, 0x00, 0x2e, 0x80],
            "10faef84aebe5dd19dcdeff541815f7359f76ee47219d46faa2796267f18313e",
        ),
    ] {
        let header = format!("t={TIME},v1={signature}");
        assert_eq!(sign(&secrets(&[ONE])[0], body, at(TIME)), header);
        assert_eq!(check(&header, body, &[ONE]), Ok(()));
        assert_eq!(check(&header, body, &[TWO]), Err(BadSignature::Wrong));
        let longer = [body, b" "].concat();
        assert_eq!(check(&header, &longer, &[ONE]), Err(BadSignature::Wrong));
    }
}

#[test]
fn while_a_secret_rolls_any_of_the_secrets_may_have_signed() {
    let both = format!("t={TIME},v1={BY_TWO},v1={BY_ONE},v0={WRONG}");
    let old = format!("t={TIME},v1={BY_ONE}");
    for (header, texts) in [
        (&both, &[ONE][..]),
        (&both, &[TWO]),
        (&both, &[TWO, ONE]),
        (&old, &[TWO, ONE]),
        (&old, &[ONE, TWO]),
    ] {
        assert_eq!(check(header, BODY, texts), Ok(()), "{header} {}", texts.len());
    }
    assert_eq!(check(&old, BODY, &[TWO]), Err(BadSignature::Wrong));
    assert_eq!(check(&both, BODY, &["another"]), Err(BadSignature::Wrong));
}

#[test]
fn a_signature_counts_for_300_seconds_both_ways() {
    let header = format!("t={TIME},v1={BY_ONE}");
    for (age, expected) in [
        (0, Ok(())),
        (300, Ok(())),
        (301, Err(BadSignature::TooOld)),
        (86_400 * 30, Err(BadSignature::TooOld)),
        (-300, Ok(())),
        (-301, Err(BadSignature::Ahead)),
    ] {
        let now = at(TIME) + TimeDelta::seconds(age);
        assert_eq!(verify(&header, BODY, &secrets(&[ONE]), now), expected, "{age} s");
    }
    let first = "t=0,v1=a0bd19711e694335b777f35b99c24e6ef7bdb4ea30995c7a89f4e0c5af78a65e";
    assert_eq!(check(first, BODY, &[ONE]), Err(BadSignature::TooOld));
    // The time is signed: another one is a forgery, however fresh.
    let moved = format!("t={},v1={BY_ONE}", TIME + 1);
    assert_eq!(check(&moved, BODY, &[ONE]), Err(BadSignature::Wrong));
    let stale_forgery = format!("t=1,v1={BY_ONE}");
    assert_eq!(check(&stale_forgery, BODY, &[ONE]), Err(BadSignature::Wrong));
}

#[test]
fn no_secret_and_an_empty_secret_verify_nothing() {
    let header = format!("t={TIME},v1={BY_ONE}");
    assert_eq!(check(&header, BODY, &[]), Err(BadSignature::Wrong));
    let by_empty = "593fa0cf6d98cdc9beea97a2a3dc5e5c2afefcd438417c890e5e61805b1955dd";
    let header = format!("t={TIME},v1={by_empty}");
    assert_eq!(check(&header, BODY, &[""]), Err(BadSignature::Wrong));
    assert_eq!(check(&header, BODY, &["", ONE]), Err(BadSignature::Wrong));
}

#[test]
fn a_header_of_another_form_is_refused() {
    for header in [
        String::new(),
        ",".to_owned(),
        "=".to_owned(),
        "t".to_owned(),
        "v1".to_owned(),
        BY_ONE.to_owned(),
        format!("v1={BY_ONE}"),
        format!("t={TIME}"),
        format!("t=,v1={BY_ONE}"),
        format!("t={TIME},v0={BY_ONE}"),
        format!("t={TIME},V1={BY_ONE}"),
        format!("T={TIME},v1={BY_ONE}"),
        format!("t={TIME};v1={BY_ONE}"),
        format!("t={TIME} v1={BY_ONE}"),
        format!("t={TIME}, v1={BY_ONE}"),
        format!(" t={TIME},v1={BY_ONE}"),
        format!("t={TIME},v1={BY_ONE},"),
        format!("t={TIME},v1"),
        format!("t={TIME},t={TIME},v1={BY_ONE}"),
        format!("t=1,t={TIME},v1={BY_ONE}"),
        format!("t=+{TIME},v1={BY_ONE}"),
        format!("t=-{TIME},v1={BY_ONE}"),
        format!("t={TIME}.0,v1={BY_ONE}"),
        format!("t= {TIME},v1={BY_ONE}"),
        format!("t=0x1,v1={BY_ONE}"),
        format!("t=1e9,v1={BY_ONE}"),
        format!("t=\u{0661},v1={BY_ONE}"),
        format!("t=9999999999999,v1={BY_ONE}"),
        format!("t={},v1={BY_ONE}", u128::MAX),
    ] {
        assert_eq!(check(&header, BODY, &[ONE]), Err(BadSignature::Malformed), "{header:?}");
    }
    for header in [
        format!("t={TIME},v1="),
        format!("t={TIME},v1==={BY_ONE}"),
        format!("t={TIME},v1={}", &BY_ONE[1..]),
        format!("t={TIME},v1={}", &BY_ONE[2..]),
        format!("t={TIME},v1={BY_ONE}00"),
        format!("t={TIME},v1= {BY_ONE}"),
        format!("t={TIME},v1=x{}", &BY_ONE[1..]),
        format!("t={TIME},v1={WRONG},v1={WRONG}"),
        format!("t=0{TIME},v1={BY_ONE}"),
        // Of time and body without the full stop.
        format!("t={TIME},v1=70357b22fa6b9fa9740ce97ef9b30b360d7955c539dd41312c55c173db52e7ca"),
    ] {
        assert_eq!(check(&header, BODY, &[ONE]), Err(BadSignature::Wrong), "{header:?}");
    }
    // What a new scheme adds does no harm.
    let newer = format!("v2=abc,t={TIME},v1=zz,v1={BY_ONE},x=,v3=a=b");
    assert_eq!(check(&newer, BODY, &[ONE]), Ok(()));
}
