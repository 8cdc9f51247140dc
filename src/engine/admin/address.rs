//! Where the admin server listens, as people write it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use tokio::net::TcpListener;

/// The port that the operator's pod listens on; `explain` goes there when the pod names no other one.
pub const DEFAULT_PORT: u16 = 8081;

/// Where to listen: `off`, `:PORT` for all addresses of the machine, or `IP:PORT`. Port 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Nowhere.
    Off,
    /// On all addresses.
    All(u16),
    /// On this one.
    One(SocketAddr),
}

/// Not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address to listen on; write `:8081`, `127.0.0.1:8081` or `off`")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        if text == "off" {
            return Ok(Self::Off);
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        match host {
            "" => Ok(Self::All(port)),
            "localhost" => Ok(Self::One((Ipv4Addr::LOCALHOST, port).into())),
            _ => text.parse().map(Self::One).map_err(|_| wrong()),
        }
    }
}

impl Address {
    /// Listens; `None` when it is off. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the port is taken or forbidden, or the address is not this machine's.
    pub async fn listen(self) -> io::Result<Option<TcpListener>> {
        let any = |ip: IpAddr, port: u16| SocketAddr::new(ip, port);
        match self {
            Self::Off => Ok(None),
            Self::One(address) => TcpListener::bind(address).await.map(Some),
            // Hears IPv4 as well. A machine without IPv6 does not have the address.
            Self::All(port) => match TcpListener::bind(any(Ipv6Addr::UNSPECIFIED.into(), port)).await {
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind(any(Ipv4Addr::UNSPECIFIED.into(), port)).await.map(Some)
                }
                listener => listener.map(Some),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_mistakes() {
        for (text, address) in [
            ("off", Address::Off),
            (":8081", Address::All(8081)),
            ("127.0.0.1:0", Address::One(([127, 0, 0, 1], 0).into())),
            ("localhost:80", Address::One(([127, 0, 0, 1], 80).into())),
            ("[::1]:80", Address::One((Ipv6Addr::LOCALHOST, 80).into())),
        ] {
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
        for wrong in ["", "on", "8081", "host:80", ":", ":99999", "::1", "127.0.0.1"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn all_addresses_include_those_of_ipv4() {
        let listener = Address::All(0).listen().await.unwrap().unwrap();
        let port = listener.local_addr().unwrap().port();
        let (client, accepted) =
            tokio::join!(tokio::net::TcpStream::connect(("127.0.0.1", port)), listener.accept());
        client.unwrap();
        assert!(accepted.unwrap().1.ip().to_canonical().is_loopback());
        assert!(Address::All(port).listen().await.is_err());
        assert!(Address::Off.listen().await.unwrap().is_none());
    }
}
