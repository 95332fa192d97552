//! The service of operators.

use std::sync::Arc;

use store::Store;
use tonic::{Request, Response, Status};
use wire::proto;
use wire::proto::admin_service_server::AdminService;

use crate::access::{Audit, LISTING_MAX, Outcome, Wanted};
use crate::status::ToStatus as _;

/// Entries of a listing that says no number.
const LISTING_DEFAULT: usize = 100;
/// Longest place where a page ends: the key of a row.
const TOKEN_BYTES_MAX: usize = 64;

/// The gRPC face of what operators see.
#[derive(Clone, Debug)]
pub struct AdminApi(pub Arc<Store>);

#[tonic::async_trait]
impl AdminService for AdminApi {
    async fn list_audit(
        &self,
        request: Request<proto::ListAuditRequest>,
    ) -> Result<Response<proto::ListAuditResponse>, Status> {
        let request = request.into_inner();
        let limit = match usize::try_from(request.limit) {
            Ok(0) => LISTING_DEFAULT,
            limit => limit.unwrap_or(LISTING_MAX).min(LISTING_MAX),
        };
        if request.page_token.len() > TOKEN_BYTES_MAX {
            return Err(Status::invalid_argument("page_token: no page ended there"));
        }
        let outcome = Outcome::of(&request.outcome);
        if outcome.is_none() && !request.outcome.is_empty() {
            let why = format!("outcome: {:?} is not done or refused", request.outcome);
            return Err(Status::invalid_argument(why));
        }
        let wanted = Wanted {
            since_millis: request.since_millis,
            until_millis: Some(request.until_millis).filter(|at| *at != 0),
            who: Some(request.who).filter(|who| !who.is_empty()),
            action: request.action,
            outcome,
            limit,
            from: Some(request.page_token).filter(|token| !token.is_empty()),
        };
        let store = Arc::clone(&self.0);
        let list = move || Audit::list(&store, &wanted);
        let page = tokio::task::spawn_blocking(list)
            .await
            .map_err(|_source| Status::internal("the listing panicked"))?
            .map_err(|error| error.to_status())?;
        let entries = page.entries.into_iter().map(|entry| proto::AuditEntry {
            at_millis: entry.at_millis,
            who: entry.who,
            address: entry.address,
            action: entry.action,
            outcome: entry.outcome.as_str().to_owned(),
            detail: entry.detail,
        });
        Ok(Response::new(proto::ListAuditResponse {
            entries: entries.collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }
}
