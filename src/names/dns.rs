//! Look-ups of hosts in `/etc/hosts` and by DNS, with the name servers, search domains and options of
//! `resolv.conf(5)`.

use std::fs;
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::thread;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::system_conf::parse_resolv_conf;
use nix::ifaddrs::getifaddrs;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;

use super::files;

/// The most name servers that are asked, as in `resolv.conf(5)` (`MAXNS`).
const NAME_SERVERS: usize = 3;

pub(super) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let ips = match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) => look_up(host)?,
    };
    Ok(ips.into_iter().map(|ip| (ip, port).into()).collect())
}

/// A host that has a line in `/etc/hosts` has only the addresses there.
fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let listed = files::host(host)?;
    if !listed.is_empty() {
        return Ok(listed);
    }
    if Handle::try_current().is_err() {
        return ask(host);
    }
    // A runtime cannot wait for another one on its thread.
    thread::scope(|scope| {
        let asking = thread::Builder::new().spawn_scoped(scope, || ask(host))?;
        let panicked = || io::Error::other("the look-up panicked");
        asking.join().map_err(|_| panicked())?
    })
}

/// Asks all name servers at once, so that a silent one takes no time of the others. The first that
/// knows the name, or knows that there is none, decides; one that fails or refuses does not.
fn ask(host: &str) -> io::Result<Vec<IpAddr>> {
    let (mut config, options) = configuration()?;
    let servers = mem::take(&mut config.name_servers);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut asking = JoinSet::new();
        for server in servers.into_iter().take(NAME_SERVERS) {
            let mut config = config.clone();
            config.add_name_server(server);
            asking.spawn(ask_one(config, options.clone(), host.to_owned()));
        }
        let mut last = io::Error::other("no name server is configured");
        while let Some(asked) = asking.join_next().await {
            match asked.unwrap_or_else(|panicked| Err(NetError::from(panicked.to_string()))) {
                Ok(ips) => return Ok(ips),
                Err(error) => {
                    let decides = matches!(error, NetError::Dns(DnsError::NoRecordsFound(_)));
                    last = failure(error);
                    if decides {
                        break;
                    }
                }
            }
        }
        Err(last)
    })
}

/// Asks the one name server of `config`, in each domain to search.
async fn ask_one(
    config: ResolverConfig,
    options: ResolverOpts,
    host: String,
) -> Result<Vec<IpAddr>, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut resolver = TokioResolver::builder_with_config(config, provider);
    *resolver.options_mut() = options;
    let found = resolver.build()?.lookup_ip(host).await?;
    Ok(found.iter().collect())
}

/// The name servers and options of `/etc/resolv.conf`; without any, a server on this host, as the C
/// library has it.
fn configuration() -> io::Result<(ResolverConfig, ResolverOpts)> {
    let text = match fs::read("/etc/resolv.conf") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let understood = understood(&String::from_utf8_lossy(&text));
    let (mut config, mut options) = parse_resolv_conf(&understood).map_err(io::Error::other)?;
    // The domain of this host's name is searched only if no other is given.
    if !config.search.is_empty() {
        config.domain = None;
    }
    let servers = config.name_servers.iter_mut().zip(interfaces(&understood));
    for (server, interface) in servers {
        let Some(own) = interface.and_then(own_address) else {
            continue;
        };
        for connection in &mut server.connections {
            connection.bind_addr = Some(own);
        }
        // The resolver's own choice of a port would lose the interface.
        options.os_port_selection = true;
    }
    // As `getaddrinfo(3)` has it: at least a second, and `attempts` counts the first one too.
    options.timeout = options.timeout.max(Duration::from_secs(1));
    options.attempts = options.attempts.saturating_sub(1);
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.use_hosts_file = ResolveHosts::Never;
    Ok((config, options))
}

/// The lines that are valid, as a bad one must not make the others void, and a name server on this host if
/// they name none.
fn understood(text: &str) -> String {
    const OWN: &str = "nameserver 127.0.0.1\n";
    let is_server = |line: &&str| line.trim_start().starts_with("nameserver");
    let is_valid = |line: &&str| parse_resolv_conf(format!("{line}\n{OWN}")).is_ok();
    let valid: Vec<&str> = text.lines().filter(is_valid).collect();
    let own = match valid.iter().any(is_server) {
        true => "",
        false => OWN,
    };
    format!("{}\n{own}", valid.join("\n"))
}

/// The interface of each name server, as in `nameserver fe80::1%eth0`.
fn interfaces(text: &str) -> impl Iterator<Item = Option<&str>> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == "nameserver")?;
        words.next()
    });
    servers.map(|server| server.split_once('%').map(|(_, interface)| interface))
}

/// A link-local address of an interface, by its name or number: a socket that has this address reaches only
/// what is on that interface. The resolver forgets the interface of a name server. A tentative address, of
/// which the kernel does not know yet whether another host has it, cannot be used.
fn own_address(interface: &str) -> Option<SocketAddr> {
    getifaddrs().ok()?.find_map(|own| {
        let address = SocketAddrV6::from(*own.address?.as_sockaddr_in6()?);
        let is_there =
            own.interface_name == interface || address.scope_id().to_string() == interface;
        let is_own = is_there && address.ip().is_unicast_link_local();
        (is_own && UdpSocket::bind(address).is_ok()).then(|| address.into())
    })
}

/// The error in the words of `gai_strerror(3)` where it has some.
fn failure(error: NetError) -> io::Error {
    let (kind, cause) = match &error {
        NetError::Timeout => (io::ErrorKind::TimedOut, "no name server answered"),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => (io::ErrorKind::NotFound, "the name is not known"),
            _ => (io::ErrorKind::NotFound, "the name has no address"),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => {
            return io::Error::other(format!("the name server answers with an error: {code}"));
        }
        _ => return io::Error::other(error),
    };
    io::Error::new(kind, cause)
}
