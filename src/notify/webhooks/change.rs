//! The changes of endpoints that their owners ask for.

use std::sync::Arc;

use sqlx::PgConnection;

use super::rules::TargetRefused;
use crate::change::{Affected, Change};
use crate::config::Secret;
use crate::ledger::Refusable;
use crate::ledger::audit::By;
use crate::ledger::webhooks::{
    self, Delivery, DeliveryId, Endpoint, EndpointId, NewEndpoint, NotReplayed, Owner,
    WebhookSecrets,
};

/// An endpoint to create. Its target was checked before.
#[derive(Clone, Debug)]
pub struct CreateEndpoint {
    /// How secrets are sealed.
    pub secrets: Arc<WebhookSecrets>,
    /// The endpoint.
    pub endpoint: NewEndpoint,
    /// Its secret.
    pub secret: Secret,
    /// What the check of its target said.
    pub target: Result<(), TargetRefused>,
}

/// A new endpoint, or one with a new secret.
#[derive(Clone, Debug)]
pub struct Created {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its secret.
    pub secret: Secret,
}

/// Why an endpoint is not created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCreated {
    /// The ledger refuses it.
    Ledger(webhooks::NotCreated),
    /// Its target is not allowed.
    Target(TargetRefused),
    /// `secrets.key` is not set, so nothing can be sealed.
    NotConfigured,
}

/// The caller has no such endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEndpoint;

impl Change for CreateEndpoint {
    type Done = Created;
    type Refusal = NotCreated;
    const NAME: &'static str = "webhooks::create";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Created, NotCreated> {
        if let Err(refused) = &self.target {
            return Ok(Err(NotCreated::Target(refused.clone())));
        }
        if !self.secrets.can_be_set() {
            return Ok(Err(NotCreated::NotConfigured));
        }
        let created = self.secrets.create(connection, &self.endpoint, &self.secret, by).await?;
        let secret = self.secret.clone();
        Ok(created.map(|endpoint| Created { endpoint, secret }).map_err(NotCreated::Ledger))
    }

    fn affects(&self, _: Option<&Created>) -> Affected {
        Affected::nothing()
    }
}

/// A secret to replace.
#[derive(Clone, Debug)]
pub struct RotateSecret {
    /// How secrets are sealed.
    pub secrets: Arc<WebhookSecrets>,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Whose endpoints the caller reaches.
    pub owner: Owner,
    /// The new secret.
    pub secret: Secret,
}

/// Why a secret is not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRotated {
    /// The caller has no such endpoint.
    UnknownEndpoint,
    /// `secrets.key` is not set, so nothing can be sealed.
    NotConfigured,
}

impl Change for RotateSecret {
    type Done = Created;
    type Refusal = NotRotated;
    const NAME: &'static str = "webhooks::rotate";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Created, NotRotated> {
        if !self.secrets.can_be_set() {
            return Ok(Err(NotRotated::NotConfigured));
        }
        let Self { secrets, endpoint, owner, secret } = self;
        let rotated = secrets.rotate(connection, *endpoint, owner, secret, by).await?;
        let rotated = rotated.map(|endpoint| Created { endpoint, secret: secret.clone() });
        Ok(rotated.ok_or(NotRotated::UnknownEndpoint))
    }

    fn affects(&self, _: Option<&Created>) -> Affected {
        Affected::nothing()
    }
}

/// Declares a change of an endpoint that needs no more than its id and who asks.
macro_rules! changes {
    ($($(#[$doc:meta])* $change:ident, $name:literal => $function:path: $done:ty;)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug)]
            pub struct $change {
                /// The endpoint.
                pub endpoint: EndpointId,
                /// Whose endpoints the caller reaches.
                pub owner: Owner,
            }

            impl Change for $change {
                type Done = $done;
                type Refusal = UnknownEndpoint;
                const NAME: &'static str = $name;

                async fn apply(
                    &self,
                    connection: &mut PgConnection,
                    by: &By,
                ) -> Refusable<$done, UnknownEndpoint> {
                    let changed = $function(connection, self.endpoint, &self.owner, by).await?;
                    Ok(changed.ok_or(UnknownEndpoint))
                }

                fn affects(&self, _: Option<&$done>) -> Affected {
                    Affected::nothing()
                }
            }
        )+
    };
}

changes! {
    /// An endpoint to enable again.
    EnableEndpoint, "webhooks::enable" => webhooks::enable: Endpoint;
    /// An endpoint to delete.
    DeleteEndpoint, "webhooks::delete" => webhooks::delete: ();
}

/// A delivery to post again.
#[derive(Clone, Debug)]
pub struct ReplayDelivery {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// Whose endpoints the caller reaches.
    pub owner: Owner,
}

impl Change for ReplayDelivery {
    type Done = Delivery;
    type Refusal = NotReplayed;
    const NAME: &'static str = "webhooks::replay";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Delivery, NotReplayed> {
        webhooks::replay(connection, self.endpoint, self.delivery, &self.owner, by).await
    }

    fn affects(&self, _: Option<&Delivery>) -> Affected {
        Affected::nothing()
    }
}

/// A test to post.
#[derive(Clone, Debug)]
pub struct TestEndpoint {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Whose endpoints the caller reaches.
    pub owner: Owner,
}

impl Change for TestEndpoint {
    type Done = Delivery;
    type Refusal = NotReplayed;
    const NAME: &'static str = "webhooks::test";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<Delivery, NotReplayed> {
        webhooks::test(connection, self.endpoint, &self.owner, by).await
    }

    fn affects(&self, _: Option<&Delivery>) -> Affected {
        Affected::nothing()
    }
}
