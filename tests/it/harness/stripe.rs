//! The local Stripe on its own thread.

use callmeter::clock::Clock;
use callmeter::simulate::stripe::{Behaviour, Keys, LocalStripe, serve};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// The secret with which it signs web hooks.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_of_the_tests";

pub(crate) struct Stripe {
    pub(crate) local: LocalStripe,
    pub(crate) url: String,
    pub(crate) keys: Keys,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Stripe {
    pub(crate) fn start(behaviour: Behaviour) -> Stripe {
        Stripe::start_at(Clock::system(), behaviour)
    }

    /// Starts one whose time is another clock's.
    pub(crate) fn start_at(clock: Clock, behaviour: Behaviour) -> Stripe {
        let keys = Keys {
            secret: "sk_test_of_the_tests".to_owned(),
            publishable: "pk_test_of_the_tests".to_owned(),
        };
        let local = LocalStripe::new(clock, behaviour, keys.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("a listener");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (stop, stopped) = oneshot::channel::<()>();
        let served = local.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let stopped = async {
                    drop(stopped.await);
                };
                serve(served, listener, stopped).await.expect("the local Stripe serves");
            });
        });
        Stripe { local, url, keys, stop: Some(stop), thread: Some(thread) }
    }

    /// Delivers events to a process: the base URL of its API, such as `http://127.0.0.1:8080`.
    pub(crate) fn deliver_to(&self, base: &str) {
        self.local.register_webhook(&format!("{base}/webhooks/stripe"), WEBHOOK_SECRET);
    }

    /// The settings with which a process finds it.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CALLMETER__STRIPE__API_BASE", self.url.clone()),
            ("CALLMETER__STRIPE__JS_URL", format!("{}/v3/", self.url)),
            ("STRIPE_API_KEY", self.keys.secret.clone()),
            ("STRIPE_PUBLISHABLE_KEY", self.keys.publishable.clone()),
            ("STRIPE_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned()),
        ]
    }
}

impl Drop for Stripe {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
