//! What an agent says of its series before it sends any of their samples.

use series::{Family, Labels, MetricKind};
use store::Bound;
use tonic::Status;
use wire::proto;

use super::Breach;
use super::stream::Stream;
use crate::fleet::Received;
use crate::status::ToStatus;

/// Most metrics that one message may say something of.
const FAMILIES_MAX: usize = 10_000;

impl Stream<'_> {
    /// Gives the series of a message their numbers in the stream.
    pub(super) fn define(&mut self, definitions: &proto::SeriesDefinitions) -> Result<(), Status> {
        let list: Vec<(Labels, MetricKind)> = codec::decode_labels_list(&definitions.list)
            .map_err(|error| {
                let what = format!("definitions that do not decode ({error})");
                self.wrong(Breach::Definitions, &what)
            })?;
        for (labels, _) in &list {
            self.opener
                .may_be(self.ingest, labels.get("node"), "ingest.series")?;
        }
        if usize::try_from(definitions.first_ref).ok() != Some(self.dictionary.len()) {
            return Err(self.wrong(Breach::Definitions, "definitions that leave a gap"));
        }
        let max = self.ingest.config.borrow().ingest.series_per_stream_max;
        if self.dictionary.len() + list.len() > max as usize {
            let status = Status::resource_exhausted(format!(
                "more than {max} series on the stream of {}; raise ingest.series_per_stream_max or \
                 give the agent fewer targets",
                self.hello.agent_id
            ));
            return Err(self.ingest.breach(Breach::TooManySeries, status));
        }
        let bytes = definitions.list.len() as u64;
        self.ingest.metrics.received_bytes.add(bytes);
        let series = list.len() as u64;
        self.connection.received(Received {
            bytes,
            series,
            ..Received::default()
        });
        let bound = Bound {
            name: alert::rules::NODE,
            value: self.hello.agent_id.as_str(),
            series_max: self.ingest.config.borrow().ingest.series_per_agent_max,
        };
        let bound = Some(bound).filter(|bound| bound.series_max > 0);
        let defined = self.ingest.store.define_within(&list, bound);
        let defined = defined.map_err(|error| error.to_status())?;
        self.tell_of_refused(defined.ids.iter().filter(|id| id.is_none()).count());
        self.dictionary.extend(defined.ids);
        Ok(())
    }

    /// Logs that series were refused, once a stream: who makes too many makes more.
    fn tell_of_refused(&mut self, series: usize) {
        if series == 0 || std::mem::replace(&mut self.is_refused_told, true) {
            return;
        }
        tracing::error!(
            agent = %self.hello.agent_id,
            series,
            "new series of an agent are refused: it has ingest.series_per_agent_max, or store.memory \
             has no room"
        );
    }

    /// Takes note of what metrics mean.
    pub(super) async fn note_families(&self, said: Vec<proto::MetricFamily>) -> Result<(), Status> {
        if said.len() > FAMILIES_MAX {
            let what = format!("more than {FAMILIES_MAX} families in one message");
            return Err(self.wrong(Breach::Definitions, &what));
        }
        if said.is_empty() {
            return Ok(());
        }
        let families = self.ingest.families.clone();
        let noted = daemon::blocking::spawn(move || {
            families.note(said.into_iter().map(|family| Family {
                name: family.name,
                help: family.help,
                unit: family.unit,
                ..Family::default()
            }))
        });
        let noted = noted
            .await
            .map_err(|_source| Status::internal("noting families panicked"))?;
        noted.map_err(|error| error.to_status())
    }
}
