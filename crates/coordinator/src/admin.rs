//! The service of operators.

use std::sync::Arc;

use store::Store;
use tonic::{Request, Response, Status};
use wire::proto;
use wire::proto::admin_service_server::AdminService;

use crate::access::{Audit, LISTING_MAX};
use crate::status::ToStatus as _;

/// Entries of a listing that says no number.
const LISTING_DEFAULT: usize = 100;

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
        let store = Arc::clone(&self.0);
        let list = move || Audit::list(&store, request.since_millis, limit);
        let entries = tokio::task::spawn_blocking(list)
            .await
            .map_err(|_source| Status::internal("the listing panicked"))?
            .map_err(|error| error.to_status())?;
        let entries = entries.into_iter().map(|entry| proto::AuditEntry {
            at_millis: entry.at_millis,
            who: entry.who,
            address: entry.address,
            action: entry.action,
            outcome: entry.outcome.as_str().to_owned(),
            detail: entry.detail,
        });
        Ok(Response::new(proto::ListAuditResponse {
            entries: entries.collect(),
        }))
    }
}
