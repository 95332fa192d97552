//! MIG: one GPU cut into instances, each with its own memory.

use nvml_wrapper::Device;
use nvml_wrapper::error::NvmlError;

use super::card::{Card, Question, Round};
use super::page::Metric;
use super::readers::{Found, MEMORY, MIB};
use super::shared::{Failure, Shared, failure};

static MIG_MODE: Metric = Metric::gauge("DCGM_FI_DEV_MIG_MODE", "Whether MIG is on.");
static GPU_MEMORY_TOTAL: Metric = Metric::gauge(
    "vedette_gpu_mig_parent_memory_total_bytes",
    "Framebuffer memory of the whole GPU while its instances have their own series.",
);
static GPU_MEMORY_USED: Metric = Metric::gauge(
    "vedette_gpu_mig_parent_memory_used_bytes",
    "Framebuffer memory used on the whole GPU while its instances have their own series.",
);

/// Most instances asked for. Today's GPUs have seven; the bound keeps a wrong answer harmless.
const INSTANCES_MAX: u32 = 16;

/// One instance: what it is called and what its memory holds.
struct Instance {
    uuid: String,
    profile: String,
    memory: Found,
}

/// Reads the memory of each instance, and answers whether there was any. The framebuffer metrics
/// are then those of the instances, as DCGM exporter has it, and not also of the GPU: a sum over
/// the node counts each byte once.
pub(super) fn read(card: &mut Card<'_>, round: &mut Round<'_>) -> bool {
    let mode = card.ask(Question::MigMode, "nvmlDeviceGetMigMode", round, |device| {
        device.mig_mode()
    });
    let Some(mode) = mode else {
        return false;
    };
    let on = mode.current == 1;
    let labels = card.identity().labels(&[]);
    round.page.put(&MIG_MODE, &labels, f64::from(u8::from(on)));
    if !on {
        return false;
    }
    let count = card.ask(
        Question::MigCount,
        "nvmlDeviceGetMaxMigDeviceCount",
        round,
        |device| device.mig_device_count(),
    );
    let mut any = false;
    for index in 0..count.unwrap_or(0).min(INSTANCES_MAX) {
        // Never remembered as missing: instances come and go while the GPU is in use.
        let instance = card.ask_instance(index, round);
        if let Some(instance) = instance {
            any = true;
            let id = legacy_instance_id(&instance.uuid).unwrap_or_default();
            let labels = card.identity().labels(&[
                ("GPU_I_PROFILE", &instance.profile),
                ("GPU_I_ID", id),
                ("GPU_I_UUID", &instance.uuid),
            ]);
            for (metric, value) in instance.memory.0 {
                round.page.put(metric, &labels, value);
            }
        }
    }
    if any {
        read_parent(card, round);
    }
    any
}

fn read_parent(card: &mut Card<'_>, round: &mut Round<'_>) {
    let mut found = Found::default();
    let answer = card.ask(Question::Memory, MEMORY.call, round, |device| {
        (MEMORY.read)(device, &mut found)
    });
    if answer.is_none() {
        return;
    }
    let labels = card.identity().labels(&[]);
    for (metric, value) in found.0 {
        match metric.name {
            "DCGM_FI_DEV_FB_TOTAL" => round.page.put(&GPU_MEMORY_TOTAL, &labels, value * MIB),
            "DCGM_FI_DEV_FB_USED" => round.page.put(&GPU_MEMORY_USED, &labels, value * MIB),
            _ => {}
        }
    }
}

impl Card<'_> {
    fn ask_instance(&mut self, index: u32, round: &mut Round<'_>) -> Option<Instance> {
        let (shared, gpu) = (round.shared, Some(self.identity().index));
        self.ask(
            Question::MigInstance,
            "nvmlDeviceGetMigDeviceHandleByIndex",
            round,
            |device| {
                let described = device
                    .mig_device_by_index(index)
                    .and_then(|instance| describe(&instance, shared, gpu));
                match described {
                    Err(error) if failure(&error) == Failure::NotThere => Ok(None),
                    other => other.map(Some),
                }
            },
        )
        .flatten()
    }
}

fn describe(
    instance: &Device<'_>,
    shared: &Shared,
    gpu: Option<u32>,
) -> Result<Instance, NvmlError> {
    let mut memory = Found::default();
    shared.during(MEMORY.call, gpu, || (MEMORY.read)(instance, &mut memory))?;
    let uuid = shared.during("nvmlDeviceGetUUID", gpu, || instance.uuid())?;
    let name = shared.during("nvmlDeviceGetName", gpu, || instance.name())?;
    Ok(Instance {
        uuid,
        profile: profile_of(&name).to_owned(),
        memory,
    })
}

/// `1g.10gb` of `NVIDIA H100 80GB HBM3 MIG 1g.10gb`.
fn profile_of(name: &str) -> &str {
    name.rsplit_once(" MIG ").map_or("", |(_, profile)| profile)
}

/// The GPU instance's number, which only the UUIDs of drivers before 470 carry:
/// `MIG-GPU-<uuid>/<gpu instance>/<compute instance>`. Newer drivers give it by a call that the
/// safe wrapper does not have, and `GPU_I_UUID` tells the instances apart.
fn legacy_instance_id(uuid: &str) -> Option<&str> {
    let mut parts = uuid.split('/');
    parts.next()?.strip_prefix("MIG-GPU-")?;
    parts
        .next()
        .filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_what_follows_the_word_mig() {
        assert_eq!(profile_of("NVIDIA H100 80GB HBM3 MIG 1g.10gb"), "1g.10gb");
        assert_eq!(
            profile_of("NVIDIA A100-SXM4-40GB MIG 1c.3g.20gb"),
            "1c.3g.20gb"
        );
        assert_eq!(profile_of("NVIDIA H100 80GB HBM3"), "");
    }

    #[test]
    fn only_old_uuids_name_the_instance() {
        let old = "MIG-GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f/7/0";
        assert_eq!(legacy_instance_id(old), Some("7"));
        let new = "MIG-b2b1fa1d-6a1c-5bbb-9e0c-0a5a6a1f2c2f";
        assert_eq!(legacy_instance_id(new), None);
    }
}
