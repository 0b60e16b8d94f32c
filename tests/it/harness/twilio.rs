//! The local Twilio on its own thread, and traffic that both it and Kafka receive.

use super::samples::{completed, on_calls};
use crate::model::account::Account;
use crate::model::time::{At, rfc2822};
use crate::traffic::Outgoing;
use callmeter::clock::Clock;
use callmeter::simulate::twilio::{Behaviour, LocalTwilio, Subscriber, serve};
use serde_json::{Value, json};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

pub(crate) struct Twilio {
    pub(crate) local: LocalTwilio,
    pub(crate) url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The auth token of an account at the local Twilio.
pub(crate) fn token(account: &Account) -> String {
    format!("the-auth-token-of-{}", account.id)
}

impl Twilio {
    pub(crate) fn start(behaviour: Behaviour) -> Twilio {
        let local = LocalTwilio::new(Clock::system(), behaviour);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("a listener");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel::<()>();
        let served = local.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                // A request that hangs must not delay the end of the test.
                let stopped = async {
                    drop(stopped.await);
                };
                tokio::select! {
                    served = serve(served, listener, std::future::pending()) => {
                        served.expect("the local Twilio serves");
                    }
                    () = stopped => {}
                }
            });
        });
        Twilio { local, url, stop: Some(stop), thread: Some(thread) }
    }

    /// Adds an account, as a sub-account if it has a parent.
    pub(crate) fn subscribe(&self, account: &Account, parent: Option<&Account>) {
        self.local.subscribe(Subscriber {
            account_sid: account.sid.clone(),
            auth_token: token(account),
            parent: parent.map(|parent| parent.sid.clone()),
        });
    }

    /// The settings with which a process finds it, with one account's token for all.
    pub(crate) fn settings(&self, account: &Account) -> Vec<(&'static str, String)> {
        vec![
            ("CALLMETER__TWILIO__API_BASE", self.url.clone()),
            ("TWILIO_ACCOUNT_SID", account.sid.clone()),
            ("TWILIO_AUTH_TOKEN", token(account)),
        ]
    }

    /// Adds a call from the parameters of its callback.
    pub(crate) fn learn(&self, callback: &Value) {
        self.local.learn(callback).expect("a callback");
    }
}

impl Drop for Twilio {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The callback parameters of a call with any end. Each call has a unique length.
pub(crate) fn callback(account: &Account, call_sid: &str, status: &str, end: At) -> Value {
    let mut callback = completed(account, call_sid, 0, end);
    callback["CallStatus"] = json!(status);
    callback["Timestamp"] = json!(rfc2822(end, 0));
    callback.as_object_mut().expect("an object").remove("CallDuration");
    callback
}

/// The record of a callback, on any partition.
pub(crate) fn record(number: usize, callback: &Value) -> Outgoing {
    on_calls(i32::try_from(number % 4).expect("a small number"), callback)
}
