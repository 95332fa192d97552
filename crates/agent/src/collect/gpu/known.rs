//! Every GPU that was ever seen, whatever became of it.

use std::collections::BTreeMap;

use super::page::{Metric, Page};
use super::xid::{Class, class_of};

static XID_ERRORS: Metric = Metric::gauge(
    "DCGM_FI_DEV_XID_ERRORS",
    "Value of the last XID error encountered.",
);
static XIDS: Metric = Metric::counter(
    "vedette_gpu_xid_errors_total",
    "XID errors since the agent started, by number; 999 when the driver does not know it.",
);
static XID_CLASSES: Metric = Metric::counter(
    "vedette_gpu_xid_class_errors_total",
    "XID errors since the agent started, by what they ask for.",
);
static LOST: Metric = Metric::gauge(
    "vedette_gpu_lost",
    "Whether a GPU that was there before no longer answers.",
);

/// Most different XID numbers counted for one GPU. The driver knows fewer than two hundred; a
/// number above the bound still counts in its class.
const XIDS_MAX: usize = 256;

/// What a GPU is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// NVML's index.
    pub(super) index: u32,
    /// `GPU-…`; empty when the driver does not say.
    pub(super) uuid: String,
    /// The PCI address as NVML writes it.
    pub(super) pci_bus_id: String,
    labels: Vec<(&'static str, String)>,
}

impl Identity {
    /// From what the driver said; empty texts are left out of the labels.
    pub(super) fn new(
        index: u32,
        uuid: String,
        pci_bus_id: String,
        name: String,
        host: &str,
        driver: &str,
    ) -> Self {
        let labels = vec![
            ("gpu", index.to_string()),
            ("UUID", uuid.clone()),
            ("pci_bus_id", pci_bus_id.clone()),
            ("device", format!("nvidia{index}")),
            ("modelName", name),
            ("Hostname", host.to_owned()),
            ("DCGM_FI_DRIVER_VERSION", driver.to_owned()),
        ];
        Self {
            index,
            uuid,
            pci_bus_id,
            labels,
        }
    }

    /// What tells it from all other GPUs: its UUID, else its address, else its index.
    pub(super) fn key(&self) -> String {
        [&self.uuid, &self.pci_bus_id]
            .into_iter()
            .find(|text| !text.is_empty())
            .cloned()
            .unwrap_or_else(|| self.index.to_string())
    }

    /// DCGM exporter's labels of a GPU, and `more` after them.
    pub(super) fn labels<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = self
            .labels
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        own.chain(more.iter().copied()).collect()
    }
}

/// A GPU and what happened to it since the agent started.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// As it was last seen.
    pub(super) identity: Identity,
    /// Whether its events are watched: only then is "no XID so far" a fact.
    pub(super) watched: bool,
    last_xid: Option<u32>,
    xids: BTreeMap<u32, u64>,
    classes: BTreeMap<Class, u64>,
}

impl Known {
    /// A GPU to which nothing has happened yet.
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            watched: false,
            last_xid: None,
            xids: BTreeMap::new(),
            classes: Class::ALL.into_iter().map(|class| (class, 0)).collect(),
        }
    }

    /// Counts an event.
    pub(super) fn count(&mut self, xid: u32) {
        self.last_xid = Some(xid);
        *self.classes.entry(class_of(xid)).or_default() += 1;
        if self.xids.len() < XIDS_MAX || self.xids.contains_key(&xid) {
            *self.xids.entry(xid).or_default() += 1;
        }
    }

    /// Writes what happened to it so far.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody counts 2^53 events of one GPU"
    )]
    pub(super) fn write(&self, lost: bool, page: &mut Page) {
        let own = self.identity.labels(&[]);
        page.put(&LOST, &own, f64::from(u8::from(lost)));
        if !self.watched {
            return;
        }
        page.put(&XID_ERRORS, &own, f64::from(self.last_xid.unwrap_or(0)));
        for (xid, count) in &self.xids {
            let xid = xid.to_string();
            let labels = self.identity.labels(&[("xid", xid.as_str())]);
            page.put(&XIDS, &labels, *count as f64);
        }
        for (class, count) in &self.classes {
            let labels = self.identity.labels(&[("class", class.as_str())]);
            page.put(&XID_CLASSES, &labels, *count as f64);
        }
    }
}

/// Says that the GPU at `index` is lost when nothing more is known of it.
pub(super) fn write_nameless_loss(index: u32, host: &str, page: &mut Page) {
    let (gpu, device) = (index.to_string(), format!("nvidia{index}"));
    let labels = [
        ("gpu", gpu.as_str()),
        ("device", device.as_str()),
        ("Hostname", host),
    ];
    page.put(&LOST, &labels, 1.0);
}
