//! OTLP over gRPC.

use std::sync::Arc;

use axum::Router;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use prost::Message;
use tonic::{Request, Response, Status, codec::CompressionEncoding, service::Routes};

use crate::{
    Store,
    otlp::{LARGEST, budget::Budget, signal::Signal, status::Refusal},
};

#[derive(Clone)]
struct Receiver {
    store: Arc<dyn Store>,
    budget: Budget,
}

/// The three collector services, plain or gzip.
pub(crate) fn grpc(store: Arc<dyn Store>, budget: Budget) -> Router {
    let receiver = Receiver { store, budget };
    // The same for each, but each is a type of its own.
    macro_rules! service {
        ($server:ident) => {
            $server::new(receiver.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(LARGEST)
        };
    }
    Routes::new(service!(TraceServiceServer))
        .add_service(service!(LogsServiceServer))
        .add_service(service!(MetricsServiceServer))
        .into_axum_router()
}

impl Receiver {
    fn export<S: Signal>(&self, request: Request<S>) -> Result<Response<S::Response>, Status> {
        let request = request.into_inner();
        let mut share = self.budget.share();
        share.grow(request.encoded_len()).map_err(|refusal| status(&refusal))?;
        let added = request.receive(&*self.store);
        Ok(Response::new(S::response(&added)))
    }
}

fn status(refusal: &Refusal) -> Status {
    refusal.count();
    let details = refusal.status().encode_to_vec().into();
    Status::with_details(refusal.code(), refusal.message(), details)
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.export(request)
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.export(request)
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.export(request)
    }
}
