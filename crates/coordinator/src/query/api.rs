//! The query service.

use series::{Matcher, TimeRange, Timestamp};
use store::{Listing, Store};
use tonic::{Request, Response, Status};
use wire::proto;
use wire::proto::query_service_server::QueryService;

use super::portions::{Messages, fit, send_answer, send_series};
use super::questions::{Question, Questions, When, selector};
use crate::status::ToStatus;

/// A range of which 0 leaves an end open.
fn open_range(start_millis: i64, end_millis: i64) -> TimeRange {
    let end = if end_millis == 0 {
        Timestamp::MAX
    } else {
        Timestamp::from_millis(end_millis)
    };
    TimeRange::new(Timestamp::from_millis(start_millis), end)
}

/// The gRPC face of [`Questions`].
#[derive(Clone, Debug)]
pub struct QueryApi(pub Questions);

impl QueryApi {
    async fn answered(
        &self,
        question: Question,
    ) -> Result<Response<Messages<proto::QueryResponse>>, Status> {
        let answered = self.0.answer(question).await;
        let answered = answered.map_err(|failure| failure.to_status())?;
        Ok(Response::new(send_answer(answered)))
    }

    async fn listed<T: Send + 'static>(
        &self,
        list: impl FnOnce(&Store) -> Result<Listing<T>, store::Error> + Send + 'static,
    ) -> Result<Listing<T>, Status> {
        let listing = self.0.listing(list).await;
        listing.map_err(|failure| failure.to_status())
    }
}

/// Parses selectors, each to its matchers.
fn selectors(texts: &[String]) -> Result<Vec<Vec<Matcher>>, Status> {
    let each = texts.iter().map(|text| selector(text));
    each.collect::<Result<_, _>>()
        .map_err(|failure| failure.to_status())
}

#[tonic::async_trait]
impl QueryService for QueryApi {
    type InstantStream = Messages<proto::QueryResponse>;

    async fn instant(
        &self,
        request: Request<proto::InstantRequest>,
    ) -> Result<Response<Self::InstantStream>, Status> {
        let request = request.into_inner();
        let millis = match request.time_millis {
            0 => self.0.clock.wall_millis(),
            millis => millis,
        };
        let when = When::At(Timestamp::from_millis(millis));
        let question = Question::new(request.expression, when, request.explain);
        self.answered(question).await
    }

    type RangeStream = Messages<proto::QueryResponse>;

    async fn range(
        &self,
        request: Request<proto::RangeRequest>,
    ) -> Result<Response<Self::RangeStream>, Status> {
        let request = request.into_inner();
        let when = When::Range {
            start: Timestamp::from_millis(request.start_millis),
            end: Timestamp::from_millis(request.end_millis),
            step_millis: request.step_millis,
        };
        let question = Question::new(request.expression, when, request.explain);
        self.answered(question).await
    }

    type SeriesStream = Messages<proto::SeriesResponse>;

    async fn series(
        &self,
        request: Request<proto::SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let request = request.into_inner();
        if request.selectors.is_empty() {
            return Err(Status::invalid_argument("no selector is given"));
        }
        let selectors = selectors(&request.selectors)?;
        let range = open_range(request.start_millis, request.end_millis);
        let limit = self.0.limit(request.limit);
        let found = self
            .listed(move |store| store.series(&selectors, range, limit))
            .await?;
        let labels = found.items.into_iter().map(|(labels, _)| labels);
        Ok(Response::new(send_series(
            labels.collect(),
            found.truncated,
        )))
    }

    async fn label_names(
        &self,
        request: Request<proto::LabelNamesRequest>,
    ) -> Result<Response<proto::LabelNamesResponse>, Status> {
        let request = request.into_inner();
        let selectors = selectors(&request.selectors)?;
        let range = open_range(request.start_millis, request.end_millis);
        let limit = self.0.limit(request.limit);
        let found = self
            .listed(move |store| store.label_names(&selectors, range, limit))
            .await?;
        let (names, cut) = fit(found.items);
        Ok(Response::new(proto::LabelNamesResponse {
            names,
            truncated: found.truncated || cut,
        }))
    }

    async fn label_values(
        &self,
        request: Request<proto::LabelValuesRequest>,
    ) -> Result<Response<proto::LabelValuesResponse>, Status> {
        let request = request.into_inner();
        let selectors = selectors(&request.selectors)?;
        let range = open_range(request.start_millis, request.end_millis);
        let limit = self.0.limit(request.limit);
        let name = request.name;
        let list = move |store: &Store| store.label_values(&name, &selectors, range, limit);
        let found = self.listed(list).await?;
        let (values, cut) = fit(found.items);
        Ok(Response::new(proto::LabelValuesResponse {
            values,
            truncated: found.truncated || cut,
        }))
    }
}
