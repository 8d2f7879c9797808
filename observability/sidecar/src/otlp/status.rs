//! Refusals in the words of OTLP: a `google.rpc.Status` in every error body.

use http::StatusCode;
use prost::Message;
use tonic::Code;

use crate::meter;

/// When a sender may try again.
pub(crate) const RETRY_AFTER_SECONDS: i64 = 1;

/// Why a whole request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// More than [`LARGEST`](super::LARGEST), packed or unpacked, or more than the whole budget once it is decoded.
    TooLarge,
    /// More than half of what the spool may take, in bytes.
    LargerThanSpool { limit: u64 },
    /// It cannot be understood.
    BadData(String),
    /// Neither protobuf nor JSON.
    ContentType,
    /// Packed in a way that is not known here.
    Encoding,
    /// Too much is being received already.
    Full,
    /// It cannot be written to the spool.
    Spool,
    /// It did not arrive in time.
    Slow,
    /// Nothing is received at this path.
    Path,
    /// Not by this method.
    Method,
}

impl Refusal {
    pub(crate) fn message(&self) -> String {
        match self {
            Refusal::TooLarge => {
                "the request is larger than 64 MiB, or takes more than 256 MiB once it is decoded; send smaller batches".to_owned()
            }
            Refusal::LargerThanSpool { limit } => format!(
                "the request is larger than the {limit} bytes that the spool can take of one; send smaller batches, or raise \
                 SIDECAR_SPOOL_SIZE"
            ),
            Refusal::BadData(why) => format!("the request cannot be understood: {why}"),
            Refusal::ContentType => "send application/x-protobuf or application/json".to_owned(),
            Refusal::Encoding => "send the body plain or with Content-Encoding: gzip; protobuf to Loki's push is packed by snappy".to_owned(),
            Refusal::Full => "too much is being received at the moment; try again".to_owned(),
            Refusal::Spool => "the spool cannot be written at the moment; try again".to_owned(),
            Refusal::Slow => "the request was not complete within 30 s; send smaller batches".to_owned(),
            Refusal::Path => "there are /v1/traces, /v1/logs, /v1/metrics, and /loki/api/v1/push".to_owned(),
            Refusal::Method => "send it by POST".to_owned(),
        }
    }

    /// Whether the same request may be taken later.
    pub(crate) fn may_be_tried_again(&self) -> bool {
        matches!(self, Refusal::Full | Refusal::Spool)
    }

    pub(crate) fn http(&self) -> StatusCode {
        match self {
            Refusal::TooLarge | Refusal::LargerThanSpool { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::BadData(_) => StatusCode::BAD_REQUEST,
            Refusal::ContentType | Refusal::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::Full | Refusal::Spool => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Slow => StatusCode::REQUEST_TIMEOUT,
            Refusal::Path => StatusCode::NOT_FOUND,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    pub(crate) fn code(&self) -> Code {
        match self {
            Refusal::TooLarge | Refusal::LargerThanSpool { .. } => Code::ResourceExhausted,
            Refusal::Full | Refusal::Spool => Code::Unavailable,
            Refusal::Slow => Code::DeadlineExceeded,
            Refusal::Path => Code::NotFound,
            Refusal::Method => Code::Unimplemented,
            Refusal::BadData(_) | Refusal::ContentType | Refusal::Encoding => Code::InvalidArgument,
        }
    }

    pub(crate) fn count(&self) {
        meter::refused(match self {
            Refusal::TooLarge | Refusal::LargerThanSpool { .. } => "too_large",
            Refusal::BadData(_) => "bad_data",
            Refusal::ContentType => "content_type",
            Refusal::Encoding => "encoding",
            Refusal::Full => "full",
            Refusal::Spool => "spool",
            Refusal::Slow => "slow",
            Refusal::Path | Refusal::Method => "address",
        });
    }

    /// The `google.rpc.Status`; with `RetryInfo` where trying again helps.
    pub(crate) fn status(&self) -> RpcStatus {
        let retry =
            RetryInfo { retry_delay: Some(Delay { seconds: RETRY_AFTER_SECONDS, nanos: 0 }) };
        let details = match self {
            _ if self.may_be_tried_again() => vec![Any {
                type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
                value: retry.encode_to_vec(),
            }],
            _ => Vec::new(),
        };
        RpcStatus { code: self.code() as i32, message: self.message(), details }
    }
}

/// `google.rpc.Status`. Four small messages do not make a dependency.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Delay {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}
