//! The hosts file: the `host:port` of every process, one a line, in the order of their numbers.

use std::path::Path;

use super::{ClusterError, Result};

/// Reads the addresses of `processes` processes; blank lines and what follows a `#` count as nothing.
pub fn read_hosts(file: &Path, processes: usize) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| ClusterError::Hosts(format!("can't read the hosts file {}: {error}", file.display())))?;
    let addresses = parse(&text).map_err(|problem| ClusterError::Hosts(format!("{}: {problem}", file.display())))?;
    match addresses.len() {
        found if found == processes => Ok(addresses),
        found => {
            Err(ClusterError::Hosts(format!("{} names {found} processes, --processes says {processes}", file.display())))
        }
    }
}

fn parse(text: &str) -> std::result::Result<Vec<String>, String> {
    let mut addresses = Vec::<String>::new();
    for (line, text) in (1..).zip(text.lines()) {
        let address = text.split('#').next().unwrap_or_default().trim();
        if address.is_empty() {
            continue;
        }
        let port = address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
        if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(format!("line {line}: expected HOST:PORT, found {address:?}"));
        }
        if addresses.iter().any(|other| other == address) {
            return Err(format!("line {line}: {address} stands there twice"));
        }
        addresses.push(address.to_owned());
    }
    Ok(addresses)
}

/// Where a process listens: at its own address if that is a number or `localhost`, else, since a name may mean something else
/// (or nothing yet) on the machine itself, at the port on all interfaces.
pub(super) fn bind_address(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    let number = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    if number || host == "localhost" { address.to_owned() } else { format!("0.0.0.0:{port}") }
}

#[cfg(test)]
mod tests {
    use super::{bind_address, parse};

    #[test]
    fn a_hosts_file_has_an_address_a_line_and_comments() {
        let parsed = parse("# the cluster\n127.0.0.1:2101\n\n  node-1.nodes:2102 # spare\n[::1]:2103\n");
        assert_eq!(parsed.unwrap(), ["127.0.0.1:2101", "node-1.nodes:2102", "[::1]:2103"]);
        for (wrong, said) in [
            ("node-1", "line 1: expected HOST:PORT, found \"node-1\""),
            ("a:1\n:2102", "line 2: expected HOST:PORT, found \":2102\""),
            ("a:70000", "line 1: expected HOST:PORT, found \"a:70000\""),
            ("a:1\na:1", "line 2: a:1 stands there twice"),
        ] {
            assert_eq!(parse(wrong).unwrap_err(), said);
        }
    }

    #[test]
    fn numbers_are_bound_as_they_stand_and_names_on_all_interfaces() {
        assert_eq!(bind_address("127.0.0.1:9"), "127.0.0.1:9");
        assert_eq!(bind_address("[::1]:9"), "[::1]:9");
        assert_eq!(bind_address("localhost:9"), "localhost:9");
        assert_eq!(bind_address("synthllm-2.synthllm:9"), "0.0.0.0:9");
    }
}
