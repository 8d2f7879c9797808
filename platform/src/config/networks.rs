//! Addresses and networks as a setting.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Value;

/// IP addresses and networks, such as those of proxies that are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Value for Networks {
    const EXPECTED: &'static str =
        "IP addresses or networks separated by commas, such as 10.0.0.7,192.0.2.0/24";

    fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let network = |item: &str| {
            let alone = |_| item.parse::<IpAddr>().map(IpNet::from);
            item.parse::<IpNet>()
                .or_else(alone)
                .map_err(|_| format!("has {item:?}, which is neither"))
        };
        items.map(network).collect::<Result<_, _>>().map(Networks)
    }

    fn absent() -> Option<Self> {
        Some(Networks::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_address_or_many() {
        let networks = Networks::parse("10.0.0.7, 192.0.2.0/24,2001:db8::/32").unwrap();
        let contains = |text: &str| networks.contains(text.parse().unwrap());
        for inside in ["10.0.0.7", "192.0.2.1", "192.0.2.255", "2001:db8::1"] {
            assert!(contains(inside), "{inside}");
        }
        for outside in ["10.0.0.8", "192.0.3.1", "2001:db9::1", "::1"] {
            assert!(!contains(outside), "{outside}");
        }
        assert!(Networks::parse("10.0.0.0/33").is_err() && Networks::parse("proxy").is_err());
        assert!(!Networks::parse("").unwrap().contains("127.0.0.1".parse().unwrap()));
    }
}
