//! How many connections a host has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where an address belongs to: whoever has one of IPv6 has a /64 of them.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Connections by host, with the most of each. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    /// `None` for no bound.
    max: Option<usize>,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of a host, for as long as it lives.
#[derive(Debug)]
pub(super) struct OfHost {
    host: IpAddr,
    hosts: Hosts,
}

impl Hosts {
    /// At most `max` connections of a host; 0 for no bound.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: (max > 0).then_some(max),
            open: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another connection of a host, if it may have one.
    pub(super) fn take(&self, address: IpAddr) -> Option<OfHost> {
        let host = neighbourhood(address);
        let mut open = self.lock();
        let number = open.entry(host).or_default();
        if self.max.is_some_and(|max| *number >= max) {
            return None;
        }
        *number += 1;
        Some(OfHost {
            host,
            hosts: self.clone(),
        })
    }
}

impl Drop for OfHost {
    fn drop(&mut self) {
        let mut open = self.hosts.lock();
        if let Some(number) = open.get_mut(&self.host) {
            *number -= 1;
            if *number == 0 {
                open.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_so_many_and_others_as_many() {
        let hosts = Hosts::new(2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = hosts.take(address("10.0.0.1")).unwrap();
        let _second = hosts.take(address("::ffff:10.0.0.1")).unwrap();
        assert!(hosts.take(address("10.0.0.1")).is_none());
        let v6 = ["2001:db8::1", "2001:db8::2"].map(|text| hosts.take(address(text)));
        assert!(v6.iter().all(Option::is_some));
        assert!(hosts.take(address("2001:db8::3")).is_none());
        assert!(hosts.take(address("2001:db8:0:1::3")).is_some());
        drop(first);
        assert!(hosts.take(address("10.0.0.1")).is_some());
        drop(v6);
        assert_eq!(hosts.lock().len(), 1);
    }
}
