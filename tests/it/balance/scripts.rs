//! The contract of each script, as tables.

use super::table::Table;

async fn check(table: &str) {
    Table::new().run(table).await;
}

#[tokio::test]
async fn place_keeps_the_price_of_what_it_grants_and_answers_the_same_again() {
    check(
        "place CA1 300                  => unknown absent
         load balance=50000             => loaded 0
         place CA1 300                  => new granted=180 held=42000 allowance=0 final
         place CA1 300                  => again granted=180 held=42000 allowance=0 final
         place CA1 9999                 => again granted=180 held=42000 allowance=0 final
         state                          => version=1 balance=50000 holds=1 held=42000
         place CA2 300                  => denied insufficient_funds 6000
         state                          => version=1 balance=50000 holds=1 held=42000",
    )
    .await;
}

#[tokio::test]
async fn all_calls_draw_on_one_pool_of_allowance_and_money() {
    check(
        "load balance=28000 used=0      =>  loaded 0
         plan 240                       =>
         place CA1 90                   => new granted=90 held=0 allowance=120
         place CA2 100                  => new granted=100 held=0 allowance=120
         place CA3 61                   => new granted=61 held=28000 allowance=0
         place CA4 1                    => denied insufficient_funds 14000
         void CA1                       => freed
         place CA4 500                  => new granted=120 held=0 allowance=120 final
         state                          => version=1 balance=28000 holds=3 held=28000",
    )
    .await;
}

#[tokio::test]
async fn a_plan_that_blocks_grants_its_allowance_and_no_money() {
    check(
        "load balance=1000000 used=60   => loaded 0
         plan 150 block                 =>
         place CA1 500                  => new granted=60 held=0 allowance=60 final
         place CA2 500                  => denied allowance_exhausted 0",
    )
    .await;
}

#[tokio::test]
async fn a_credit_limit_is_granted_and_a_debt_is_not() {
    check(
        "load balance=-14000 limit=28000 => loaded 0
         place CA1 300                  => new granted=60 held=14000 allowance=0 final
         place CA2 300                  => denied insufficient_funds 14000
         settle 1..2 balance=-40000     => projected 0
         place CA3 300                  => denied insufficient_funds 68000",
    )
    .await;
}

#[tokio::test]
async fn place_refuses_for_every_reason_in_one_order() {
    check(
        "load balance=1000000 calls=2 over=CA9 => loaded 0
         place CA1 60                   => new granted=60 held=14000 allowance=0
         place CA2 60 blocked           => denied destination_blocked 0
         place CA2 60                   => new granted=60 held=14000 allowance=0
         place CA3 60                   => denied too_many_calls 0
         place CA3 60 blocked           => denied too_many_calls 0
         place CA9 60 blocked           => denied call_already_settled 0
         settle 1..2 balance=0 status=closed => projected 0
         place CA3 60                   => denied account_closed 0
         place CA9 60                   => denied call_already_settled 0
         place CA1 60                   => again granted=60 held=14000 allowance=0",
    )
    .await;
}

#[tokio::test]
async fn terms_of_another_document_are_never_used() {
    check(
        "load balance=1000000           => loaded 0
         terms r2                       =>
         place CA1 60                   => stale r1: document of r1
         state                          => version=1 balance=1000000 holds=0 held=0
         settle 1..2 balance=5 status=open => projected 0
         terms r1                       =>
         place CA1 60                   => stale r2: changed",
    )
    .await;
}

#[tokio::test]
async fn an_account_is_found_by_no_account_sid_that_is_not_its_own() {
    check(
        "load balance=1000000           => loaded 0
         place CA1 60 sid=AC1           => new granted=60 held=14000 allowance=0
         place CA2 60 sid=AC2           => unknown moved
         void CA1 sid=AC2               => unknown moved
         state                          => version=1 balance=1000000 holds=1 held=14000
         void CA1 sid=AC1               => freed
         void CA1 sid=AC1               => nothing
         place CA1 60                   => denied call_already_settled 0",
    )
    .await;
}

#[tokio::test]
async fn by_an_account_sid_nothing_is_voided_before_the_account_is_loaded() {
    check(
        "void CA1 sid=AC1               => unknown absent
         void CA2                       => freed
         load balance=1000000           => loaded 0
         place CA1 60                   => new granted=60 held=14000 allowance=0
         place CA2 60                   => denied call_already_settled 0",
    )
    .await;
}

#[tokio::test]
async fn the_stream_takes_what_there_is_and_is_never_refused() {
    check(
        "load balance=20000 calls=1     => loaded 0
         place CA1 300 stream           => new granted=60 held=14000 allowance=0 final
         place CA2 300 stream           => new granted=0 held=0 allowance=0 final
         place CA2 300 stream           => again granted=0 held=0 allowance=0 final
         state                          => version=1 balance=20000 holds=2 held=14000
         settle 1..2 balance=6000 CA1   => projected 1
         place CA1 300 stream           => denied call_already_settled 0
         void CA2                       => freed
         place CA2 300 stream           => denied call_already_settled 0
         state                          => version=2 balance=6000 holds=0 held=0",
    )
    .await;
}

#[tokio::test]
async fn a_call_of_the_stream_is_decided_anew_when_it_is_first_authorized() {
    check(
        "load balance=30000             => loaded 0
         place CA1 60 stream            => new granted=60 held=14000 allowance=0
         place CA1 300                  => new granted=120 held=28000 allowance=0 final
         place CA1 900                  => again granted=120 held=28000 allowance=0 final
         place CA2 300 stream           => new granted=0 held=0 allowance=0 final
         place CA2 300                  => denied insufficient_funds 12000
         state                          => version=1 balance=30000 holds=2 held=28000",
    )
    .await;
}

#[tokio::test]
async fn extend_gives_what_the_pool_allows_and_takes_nothing_back() {
    check(
        "load balance=140000            => loaded 0
         extend CA1 300                 => absent
         place CA1 60                   => new granted=60 held=14000 allowance=0
         extend CA1 300 op=a            => more granted=300 held=70000 allowance=0
         extend CA1 900 op=a            => same granted=300 held=70000 allowance=0
         extend CA1 900 op=b            => more granted=600 held=140000 allowance=0 final
         extend CA1 900 op=c            => same granted=600 held=140000 allowance=0 final
         extend CA1 30                  => same granted=600 held=140000 allowance=0 final
         settle 1..2 balance=100000     => projected 0
         extend CA1 601                 => same granted=600 held=140000 allowance=0 final
         settle 2..3 balance=0 CA1      => projected 1
         extend CA1 601                 => settled
         state                          => version=3 balance=0 holds=0 held=0",
    )
    .await;
}

#[tokio::test]
async fn final_says_that_no_more_can_be_had_now_whatever_was_asked() {
    check(
        "load balance=28000             => loaded 0
         place CA1 600                  => new granted=120 held=28000 allowance=0 final
         extend CA1 60                  => same granted=120 held=28000 allowance=0 final
         place CA1 600                  => again granted=120 held=28000 allowance=0 final
         settle 1..2 balance=280000     => projected 0
         extend CA1 60                  => same granted=120 held=28000 allowance=0
         settle 2..3 balance=28000 status=closed => projected 0
         extend CA1 60                  => same granted=120 held=28000 allowance=0 final",
    )
    .await;
}

#[tokio::test]
async fn a_hold_of_the_stream_cannot_be_extended_before_it_is_authorized() {
    check(
        "load balance=42000             => loaded 0
         place CA1 300 stream           => new granted=180 held=42000 allowance=0 final
         extend CA1 600                 => absent
         place CA1 60 blocked           => denied destination_blocked 0
         extend CA1 600                 => absent
         place CA1 60                   => new granted=60 held=14000 allowance=0
         extend CA1 120                 => more granted=120 held=28000 allowance=0
         settle 1..2 balance=28000      => projected 0
         place CA2 60 stream            => new granted=0 held=0 allowance=0 final
         place CA2 60                   => denied insufficient_funds 14000
         extend CA2 60                  => absent
         place CA2 60                   => denied insufficient_funds 14000",
    )
    .await;
}

#[tokio::test]
async fn extend_keeps_the_terms_that_the_call_was_allowed_at() {
    check(
        "load balance=100000 used=0     => loaded 0
         plan 120                       =>
         place CA1 60                   => new granted=60 held=0 allowance=60
         place CA2 60                   => new granted=60 held=0 allowance=60
         extend CA1 180                 => more granted=180 held=28000 allowance=60
         void CA2                       => freed
         extend CA1 240                 => more granted=240 held=28000 allowance=120",
    )
    .await;
}

#[tokio::test]
async fn void_frees_the_hold_and_lets_none_be_placed_again() {
    check(
        "void CA1                       => freed
         load balance=50000             => loaded 0
         place CA1 60                   => denied call_already_settled 0
         place CA2 60                   => new granted=60 held=14000 allowance=0
         void CA2                       => freed
         void CA2                       => nothing
         place CA2 60                   => denied call_already_settled 0
         tick 86400                     =>
         place CA2 60                   => denied call_already_settled 0
         state                          => version=1 balance=50000 holds=0 held=0",
    )
    .await;
}

#[tokio::test]
async fn a_hold_lives_for_ring_time_granted_time_and_grace() {
    check(
        "load balance=50000             => loaded 0
         place CA1 60                   => new granted=60 held=14000 allowance=0
         tick 479                       =>
         expire 16                      => expired 0
         extend CA1 120                 => more granted=120 held=28000 allowance=0
         tick 2                         =>
         expire 16                      => expired 0
         tick 60                        =>
         extend CA1 180                 => absent
         state                          => version=1 balance=50000 holds=0 held=0
         place CA1 60                   => new granted=60 held=14000 allowance=0",
    )
    .await;
}

#[tokio::test]
async fn each_step_releases_a_bounded_number_of_holds() {
    let mut table = Table::new();
    table.run("load balance=2000000 => loaded 0").await;
    for number in 0..40 {
        let line = format!("place CA{number} 60 => new granted=60 held=14000 allowance=0");
        table.run(&line).await;
    }
    table
        .run(
            "state                      => version=1 balance=2000000 holds=40 held=560000
             tick 500                   =>
             expire 10                  => expired 10
             state                      => version=1 balance=2000000 holds=30 held=420000
             place CA99 60              => new granted=60 held=14000 allowance=0
             state                      => version=1 balance=2000000 holds=15 held=210000
             expire 100                 => expired 30
             expire 100                 => expired 0
             state                      => version=1 balance=2000000 holds=1 held=14000",
        )
        .await;
}

#[tokio::test]
async fn a_hold_that_is_due_is_no_answer_though_many_are_due_at_once() {
    let mut table = Table::new();
    table.run("load balance=2000000 => loaded 0").await;
    for number in 0..40 {
        let line = format!("place CA{number} 60 => new granted=60 held=14000 allowance=0");
        table.run(&line).await;
    }
    table
        .run(
            "tick 500                   =>
             place CA39 60              => new granted=60 held=14000 allowance=0
             place CA39 60              => again granted=60 held=14000 allowance=0
             expire 100                 => expired 40
             state                      => version=1 balance=2000000 holds=1 held=14000",
        )
        .await;
}

#[tokio::test]
async fn a_call_is_not_refused_for_holds_that_are_due() {
    let mut table = Table::new();
    table.run("load balance=420000 => loaded 0").await;
    for number in 0..29 {
        let line = format!("place CA{number} 60 => new granted=60 held=14000 allowance=0");
        table.run(&line).await;
    }
    table
        .run(
            "place CA29 60              => new granted=60 held=14000 allowance=0 final
             place CA99 900             => denied insufficient_funds 14000
             tick 500                   =>
             place CA99 1200            => new granted=1200 held=280000 allowance=0
             place CA98 1200            => new granted=600 held=140000 allowance=0 final",
        )
        .await;
}

#[tokio::test]
async fn numbers_that_lua_cannot_tell_apart_are_refused() {
    let mut table = Table::new();
    table.run("load balance=9007199254740991 => loaded 0").await;
    table.run("place CA1 60 => new granted=60 held=14000 allowance=0").await;
    table.redis("HSET", &["cm:{acme}", "balance", "9007199254740993"]).await;
    let answer = table.answer("place CA2 60").await;
    assert!(answer.starts_with("refused") && answer.contains("2^53"), "{answer}");
}

#[test]
fn all_keys_of_an_account_have_one_hash_tag() {
    let account = callmeter_core::domain::AccountId::parse("acme").expect("an id");
    for key in callmeter::balance::scripts::keys(&account) {
        let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        assert_eq!(tag.map(|(tag, _)| tag), Some("acme"), "{key}");
    }
}
