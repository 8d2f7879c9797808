//! The outermost middleware: fixes once, for all attempts of a call, when it has to be over.

use async_trait::async_trait;
use http::Extensions;
use platform::deadline::Deadline;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};
use tokio::time::Instant;

use crate::limits::Plan;

pub(crate) struct CallDeadline;

#[async_trait]
impl Middleware for CallDeadline {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        if let Some(plan) = extensions.get_mut::<Plan>() {
            let remaining = Deadline::current().map(|deadline| deadline.remaining());
            plan.until = Some(plan.end(Instant::now(), remaining));
        }
        next.run(request, extensions).await
    }
}
