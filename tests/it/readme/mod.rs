//! The README's example, followed literally: its blocks run one after the other in one shell with
//! coreutils, curl and cargo in its PATH; every result that the README states must be true.
//!
//! Deviations, and why:
//! - `script/…` runs with the PATH of the tests, because it brings the servers' programs along by
//!   itself;
//! - cargo in that PATH gives `script/build` the program built for the tests, because a release
//!   build takes minutes;
//! - the port is not 8080, because that may be taken;
//! - it waits for the charges before it asks for them, because it is faster than a reader.

mod shell;

use std::time::Duration;

use serde_json::Value;
use serde_json::de::Deserializer;

use shell::Shell;

/// Timeout until the events are charged.
const CHARGED_MAX: Duration = Duration::from_secs(30);

/// The example's shell blocks, and its whole text.
fn example() -> (Vec<&'static str>, &'static str) {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("\n## Try it with your own events\n").expect("an example");
    let (text, _) = rest.split_once("\n### ").expect("its end");
    let fenced = text.split("\n```sh\n").skip(1);
    let blocks = fenced.map(|rest| rest.split_once("\n```\n").expect("the end of a block").0);
    (blocks.collect(), text)
}

/// Three answers in JSON and one in CSV, one after the other.
fn answers(output: &str) -> ([Value; 3], &str) {
    let mut stream = Deserializer::from_str(output).into_iter::<Value>();
    let values = [0; 3].map(|_| stream.next().expect("an answer").expect("JSON"));
    let end = stream.byte_offset();
    (values, &output[end..])
}

fn of_call<'a>(calls: &'a Value, number: &str) -> &'a Value {
    let items = calls["items"].as_array().expect("calls");
    let found =
        items.iter().find(|it| it["call_sid"].as_str().is_some_and(|it| it.ends_with(number)));
    found.unwrap_or_else(|| panic!("call {number} in {calls}"))
}

#[tokio::test]
async fn the_example_of_the_readme_works_to_the_letter() {
    let (blocks, text) = example();
    let mut shell = Shell::new();
    let publishes = |block: &&&str| block.contains("callmeter publish");
    let first_look = blocks.iter().position(|block| block.contains("$api/wallet"));
    let first_look = first_look.expect("a look at what became of the events");
    for block in &blocks[..first_look] {
        let said = shell.run(block).await;
        let is_sent = said.contains("published 1 to ");
        assert_eq!(is_sent, block.contains("callmeter publish"), "{block}\n{said}");
    }
    let charges = "curl -s -H \"Authorization: Bearer $CALLMETER__HTTP__ADMIN_KEY\" \
                   http://127.0.0.1:8080/v1/accounts/acme/transactions";
    let metrics = "curl -s http://127.0.0.1:8080/metrics";
    until_says(&mut shell, charges, "number_rental", 1).await;
    until_says(&mut shell, charges, "\"call", 2).await;

    let said = shell.run(blocks[first_look]).await;
    let ([wallet, calls, transactions], csv) = answers(&said);
    assert!(text.contains("The balance is `\"23.190000\"`"), "{text}");
    assert_eq!(wallet["balance"], "23.190000", "{said}");
    let (first, second) = (of_call(&calls, "1"), of_call(&calls, "2"));
    assert!(text.contains("120 of the 6,000 included seconds"), "{text}");
    assert_eq!((&first["allowance_seconds"], &first["amount"]), (&120.into(), &"0.000000".into()));
    assert!(text.contains("5,880 left\nand 22 minutes at 0.030 dollars: 0.66"), "{text}");
    assert_eq!(second["allowance_seconds"], 5_880, "{second}");
    assert_eq!(second["wallet_seconds"], 22 * 60, "{second}");
    assert_eq!(
        (&second["rate_per_minute"], &second["amount"]),
        (&"0.030000".into(), &"0.660000".into())
    );
    let items = transactions["items"].as_array().expect("transactions");
    let rent = items.iter().find(|it| it["kind"] == "number_rental").expect("a rent");
    assert!(rent["amount"].as_str().is_some_and(|it| it.ends_with("1.150000")), "{rent}");
    assert_eq!(csv.lines().count(), items.len() + 1, "{csv}");

    // "Publish any of them again, as often as you like: nothing is charged twice."
    for block in blocks.iter().filter(publishes) {
        shell.run(block).await;
    }
    let duplicates = "callmeter_events_total{outcome=\"duplicate\"} 3\n";
    until_says(&mut shell, metrics, duplicates, 1).await;
    let said = shell.run(blocks[first_look]).await;
    assert_eq!(answers(&said).0[0]["balance"], "23.190000", "{said}");

    for block in &blocks[first_look + 1..] {
        let said = shell.run(block).await;
        assert!(!said.contains("\"code\":"), "{block}\n{said}");
    }
    shell.assert_nothing_runs();
}

/// Runs a command until its output contains a text this many times.
async fn until_says(shell: &mut Shell, command: &str, text: &str, times: usize) {
    let deadline = std::time::Instant::now() + CHARGED_MAX;
    let mut said = String::new();
    while said.matches(text).count() < times {
        assert!(std::time::Instant::now() < deadline, "no {text} in {said}\n{}", shell.log());
        said = shell.run(command).await;
    }
}
