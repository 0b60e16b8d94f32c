//! Invalid input to every setting and command: one clear line, exit code 2, nothing changed.

use crate::harness::command::{Ran, finish};
use crate::harness::samples::{account, account_sid, no_account_sids};
use crate::harness::service::free_port;
use crate::harness::system::{Setup, System};
use sqlx::{PgConnection, Row as _};

/// Exit code 2 and one line that contains `word` and is not a crash.
fn assert_refused(what: &str, ran: &Ran, word: &str) {
    assert_eq!(ran.code, Some(2), "{what}: {ran:?}");
    let lines: Vec<&str> = ran.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "{what} is answered by more or less than one line: {ran:?}");
    let line = lines[0].to_lowercase();
    assert!(line.contains(&word.to_lowercase()), "{what}: {word} is not named: {ran:?}");
    assert!(!line.contains("panicked") && line.len() < 500, "{what}: {ran:?}");
    assert!(!ran.stderr.contains("hunter2"), "{what}: a secret is shown: {ran:?}");
}

/// The number of rows in every table, which a refused command must not change.
async fn rows(sql: &mut PgConnection) -> Vec<(String, i64)> {
    let tables = sqlx::query(
        "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1",
    )
    .fetch_all(&mut *sql)
    .await
    .expect("the tables");
    let mut counts = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        let query = format!("SELECT count(*) FROM {table}");
        let count = sqlx::query(&query).fetch_one(&mut *sql).await.expect("a count").get(0);
        counts.push((table, count));
    }
    counts
}

#[tokio::test]
async fn a_bad_setting_is_refused_in_one_line_that_names_it() {
    let setup = Setup { verified: false, ..Setup::default() };
    let system = System::with(setup).await;
    // Name, value (none: not set), and what the line must name.
    let cases: [(&str, Option<&str>, &str); 50] = [
        ("DATABASE_URL", None, "DATABASE_URL"),
        ("DATABASE_URL", Some(""), "DATABASE_URL"),
        ("DATABASE_URL", Some("mysql://callmeter:hunter2@127.0.0.1/x"), "DATABASE_URL"),
        ("REDIS_URL", None, "REDIS_URL"),
        ("REDIS_URL", Some("http://:hunter2@127.0.0.1"), "REDIS_URL"),
        ("REDIS_URL", Some("redis://127.0.0.1:6379/x"), "REDIS_URL"),
        ("CALLMETER__CLOCK__OFFSET_SECONDS", Some("60"), "twilio.api_base"),
        ("CALLMETER__CLOCK__OFFSET_SECONDS", Some("an hour"), "clock.offset_seconds"),
        ("CALLMETER__WEBHOOKS__ALLOW_PRIVATE_TARGETS", Some("maybe"), "webhooks.allow_private"),
        ("CALLMETER__WEBHOOKS__ALLOWED_NETWORKS", Some("10.0.0.0/99"), "webhooks.allowed_networks"),
        ("CALLMETER__WEBHOOKS__RESOLVER", Some("nowhere"), "webhooks.resolver"),
        ("CALLMETER__WEBHOOKS__RETRY_SECONDS", Some("5,soon"), "webhooks.retry_seconds"),
        ("CALLMETER__MAIL__SMTP_URL", Some("http://me:hunter2@127.0.0.1"), "mail.smtp_url"),
        ("CALLMETER__MAIL__SMTP_URL", Some("smtp://me:hunter2@127.0.0.1"), "mail.from"),
        ("KAFKA_BROKERS", None, "KAFKA_BROKERS"),
        ("KAFKA_BROKERS", Some("127.0.0.1:port"), "KAFKA_BROKERS"),
        ("CALLMETER__HTTP__LISTEN", Some("8080"), "http.listen"),
        ("CALLMETER__HTTP__LISTEN", Some("127.0.0.1:99999"), "http.listen"),
        ("CALLMETER__HTTP__INTERNAL_LISTEN", Some("nowhere"), "http.internal_listen"),
        ("CALLMETER__HTTP__ADMIN_KEY", Some("hunter2"), "http.admin_key"),
        ("CALLMETER__HTTP__PUBLIC_URL", Some("not a url"), "http.public_url"),
        ("CALLMETER__HTTP__PUBLIC_URL", Some("https://"), "http.public_url"),
        ("CALLMETER__HTTP__PUBLIC_URL", Some("https://:443"), "http.public_url"),
        ("CALLMETER__HTTP__PUBLIC_URL", Some("https://a b"), "http.public_url"),
        ("CALLMETER__HTTP__PUBLIC_URL", Some("https://a.example?x=1"), "query"),
        ("CALLMETER__HTTP__PUBLIC_URL", Some("https://a.example/path?"), "query"),
        ("CALLMETER__HTTP__PUBLIC_URL", Some("https://a.example/path#part"), "fragment"),
        ("CALLMETER__HTTP__PUBLIC_URL", Some("https://me:hunter2@a.example"), "user"),
        ("CALLMETER__HTTP__CONNECTIONS_MAX", Some("0"), "http.connections_max"),
        ("CALLMETER__HTTP__FAILED_LOGINS_BURST", Some("0"), "http.failed_logins_burst"),
        ("CALLMETER__HTTP__AUTHORIZATION_THREADS", Some("0"), "http.authorization_threads"),
        ("CALLMETER__HTTP__AUTHORIZATION_THREADS", Some("65"), "http.authorization_threads"),
        (
            "CALLMETER__HTTP__ACCOUNT_KEY_REQUESTS_PER_SECOND",
            Some("1000001"),
            "http.account_key_requests_per_second",
        ),
        ("TWILIO_SHARED_KEYS", Some("hunter2"), "twilio.shared_keys"),
        ("TWILIO_SHARED_KEYS", Some("one=hunter2,,two=hunter2"), "key 2"),
        ("TWILIO_SHARED_KEYS", Some("one=hunter2,one=hunter2"), "key 2"),
        ("CALLMETER__TWILIO__SHARED_KEYS", Some("one=hunter2, hunter2"), "twilio.shared_keys"),
        ("TWILIO_SHARED_KEYS_FILE", Some("/no/such/secret"), "/no/such/secret"),
        ("CALLMETER__CATALOG__PATH", Some("/no/such/catalog.toml"), "/no/such/catalog.toml"),
        ("CALLMETER__KAFKA__PARTITIONS", Some("0"), "kafka.partitions"),
        ("CALLMETER__KAFKA__PARTITIONS", Some("-4"), "kafka.partitions"),
        ("CALLMETER__KAFKA__PARTITIONS", Some("four"), "kafka.partitions"),
        ("CALLMETER__KAFKA__TOPIC_CALLS", Some("no spaces please"), "kafka.topic_calls"),
        ("CALLMETER__KAFKA__TOPIC_CALLS", Some("same"), "kafka.topic"),
        ("CALLMETER__KAFKA__PARTITION", Some("4"), "partition"),
        ("CALLMETER__KAFKAS__PARTITIONS", Some("4"), "kafkas"),
        ("CALLMETER__HTTP", Some("x"), "http"),
        ("CALLMETER__COLOUR", Some("red"), "colour"),
        ("DATABASE_URL_FILE", Some("/no/such/secret"), "DATABASE_URL_FILE"),
        ("CALLMETER__HTTP__ADMIN_KEY_FILE", Some("/no/such/secret"), "/no/such/secret"),
    ];
    for (name, value, word) in cases {
        for arguments in [&["serve"][..], &["config", "check"]] {
            let mut command = system.command(arguments);
            command.env("CALLMETER__HTTP__LISTEN", format!("127.0.0.1:{}", free_port()));
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
            if value == Some("same") {
                command.env("CALLMETER__KAFKA__TOPIC_RENTALS", "same");
            }
            let what = format!("{arguments:?} with {name}={value:?}");
            assert_refused(&what, &finish(command), word);
        }
    }
    system.run(&["config", "check"]).expect_success();
}

#[tokio::test]
async fn a_bad_settings_file_is_refused_in_one_line_that_names_it() {
    let setup = Setup { verified: false, ..Setup::default() };
    let system = System::with(setup).await;
    let path = system.catalog_path().with_file_name("settings.toml");
    let name = path.to_str().expect("UTF-8");
    let cases = [
        ("[kafka", "settings.toml"),
        ("[kafka]\npartitions = \"four\"\n", "kafka.partitions"),
        ("[kafka]\npartition = 4\n", "partition"),
        ("[colour]\nred = 1\n", "colour"),
    ];
    for (text, word) in cases {
        std::fs::write(&path, text).expect("the file is written");
        assert_refused(text, &system.run(&["--config", name, "config", "check"]), word);
    }
    std::fs::remove_file(&path).expect("it was there");
    assert_refused("no file", &system.run(&["--config", name, "config", "check"]), "settings.toml");
    std::fs::write(&path, "[kafka]\npartitions = 7\n").expect("the file is written");
    let shown = system.run(&["--config", name, "config", "show"]).expect_success().stdout;
    assert!(shown.contains("partitions = 7"), "{shown}");
    assert!(!shown.contains("an-admin-key-of-the-tests"), "secrets are masked: {shown}");
}

#[tokio::test]
async fn a_bad_command_is_refused_in_one_line_and_changes_nothing() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, [&account("acme", 1_000_000)]).await;
    let mut sql = system.sql().await;
    let before = rows(&mut sql).await;
    let long = "x".repeat(65);
    let sid = account_sid(1);
    let create = ["account", "create"];
    let acme = ["account", "subscribe", "acme"];
    let set = ["offsets", "set"];
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (vec![], "command"),
        (vec!["sevre"], "sevre"),
        (vec!["serve", "--role", "cook"], "cook"),
        (vec!["serve", "--role", ""], "role"),
        (vec!["serve", "extra"], "extra"),
        (vec!["serve", "--port", "1"], "--port"),
        (vec!["migrate", "down"], "down"),
        (vec!["verify", "--fast"], "--fast"),
        (create.to_vec(), "id"),
        ([&create[..], &["new"]].concat(), "--"),
        ([&create[..], &["a b", "--name", "A", "--twilio-account-sid", &sid]].concat(), "a b"),
        ([&create[..], &[&long, "--name", "A", "--twilio-account-sid", &sid]].concat(), "id"),
        ([&create[..], &["new", "--name", "", "--twilio-account-sid", &sid]].concat(), "name"),
        ([&create[..], &["new", "--name", "A", "--twilio-account-sid", ""]].concat(), "sid"),
        (
            [&create[..], &["new", "--name", "A", "--twilio-account-sid", &sid]]
                .concat()
                .into_iter()
                .chain(["--opening-balance", "ten"])
                .collect(),
            "ten",
        ),
        (
            [&create[..], &["new", "--name", "A", "--twilio-account-sid", &sid]]
                .concat()
                .into_iter()
                .chain(["--opening-balance=-1"])
                .collect(),
            "-1",
        ),
        ([&acme[..], &["--plan", "starter", "--starts-at", "soon"]].concat(), "soon"),
        (
            [&acme[..], &["--plan", "starter", "--starts-at", "2026-02-30T00:00:00Z"]].concat(),
            "2026-02-30",
        ),
        (vec!["account", "show"], "id"),
        (vec!["account", "paint", "acme"], "paint"),
        (vec!["rejects"], "rejects"),
        (vec!["rejects", "show"], "id"),
        (vec!["rejects", "show", "first"], "first"),
        (vec!["rejects", "list", "--xml"], "--xml"),
        (set.to_vec(), "--"),
        (
            [&set[..], &["--topic", "t", "--partition", "-1", "--offset", "0", "--reason", "x"]]
                .concat(),
            "-1",
        ),
        (
            [&set[..], &["--topic", "t", "--partition", "0", "--offset", "x", "--reason", "x"]]
                .concat(),
            "offset",
        ),
        (
            [&set[..], &["--topic", "t", "--partition", "0", "--offset", "0", "--reason", ""]]
                .concat(),
            "reason",
        ),
        (vec!["simulate", "--accounts", "0"], "accounts"),
        (vec!["simulate", "--calls", "-1"], "-1"),
        (vec!["simulate", "--rate", "fast"], "fast"),
        (vec!["simulate", "--duplicates", "1000"], "duplicates"),
        (vec!["config"], "config"),
        (vec!["config", "paint"], "paint"),
        (vec!["status", "please"], "please"),
    ];
    for (arguments, word) in cases {
        assert_refused(&format!("{arguments:?}"), &system.run(&arguments), word);
    }
    assert_eq!(rows(&mut sql).await, before);
}

#[tokio::test]
async fn an_account_sid_that_is_none_is_refused_by_whatever_takes_one_and_changes_nothing() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_000_000)]).await;
    let mut sql = system.sql().await;
    let before = rows(&mut sql).await;
    let named = ["account", "create", "new", "--name", "A", "--twilio-account-sid"];
    let token = ["account", "token", "acme", "--forget", "--twilio-account-sid"];
    for sid in no_account_sids() {
        for command in [&named[..], &["account", "link", "acme"], &token] {
            let arguments = [command, &[&sid]].concat();
            assert_refused(&format!("{arguments:?}"), &system.run(&arguments), &sid);
        }
        let mut command = system.command(&["config", "check"]);
        command.env("TWILIO_ACCOUNT_SID", &sid);
        assert_refused(&sid, &finish(command), "twilio.account_sid");
    }
    assert_eq!(rows(&mut sql).await, before);
}

#[tokio::test]
async fn a_command_that_fails_says_so_in_one_line_and_changes_nothing() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let mut sql = system.sql().await;
    let before = rows(&mut sql).await;
    let sid = account_sid(1);
    let set = ["--partition", "0", "--offset", "0", "--reason", "x"];
    let cases: [(Vec<&str>, &str); 8] = [
        (vec!["account", "show", "nobody"], "nobody"),
        (vec!["account", "close", "nobody"], "nobody"),
        (vec!["account", "subscribe", "nobody", "--plan", "starter"], "nobody"),
        (vec!["account", "subscribe", "acme", "--plan", "gold"], "plan"),
        (vec!["account", "create", "acme", "--name", "A", "--twilio-account-sid", &sid], "acme"),
        (
            vec!["account", "create", "new", "--name", "A", "--twilio-account-sid", &acme.sid],
            &acme.sid,
        ),
        (vec!["rejects", "show", "999999"], "999999"),
        (
            ["offsets", "set", "--topic", "no.such.topic"].into_iter().chain(set).collect(),
            "no.such.topic",
        ),
    ];
    for (arguments, word) in cases {
        let ran = system.run(&arguments);
        let refused = matches!(ran.code, Some(1 | 2));
        assert!(refused, "{arguments:?}: {ran:?}");
        assert_eq!(ran.stderr.trim().lines().count(), 1, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(word), "{arguments:?}: {word} is not named: {ran:?}");
    }
    assert_eq!(rows(&mut sql).await, before);
}

#[tokio::test]
async fn a_command_without_its_servers_fails_in_one_line() {
    let setup = Setup { verified: false, ..Setup::default() };
    let system = System::with(setup).await;
    let nobody = free_port();
    let cases = [
        ("DATABASE_URL", format!("postgres://callmeter:hunter2@127.0.0.1:{nobody}/x")),
        ("DATABASE_URL", "postgres://callmeter:hunter2@no-such-host.invalid/x".to_owned()),
    ];
    for (name, value) in cases {
        for arguments in
            [&["migrate"][..], &["verify"], &["rejects", "list"], &["account", "show", "x"]]
        {
            let mut command = system.command(arguments);
            command.env(name, &value);
            let ran = finish(command);
            assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
            assert_eq!(ran.stderr.trim().lines().count(), 1, "{arguments:?}: {ran:?}");
            assert!(!ran.stderr.contains("hunter2"), "a secret is shown: {ran:?}");
        }
    }
}
