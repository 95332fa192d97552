//! The door of a gRPC service.

use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::{Access, Need, Peer};
use crate::status::ToStatus as _;

/// Lets in who may use a service, and tells the service who it is: a [`Caller`](super::Caller) among the
/// request's extensions.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Who decides.
    pub access: Access,
    /// What the service asks of its callers.
    pub need: Need,
    /// The service's name, for the audit log.
    pub service: &'static str,
}

impl Interceptor for Guard {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let peer = request.extensions().get::<Peer>();
        let peer = peer.ok_or_else(|| Status::internal("the connection has no peer"))?;
        let header = request.metadata().get("authorization");
        // A header that is not text is no token that we gave out.
        let header = header.map(|value| value.to_str().unwrap_or_default());
        let judged = self.access.judge(peer, header, self.need, &self.service);
        let caller = judged.map_err(|refusal| refusal.to_status())?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}
