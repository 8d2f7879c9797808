//! What a person sees who started everything: where it is, and three calls that make the first traces.

use std::io::{self, Write};

use crate::services::{Bound, Target};

/// To stderr, so that stdout has nothing but lines for programs.
pub(crate) fn print(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

pub(crate) fn text(services: &[Bound]) -> String {
    let url = |target: Target, role: &str| {
        let service = services.iter().find(|service| service.target == target);
        let address = service.and_then(|service| service.address(role));
        address.map_or_else(|| "-".to_owned(), |address| format!("http://{address}"))
    };
    let api = url(Target::Gateway, "api");
    let console = url(Target::Sidecar, "console");
    let jaeger = url(Target::Sidecar, "jaeger");
    let otlp = url(Target::Sidecar, "otlp-http");
    format!(
        r#"
MusicWallet is running.

  API      {api}
  Console  {console}   <- your requests appear here, one trace each
  Jaeger   {jaeger}   (query API)
  OTLP     {otlp}    (send other programs' telemetry)

Sign up, get a token, read songs:

  curl -s {api}/api/users/ -H 'content-type: application/json' \
    -d '{{"username":"ada","email":"ada@example.org","password":"correct horse battery"}}'

  TOKEN=$(curl -s {api}/api-token-auth/ -H 'content-type: application/json' \
    -d '{{"username":"ada","password":"correct horse battery"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/')

  curl -si {api}/api/musics/?limit=3 -H "authorization: Token $TOKEN"

The header x-trace-id of each answer names its trace: {console}/traces/<id>
Stop with Ctrl-C.
"#
    )
}
