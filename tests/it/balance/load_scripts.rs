//! The scripts that load accounts and restore lost holds: their contracts, as tables.

use super::table::Table;

async fn check(table: &str) {
    Table::new().run(table).await;
}

#[tokio::test]
async fn a_load_is_refused_where_redis_lost_its_memory_after_what_it_brings_was_read() {
    check(
        "announce                       =>
         flush                          =>
         load balance=50000             => forgotten
         state                          => unknown
         announce                       =>
         load balance=50000             => loaded 0
         announce                       =>
         load balance=50000             => current",
    )
    .await;
}

#[tokio::test]
async fn restore_brings_back_what_a_load_missed_and_tells_by_how_much_the_pool_is_passed() {
    check(
        "load balance=48000             => loaded 0
         place CA1 60                   => new granted=60 held=14000 allowance=0
         place CA2 60                   => new granted=60 held=14000 allowance=0
         restore CA1                    => standing
         settle 1..2 CA2 balance=34000  => projected 1
         restore CA2                    => standing
         flush                          =>
         restore CA1                    => unknown
         load version=2 balance=34000 over=CA2 => loaded 0
         place CA3 120                  => new granted=120 held=28000 allowance=0 final
         restore CA2                    => over
         restore CA1                    => restored beyond=8000
         restore CA1                    => standing
         state                          => version=2 balance=34000 holds=2 held=42000",
    )
    .await;
}

#[tokio::test]
async fn restore_takes_the_later_of_two_holds_and_none_that_is_due() {
    check(
        "load balance=100000            => loaded 0
         place CA1 60                   => new granted=60 held=14000 allowance=0
         place CA2 60                   => new granted=60 held=14000 allowance=0
         flush                          =>
         load balance=100000 journal    => loaded 2
         extend CA1 120                 => more granted=120 held=28000 allowance=0
         flush                          =>
         load balance=100000            => loaded 0
         tick 1                         =>
         place CA1 60                   => new granted=60 held=14000 allowance=0
         restore CA1                    => standing
         tick 481                       =>
         restore CA2                    => over
         state                          => version=1 balance=100000 holds=1 held=14000",
    )
    .await;
}

#[tokio::test]
async fn look_tells_what_is_held_of_money_and_of_each_cycle() {
    check(
        "look                           => unknown
         load balance=28000             => loaded 0
         look                           => version=1 holds=0 held=0
         plan 100                       =>
         place CA1 50                   => new granted=50 held=0 allowance=60
         place CA2 60                   => new granted=60 held=4667 allowance=40
         look                           => version=1 holds=2 held=4667 allowance=100
         tick 900                       =>
         look                           => version=1 holds=2 held=4667 allowance=100
         incarnation 2                  =>
         look                           => unknown",
    )
    .await;
}

#[tokio::test]
async fn a_load_never_replaces_what_is_newer() {
    check(
        "load version=3 balance=50000   => loaded 0
         place CA1 60                   => new granted=60 held=14000 allowance=0
         load version=3 balance=1       => current
         load version=2 balance=1       => current
         load version=5 balance=1       => gap 3 0
         state                          => version=3 balance=50000 holds=1 held=14000
         flush                          =>
         settle 6..7 balance=1 CA1      => unknown
         load journal version=6 balance=9 => behind
         load journal version=7 balance=1 => loaded 0
         state                          => version=7 balance=1 holds=0 held=0",
    )
    .await;
}

#[tokio::test]
async fn a_load_brings_back_neither_what_is_due_nor_what_is_over() {
    check(
        "load balance=100000            => loaded 0
         place CA1 60                   => new granted=60 held=14000 allowance=0
         tick 240                       =>
         place CA2 60                   => new granted=60 held=14000 allowance=0
         place CA3 60                   => new granted=60 held=14000 allowance=0
         flush                          =>
         void CA3                       => freed
         tick 241                       =>
         load journal balance=100000    => loaded 1
         state                          => version=1 balance=100000 holds=1 held=14000",
    )
    .await;
}

#[tokio::test]
async fn a_newer_incarnation_replaces_the_wallet_and_keeps_the_holds() {
    check(
        "load version=9 balance=50000   => loaded 0
         plan 60                        =>
         place CA1 120                  => new granted=120 held=14000 allowance=60
         place CA3 60                   => new granted=60 held=14000 allowance=0
         incarnation 2                  =>
         place CA2 60                   => unknown incarnation
         settle 3..4 balance=90000 CA3  => unknown
         load version=4 balance=90000   => loaded 1
         state                          => version=4 balance=90000 holds=1 held=14000
         void CA1                       => freed
         place CA2 60                   => new granted=60 held=0 allowance=60
         incarnation 1                  =>
         settle 9..10 balance=1         => newer 2
         load version=10 balance=1      => newer 2",
    )
    .await;
}

#[tokio::test]
async fn a_call_is_looked_up_where_not_all_that_are_over_are_known() {
    check(
        "load balance=100000 over=CA1 unsure=9 => loaded 0
         place CA1 60                   => denied call_already_settled 0
         place CA2 60                   => unsure
         place CA2 60 known             => new granted=60 held=14000 allowance=0
         place CA2 60                   => again granted=60 held=14000 allowance=0
         remember CA3 unsure=8 next=7   => others
         remember CA4 unsure=9 next=7   => remembered
         place CA5 60                   => unsure
         remember unsure=7              => remembered
         place CA4 60                   => denied call_already_settled 0
         place CA3 60                   => denied call_already_settled 0
         place CA5 60                   => new granted=60 held=14000 allowance=0
         state                          => version=1 balance=100000 holds=2 held=28000",
    )
    .await;
}

#[tokio::test]
async fn holds_are_read_in_pages_and_calls_without_are_told() {
    let mut table = Table::new();
    table.run("missing CA1 => ").await;
    table.run("load balance=2000000 over=CA7 => loaded 0").await;
    for number in 100..140 {
        let line = format!("place CA{number} 60 => new granted=60 held=14000 allowance=0");
        table.run(&line).await;
    }
    let all: Vec<_> = (100..140).map(|number| format!("CA{number}")).collect();
    table.run(&format!("holds 10 => {}", all.join(" "))).await;
    table.run("missing CA100 CA8 CA7 CA139 CA9 => CA8 CA9").await;
}

#[tokio::test]
async fn what_was_granted_without_redis_takes_the_place_of_no_other_hold() {
    let mut table = Table::new();
    table.run("load balance=100000 => loaded 0").await;
    table.run("place CA1 60 => new granted=60 held=14000 allowance=0").await;
    table.granted_without_redis("CA1");
    table.granted_without_redis("CA2");
    table.run("restore CA1 => standing").await;
    table.run("place CA2 300 stream => new granted=300 held=70000 allowance=0").await;
    table.granted_without_redis("CA2");
    table.run("restore CA2 => standing").await;
    table.run("place CA3 1 => new granted=1 held=14000 allowance=0").await;
    table.run("void CA3 => freed").await;
    table.granted_without_redis("CA3");
    table.run("restore CA3 => standing").await;
    table.run("state => version=1 balance=100000 holds=2 held=84000").await;
}
