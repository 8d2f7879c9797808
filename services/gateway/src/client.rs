//! Who calls, as an address: for the limits of failures that accounts keeps.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
};

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use platform::service::PeerAddress;
use resilience::Call;

use crate::{Gateway, sessions};

const ADDRESS: HeaderName = HeaderName::from_static("x-client-address");
const DEVICE: HeaderName = HeaderName::from_static("x-device");
const FORWARDED: &str = "x-forwarded-for";

/// The address that a request comes from: that of the connection, or what a trusted proxy says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Tells accounts who calls, and by which known browser.
    pub(crate) fn tell<'a>(self, call: Call<'a>, headers: &HeaderMap) -> Call<'a> {
        let call = match HeaderValue::try_from(self.0.to_string()) {
            Ok(address) => call.header(ADDRESS, address),
            Err(_) => call, // an address is ASCII
        };
        match sessions::cookie(headers, sessions::DEVICE).map(HeaderValue::from_str) {
            Some(Ok(mut device)) => {
                device.set_sensitive(true);
                call.header(DEVICE, device)
            }
            _ => call,
        }
    }

    fn of(parts: &Parts, trusted: impl Fn(IpAddr) -> bool) -> ClientAddress {
        let peer = parts.extensions.get::<PeerAddress>();
        // Without a connection, as in a test of the router alone, nobody in particular calls.
        let mut address = peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        // Each proxy adds whom it heard from at the end, so the list is believed from there, as far as one trusts who says so.
        let lines = parts.headers.get_all(FORWARDED).iter().rev();
        let hops = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.rsplit(','));
        for hop in hops {
            if !trusted(address) {
                break;
            }
            let Ok(heard) = hop.trim().parse() else { break };
            address = heard;
        }
        ClientAddress(address.to_canonical())
    }
}

impl FromRequestParts<Gateway> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Gateway,
    ) -> Result<ClientAddress, Infallible> {
        let trusted = &gateway.trusted_proxies;
        Ok(ClientAddress::of(parts, |address| trusted.contains(address.to_canonical())))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn address(peer: &str, forwarded: &[&str]) -> String {
        let mut request = Request::builder();
        for line in forwarded {
            request = request.header(FORWARDED, *line);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(PeerAddress(peer.parse().unwrap()));
        let proxies = ["10.0.0.1", "10.0.0.2"].map(|it| it.parse::<IpAddr>().unwrap());
        ClientAddress::of(&parts, |it| proxies.contains(&it)).0.to_string()
    }

    #[test]
    fn who_is_not_trusted_says_nothing_about_addresses() {
        assert_eq!(address("192.0.2.7:1", &[]), "192.0.2.7");
        assert_eq!(address("192.0.2.7:1", &["203.0.113.9"]), "192.0.2.7");
        assert_eq!(address("[::ffff:192.0.2.7]:1", &[]), "192.0.2.7");
    }

    #[test]
    fn a_trusted_proxy_tells_whom_it_heard_from_and_no_more_is_believed() {
        assert_eq!(address("10.0.0.1:1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1:1", &["198.51.100.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1:1", &["203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1:1", &["198.51.100.1", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(address("10.0.0.1:1", &["nonsense"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1:1", &[]), "10.0.0.1");
    }
}
