//! Connections below the level of requests: half-sent, idle, too many, and at shutdown.

use crate::harness::api::ADMIN_KEY;
use crate::harness::poll::{SOON, until};
use crate::harness::system::System;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const HALF: &[u8] = b"GET /livez HTTP/1.1\r\nHost: x\r\n";

/// Served on the page's threads.
const HALF_OF_A_PAGE: &[u8] = b"GET /wallet HTTP/1.1\r\nHost: x\r\n";

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.expect("it listens")
}

/// Everything until the other side closes the connection, which it must.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut bytes)).await;
    // Reset or closed: both end the connection.
    drop(read.expect("the connection is closed"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first bytes.
async fn first(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 1024];
    let read = tokio::time::timeout(SOON, stream.read(&mut bytes)).await;
    let length = read.expect("something comes").expect("bytes");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// Starts a request whose body is still expected: it is in progress.
async fn begin_request(port: u16, body: &str) -> TcpStream {
    let mut stream = connect(port).await;
    let head = format!(
        "POST /v1/keys HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    let asked = first(&mut stream).await;
    assert!(asked.starts_with("HTTP/1.1 100 "), "{asked}");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_head_stays_half_sent_loses_its_connection() {
    let mut system = System::new().await;
    let index = system.start("api", &[("CALLMETER__HTTP__REQUEST_SECONDS_MAX", "1")]);
    system.ready(index).await;
    let port = system.services[index].port;
    let (mut half, mut silent) = (connect(port).await, connect(port).await);
    half.write_all(HALF).await.expect("it is sent");
    let mut page = connect(port).await;
    page.write_all(HALF_OF_A_PAGE).await.expect("it is sent");
    let mut again = connect(port).await;
    again.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is sent");
    assert!(first(&mut again).await.starts_with("HTTP/1.1 200 "));
    // The second request of a connection is treated as the first.
    again.write_all(HALF).await.expect("it is sent");
    for stream in [&mut half, &mut silent, &mut page, &mut again] {
        let said = rest(stream).await;
        assert!(!said.contains(" 200 "), "{said}");
    }
}

/// The first request of a connection decides which threads have it; it serves every path all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_has_pages_and_the_api_in_any_order() {
    let mut system = System::new().await;
    let index = system.start("api", &[("CALLMETER__HTTP__AUTHORIZATION_THREADS", "3")]);
    system.ready(index).await;
    let service = &system.services[index];
    let threads = service.threads();
    assert_eq!(threads.iter().filter(|(name, _)| name == "authorizations").count(), 3);
    let port = service.port;
    let head = format!("HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n");
    let api = format!("GET /v1/keys {head}\r\n");
    let page = "GET /wallet/signed-out HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    let authorization = format!(
        "POST /v1/authorizations {head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let status =
        |request| if request == &authorization { "HTTP/1.1 400 " } else { "HTTP/1.1 200 " };
    for order in [
        [&page, &api, &authorization],
        [&api, &authorization, &page],
        [&authorization, &page, &api],
    ] {
        let mut stream = connect(port).await;
        for request in order {
            // In two pieces, the first of which does not tell the path.
            let (method, rest) = request.split_at(6);
            stream.write_all(method.as_bytes()).await.expect("it is sent");
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(rest.as_bytes()).await.expect("it is sent");
            let said = whole(&mut stream).await;
            assert!(said.starts_with(status(request)), "{said}");
            let is_page = said.contains("<!doctype html>");
            assert_eq!(is_page, request == &page, "{said}");
        }
        // Two requests at once.
        let both = format!("{}{}", order[0], order[1]);
        let mut stream = connect(port).await;
        stream.write_all(both.as_bytes()).await.expect("they are sent");
        for request in &order[..2] {
            let said = whole(&mut stream).await;
            assert!(said.starts_with(status(request)), "{said}");
            assert_eq!(said.contains("<!doctype html>"), *request == &page, "{said}");
        }
    }
}

/// One answer, by its length.
async fn whole(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(SOON, stream.read_u8()).await;
        head.push(byte.expect("something comes").expect("a byte"));
    }
    let head = String::from_utf8(head).expect("text");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.expect("a length").parse().expect("a number")];
    stream.read_exact(&mut body).await.expect("the body");
    head + &String::from_utf8(body).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_beyond_the_limit_is_closed_at_once_and_counted() {
    let mut system = System::new().await;
    let index = system.start("api", &[("CALLMETER__HTTP__CONNECTIONS_MAX", "4")]);
    let api = system.ready(index).await;
    let port = system.services[index].port;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(connect(port).await);
    }
    // At the latest one of these is refused, since the tests' own client may use some connections.
    let mut beyond = connect(port).await;
    assert_eq!(rest(&mut beyond).await, "");
    drop(streams);
    until("there is room again", SOON, async || {
        let path = "/metrics";
        let sent = api.with_key(None).send(reqwest::Method::GET, path, &[], None).await.ok()?;
        let counted = sent.text.contains("\ncallmeter_http_connections_refused_total ");
        (counted && sent.text.contains("\ncallmeter_http_connections ")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_waits_for_no_idle_or_half_sent_connection() {
    let mut system = System::new().await;
    let index = system.start("api", &[]);
    system.ready(index).await;
    let port = system.services[index].port;
    let mut half = connect(port).await;
    half.write_all(HALF).await.expect("it is sent");
    let mut page = connect(port).await;
    page.write_all(HALF_OF_A_PAGE).await.expect("it is sent");
    let silent = connect(port).await;
    let mut idle = connect(port).await;
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is sent");
    assert!(first(&mut idle).await.starts_with("HTTP/1.1 200 "));
    let (status, took) = system.services[index].terminate();
    assert!(status.success(), "{status}: {}", system.services[index].log_tail());
    assert!(took < Duration::from_secs(4), "{took:?}");
    drop((half, page, silent, idle));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_progress_at_sigterm_is_answered_and_one_that_hangs_is_dropped() {
    let mut system = System::new().await;
    let index = system.start("api", &[]);
    system.ready(index).await;
    let port = system.services[index].port;
    let body = r#"{"name": "x", "scope": "authorize"}"#;
    let mut going = begin_request(port, body).await;
    let mut hanging = begin_request(port, body).await;
    system.services[index].signal("TERM");
    until("it takes no more connections", SOON, async || {
        TcpStream::connect(("127.0.0.1", port)).await.is_err().then_some(())
    })
    .await;
    going.write_all(body.as_bytes()).await.expect("it is sent");
    let answer = rest(&mut going).await;
    assert!(answer.starts_with("HTTP/1.1 201 ") && answer.contains("cmk_"), "{answer}");
    // The stream lasts a while, and then the process still ends successfully.
    let status = system.services[index].ended_within(Duration::from_secs(15));
    assert!(status.success(), "{status}: {}", system.services[index].log_tail());
    assert_eq!(rest(&mut hanging).await, "");
}
