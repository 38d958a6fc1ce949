//! Credentials that would go over the network for everybody to read.

use std::collections::BTreeMap;

use serde::Serialize;
use url::{Host, Url};

use crate::definition::Source;
use crate::definition::context::Context;
use crate::definition::raw::RawDefinition;

/// Whether an address is of this machine, so that nobody listens on the way.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

/// Refuses sources that are sent credentials by `http://` over a network, unless `insecure` says
/// that this is meant. Whatever refers to a secret, in the source or in a stream of it, counts.
pub(super) fn check_cleartext(
    raw: &RawDefinition,
    sources: &BTreeMap<String, Source>,
    context: &mut Context<'_>,
) {
    for (name, source) in &raw.sources {
        let Some(base) = sources.get(name).map(|source| &source.base_url) else { continue };
        if source.insecure || base.scheme() != "http" || is_loopback(base) {
            continue;
        }
        let alone = raw.sources.len() == 1;
        let mut streams = raw.streams.values();
        let of_streams = streams.any(|stream| {
            let own = stream.source.as_ref().map_or(alone, |of| of == name);
            own && refers_to_secrets(stream)
        });
        if of_streams || refers_to_secrets(source) {
            let message = format!(
                "credentials would go to {} unencrypted, for everybody on the way to read",
                base.host_str().unwrap_or_default()
            );
            let help = "write `https://`; where the way there is safe, say `insecure = true`";
            context.report_help(&["sources", name, "base_url"], message, Some(help.to_owned()));
        }
    }
}

/// A reference to a secret can be told by its beginning wherever it stands.
fn refers_to_secrets(part: &impl Serialize) -> bool {
    serde_json::to_string(part).is_ok_and(|text| text.contains("${"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_no_network() {
        let cases = [
            ("http://127.0.0.1", true),
            ("http://127.9.9.9:80", true),
            ("http://2130706433", true),
            ("http://[::1]:1", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://localhost", true),
            ("http://LOCALHOST:8080", true),
            ("http://api.localhost", true),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://notlocalhost", false),
            ("http://0.0.0.0", false),
            ("http://10.0.0.1", false),
            ("http://[fe80::1]", false),
            ("http://[::ffff:10.0.0.1]", false),
        ];
        for (address, expected) in cases {
            let url = Url::parse(address).expect(address);
            assert_eq!(is_loopback(&url), expected, "{address}");
        }
    }
}
