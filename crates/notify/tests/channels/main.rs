//! What leaves the house is held against the documented forms and limits, and against real receivers.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]
#![expect(clippy::panic, reason = "a helper fails its test by panicking")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

mod alertmanager;
mod checks;
mod hooks;
mod limits;
mod mail;
mod pagerduty;
mod provider;
mod slack;
mod transport;
mod twilio;

use std::collections::BTreeMap;
use std::path::PathBuf;

use alert::{Delivery, Kind, Notification, Status, Target};
use notify::{Config, Manner, Senders, Sent, Source};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use spec::Channel;

/// The time of all tests: 2025-11-27 10:12:00 UTC.
pub(crate) const NOW: i64 = 1_764_238_320_000;

/// Every kind of word.
pub(crate) fn kinds() -> [Kind; 7] {
    [
        Kind::Trigger,
        Kind::Update,
        Kind::Remind,
        Kind::Escalate {
            rung: "manager".to_owned(),
        },
        Kind::Acknowledge {
            by: "ada".to_owned(),
        },
        Kind::Resolve,
        Kind::Test,
    ]
}

/// A notification of a made-up incident.
pub(crate) fn notification(channel: Channel, address: &str, kind: Kind) -> Notification {
    Notification {
        id: "n-42".to_owned(),
        target: Target {
            channel,
            address: address.to_owned(),
        },
        message: notify::example::message(kind, 12),
        status: Status::Queued,
        attempts: 0,
        queued_millis: NOW,
        next_millis: NOW,
        stands_for: Vec::new(),
    }
}

/// A folder with secrets in files.
pub(crate) struct Secrets(tempfile::TempDir);

impl Secrets {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Keeps a secret, or changes it.
    pub(crate) fn keep(&self, name: &str, secret: &str) -> Source {
        let path = self.path(name);
        std::fs::write(&path, secret).unwrap();
        Source(path.to_str().unwrap().to_owned())
    }

    /// Keeps an authority as `ca`, and a certificate of it for this machine as `cert` with its `key`.
    pub(crate) fn certify(&self) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        self.keep("ca", &authority.pem());
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        self.keep("cert", &certificate.pem());
        self.keep("key", &key.serialize_pem());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

pub(crate) fn open(config: Config) -> Senders {
    Senders::open(config).unwrap()
}

pub(crate) fn map<T>(name: &str, value: T) -> BTreeMap<String, T> {
    BTreeMap::from([(name.to_owned(), value)])
}

pub(crate) async fn send(senders: &Senders, notification: &Notification) -> Delivery {
    let Sent {
        delivery,
        template_fault,
    } = senders.send(notification, &Manner::default(), NOW).await;
    assert_eq!(template_fault, None);
    delivery
}

pub(crate) fn accepted(id: Option<&str>) -> Delivery {
    Delivery::Accepted {
        provider_id: id.map(str::to_owned),
    }
}

/// The reason why something was refused, for good.
pub(crate) fn refused(delivery: Delivery) -> String {
    match delivery {
        Delivery::Refused { reason } => reason,
        other => panic!("not refused: {other:?}"),
    }
}

/// The reason why something may work later, and in how many seconds.
pub(crate) fn retry(delivery: Delivery) -> (String, Option<u64>) {
    match delivery {
        Delivery::Retry { reason, after } => (reason, after.map(|after| after.as_secs())),
        other => panic!("not to be tried again: {other:?}"),
    }
}
