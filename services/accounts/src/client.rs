//! From where a request came, as far as throttling wants to know it.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::FromRequestParts;
use http::{HeaderMap, request::Parts};
use platform::problem::{FieldError, Problem};
use utoipa::IntoParams;

use crate::secret::Secret;

/// The client behind the gateway. Only the gateway reaches this port, so its word is taken.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Client {
    /// The address of the client; without it no limit per address counts. Of IPv6 it is the /64: whoever has one address there has all.
    #[param(rename = "x-client-address", value_type = Option<String>, example = "192.0.2.1")]
    pub(crate) address: Option<IpAddr>,
    /// The secret of a known device, which comes from the client's cookie and counts where a password is tried; what cannot be one is
    /// nobody's.
    #[param(rename = "x-device", value_type = Option<String>)]
    pub(crate) device: Option<Secret>,
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Client, Problem> {
        let address = text(&parts.headers, "x-client-address").map(address).transpose();
        let address = address.map_err(|wrong| Problem::invalid(vec![wrong]))?;
        let device = text(&parts.headers, "x-device").and_then(Secret::parse);
        Ok(Client { address, device })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

fn address(text: &str) -> Result<IpAddr, FieldError> {
    let wrong = |_| FieldError::new("x-client-address", "has to be an IP address");
    let address: IpAddr = text.parse().map_err(wrong)?;
    Ok(match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        four => four,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_stands_for_its_network() {
        let same = |one: &str, other: &str| address(one).unwrap() == address(other).unwrap();
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        for wrong in ["", "localhost", "192.0.2.1:80", "192.0.2", "1.2.3.4, 5.6.7.8"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
