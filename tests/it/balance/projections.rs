//! The contract of projections, and the handling of incomplete wallets, as tables.

use super::table::Table;

async fn check(table: &str) {
    Table::new().run(table).await;
}

#[tokio::test]
async fn a_projection_settles_holds_and_moves_the_balance_in_one_step() {
    check(
        "load version=4 balance=30000   => loaded 0
         place CA1 300                  => new granted=120 held=28000 allowance=0 final
         settle 4..5 balance=2000 CA1   => projected 1
         settle 4..5 balance=2000 CA1   => stale
         state                          => version=5 balance=2000 holds=0 held=0
         settle 7..8 balance=9 CA7      => gap 5 0
         state                          => version=5 balance=2000 holds=0 held=0
         place CA7 60                   => denied call_already_settled 0",
    )
    .await;
}

#[tokio::test]
async fn a_call_of_two_twilio_accounts_settles_its_hold_once() {
    check(
        "load version=4 balance=90000     => loaded 0
         place CA1 60                    => new granted=60 held=14000 allowance=0
         place CA2 60                    => new granted=60 held=14000 allowance=0
         settle 4..6 balance=60000 CA1 CA1 => projected 1
         state                           => version=6 balance=60000 holds=1 held=14000",
    )
    .await;
}

#[tokio::test]
async fn swapped_projections_forget_no_settlement() {
    check(
        "load version=1 balance=100000  => loaded 0
         place CA1 60                   => new granted=60 held=14000 allowance=0
         place CA2 60                   => new granted=60 held=14000 allowance=0
         settle 2..3 balance=72000 CA2  => gap 1 0
         settle 1..3 balance=72000 CA1 CA2 => projected 2
         settle 1..2 balance=86000 CA1  => stale
         state                          => version=3 balance=72000 holds=0 held=0",
    )
    .await;
}

#[tokio::test]
async fn used_seconds_are_projected_with_the_settlement() {
    check(
        "load balance=0 used=0          => loaded 0
         plan 180                       =>
         place CA1 60                   => new granted=60 held=0 allowance=60
         settle 1..2 used=120 CA1       => projected 1
         place CA2 300                  => new granted=60 held=0 allowance=60 final
         place CA3 300                  => denied insufficient_funds 14000",
    )
    .await;
}

#[tokio::test]
async fn a_wallet_that_is_gone_or_torn_is_never_believed() {
    check(
        "load version=3 balance=50000   => loaded 0
         place CA1 60                   => new granted=60 held=14000 allowance=0
         delete :h                      =>
         place CA2 60                   => unknown torn
         extend CA1 90                  => unknown torn
         expire 5                       => unknown
         load journal version=3 balance=50000 => loaded 1
         state                          => version=3 balance=50000 holds=1 held=14000
         delete :x                      =>
         place CA2 60                   => unknown torn
         load journal version=3 balance=50000 => loaded 1
         place CA1 60                   => again granted=60 held=14000 allowance=0
         flush                          =>
         place CA2 60                   => unknown absent
         load journal version=3 balance=50000 => loaded 1
         place CA1 60                   => again granted=60 held=14000 allowance=0
         state                          => version=3 balance=50000 holds=1 held=14000",
    )
    .await;
}

#[tokio::test]
async fn lost_expiries_are_missed_when_one_would_be_due() {
    check(
        "load version=3 balance=90000   => loaded 0
         place CA1 60                   => new granted=60 held=14000 allowance=0
         delete :x                      =>
         place CA2 60                   => new granted=60 held=14000 allowance=0
         settle 3..4 balance=76000 CA2  => projected 1
         state                          => version=4 balance=76000 holds=1 held=14000
         tick 470                       =>
         place CA3 60                   => new granted=60 held=14000 allowance=0
         tick 20                        =>
         place CA4 60                   => unknown torn
         load journal version=4 balance=76000 => loaded 1
         place CA4 60                   => new granted=60 held=14000 allowance=0
         state                          => version=4 balance=76000 holds=2 held=28000",
    )
    .await;
}

#[tokio::test]
async fn calls_that_were_over_are_missed_where_only_they_are_gone() {
    let evicted = "delete :t0 =>
         delete :t1 =>
         delete :t2 =>
         delete :t3 =>";
    check(&format!(
        "load balance=50000 over=CA1    => loaded 0
         {evicted}
         place CA1 60                   => unknown torn
         load balance=50000 over=CA1    => loaded 0
         void CA2                       => nothing
         place CA3 60                   => new granted=60 held=14000 allowance=0
         tick 43200                     =>
         void CA3                       => freed
         tick 43200                     =>
         void CA4                       => nothing
         {evicted}
         void CA5                       => freed
         place CA1 60                   => unknown absent
         load balance=50000 over=CA1    => loaded 0
         tick 129599                    =>
         place CA9 60                   => new granted=60 held=14000 allowance=0
         tick 43200                     =>
         place CA8 60                   => new granted=60 held=14000 allowance=0"
    ))
    .await;
}
