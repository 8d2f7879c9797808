use std::net::SocketAddr;

use platform::config::ByteSize;

platform::settings! {
    /// Settings of the sidecar.
    pub struct Config {
        /// Where OTLP arrives by gRPC.
        pub otlp_grpc_listen: SocketAddr = "127.0.0.1:4317", "SIDECAR_OTLP_GRPC_LISTEN";
        /// Where OTLP arrives by HTTP, as protobuf or JSON.
        pub otlp_http_listen: SocketAddr = "127.0.0.1:4318", "SIDECAR_OTLP_HTTP_LISTEN";
        /// Where Jaeger's query APIs answer. There is no sign-in: keep it on a loopback address.
        pub jaeger_listen: SocketAddr = "127.0.0.1:16686", "SIDECAR_JAEGER_LISTEN";
        /// Where the console is. There is no sign-in: keep it on a loopback address.
        pub console_listen: SocketAddr = "127.0.0.1:8081", "CONSOLE_LISTEN";
        /// Address and port for health and metrics.
        pub internal_listen: SocketAddr = "127.0.0.1:9185", "SIDECAR_INTERNAL_LISTEN";
        /// How much memory spans may take; the oldest arrivals leave first.
        pub traces_memory: ByteSize = "64MiB", "SIDECAR_TRACES_MEMORY";
        /// How much memory log records may take; the oldest arrivals leave first.
        pub logs_memory: ByteSize = "32MiB", "SIDECAR_LOGS_MEMORY";
        /// Host names besides the loopback ones by which console and query APIs may be asked for, separated by commas.
        pub allowed_hosts: Vec<String> = none, "CONSOLE_ALLOWED_HOSTS";
        /// Whose metrics the console shows: service=address of its metrics, separated by commas.
        pub scrape: Vec<String> = "gateway=http://127.0.0.1:9180/metrics,accounts=http://127.0.0.1:9181/metrics,catalog=http://127.0.0.1:9182/metrics,sidecar=http://127.0.0.1:9185/metrics", "CONSOLE_SCRAPE";
    }
}
