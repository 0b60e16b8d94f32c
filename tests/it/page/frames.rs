//! The wallet in a frame of another site, and the looks that a platform gives it.

use super::World;
use super::in_chromium::run;
use crate::harness::command::finish;
use crate::harness::nginx::Nginx;
use crate::harness::service::free_port;
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::Behaviour;
use serde_json::json;

const PLATFORM: &str = "https://platform.test";

async fn framed(public_url: &str, role: &'static str) -> World {
    let changed = [
        ("CALLMETER__HTTP__PUBLIC_URL", public_url),
        ("CALLMETER__PAGE__FRAME_ANCESTORS", "https://platform.test,https://*.example.com"),
        ("CALLMETER__PAGE__SIGN_IN_URL", "https://platform.test/in"),
    ];
    World::start(Stripe::start(Behaviour::default()), role, &changed).await
}

/// The path of a new link of acme, whose address is public.
async fn link(world: &World, public_url: &str) -> String {
    let path = "/v1/accounts/acme/sign-in-links";
    let link = world.signer.post(path, &json!({})).await.expect(201);
    let url = link["url"].as_str().expect("a url").to_owned();
    url.strip_prefix(public_url).expect("our address").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wallet_works_in_a_cross_site_frame_with_third_party_cookies_blocked() {
    let port = free_port();
    let world = framed(&format!("https://wallet.test:{port}"), "api,jobs").await;
    world.stripe.deliver_to(&world.admin.base);
    let _nginx = Nginx::with_tls(&world.admin, port).await;
    run(&world, "frame.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_sites_of_the_setting_may_frame_it_and_the_cookie_stays_in_their_frames() {
    let public = "https://wallet.example.com";
    let world = framed(public, "api").await;
    let (browser, path) = (world.browser(), link(&world, public).await);
    // The link is not used up before the browser is seen to keep a cookie.
    let tried = browser.get(&path).await.expect(303);
    let trial = tried.header("set-cookie").expect("a trial").to_owned();
    assert!(trial.starts_with("__Host-callmeter-trial=1;"), "{trial}");
    assert_eq!(tried.location(), format!("{path}&tried=1"));
    assert_eq!(tried.header("referrer-policy"), Some("no-referrer"));
    let without = world.browser();
    let offered = without.get(tried.location()).await.expect(200);
    offered.has("keeps no cookies");
    let framed = [("sec-fetch-dest", "iframe")];
    let offered = without.get_with(tried.location(), &framed).await.expect(200);
    offered.has("in a tab of its own");
    assert_eq!(offered.header("referrer-policy"), Some("no-referrer"));
    assert!(offered.text.contains(&format!("href=\"{path}\" target=\"_blank\"")), "{offered:?}");
    let begun = browser.get(tried.location()).await.expect(303);
    let set = begun.header("set-cookie").expect("a cookie");
    for cookie in [set, &trial] {
        for part in ["__Host-callmeter", "HttpOnly", "; SameSite=None; Secure; Partitioned"] {
            assert!(cookie.contains(part), "{part} is not in {cookie}");
        }
    }
    without.get(tried.location()).await.expect(401).has("has expired");
    let overview = browser.get("/wallet").await.expect(200);
    let policy = overview.header("content-security-policy").expect("a policy");
    let ancestors = "frame-ancestors https://platform.test https://*.example.com;";
    assert!(policy.contains(ancestors), "{policy}");
    assert_eq!(overview.header("x-frame-options"), None);
    // A cookie that other sites' requests carry needs the form's text and the page's origin.
    let token = overview.attribute("name=\"form_token\" value");
    let fields = [("form_token", token.as_str())];
    for origin in [None, Some("null"), Some(PLATFORM), Some("https://evil.example")] {
        browser.post("/wallet/sign-out", &fields, origin).await.expect(403);
    }
    browser.post("/wallet/sign-out", &[("form_token", "x")], Some(public)).await.expect(403);
    // A frame without a session names the way to sign in; a tab is led there.
    let strange = world.browser();
    let seen = strange.get_with("/wallet/cards", &framed).await.expect(401);
    seen.has("You are signed out");
    let way = "href=\"https://platform.test/in?next=%2Fwallet%2Fcards\" data-out";
    assert!(seen.text.contains(way), "{}", seen.text);
    strange.get("/wallet/cards").await.expect(303);
    // A tab that had the bank's page has no session, and no secret in its address.
    let back =
        "/wallet/refills/return?payment_intent=pi_1&payment_intent_client_secret=pi_1_secret";
    let answered = strange.get(back).await.expect(303);
    assert_eq!(answered.location(), "/wallet/refills/answered");
    strange.get("/wallet/refills/answered").await.expect(200).has("Your bank has answered");
    browser.post("/wallet/sign-out", &fields, Some(public)).await.expect(303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platforms_name_logo_and_colours_are_on_every_page() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let logo = folder.path().join("logo.svg");
    let picture = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 24 24\"/>";
    std::fs::write(&logo, picture).expect("a logo");
    let changed = [
        ("CALLMETER__PAGE__NAME", "Dial & <Co>"),
        ("CALLMETER__PAGE__LOGO_FILE", logo.to_str().expect("a path")),
        ("CALLMETER__PAGE__ACCENT", "#5b21b6"),
    ];
    let world = World::start(Stripe::start(Behaviour::default()), "api", &changed).await;
    let browser = world.signed_in("acme").await;
    for (session, path) in [(&browser, "/wallet"), (&world.browser(), "/wallet/signed-out")] {
        let seen = session.get(path).await.expect(200);
        assert!(seen.text.contains("<b>Dial &#38; &#60;Co&#62;</b>"), "{}", seen.text);
        let shown = browser.get(&seen.attribute("<img class=\"logo\" src")).await.expect(200);
        assert_eq!((shown.header("content-type"), &*shown.text), (Some("image/svg+xml"), picture));
        let colours = seen.text.split("href=\"").find(|it| it.contains("/assets/colours-"));
        let colours = colours.and_then(|it| it.split('"').next()).expect("a stylesheet");
        browser.get(colours).await.expect(200);
    }
    let wrong = folder.path().join("logo.gif");
    std::fs::write(&wrong, "GIF89a").expect("no logo");
    let mut command = world.system.command(&["serve", "--role", "api"]);
    command.env("CALLMETER__PAGE__LOGO_FILE", &wrong).env("CALLMETER__HTTP__LISTEN", "127.0.0.1:0");
    let ran = finish(command);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(ran.code == Some(1) && said.contains("page.logo_file"), "{ran:?}");
}
