//! Addresses: their parameters, their origin, and where one that the API gave may lead.

use url::Url;

use crate::definition::Source;
use crate::http::source_error::{SourceError, SourceErrorKind};

/// Replaces a parameter, or appends it.
pub(super) fn set_parameter(url: &mut Url, name: &str, value: &str) {
    remove_parameter(url, name);
    url.query_pairs_mut().append_pair(name, value);
}

fn remove_parameter(url: &mut Url, name: &str) {
    if !url.query_pairs().any(|(have, _)| have == name) {
        return;
    }
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(have, _)| have != name)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
}

/// Same scheme, host and port.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

/// Where an address that the API gave leads: the source's own origin, or a host that the
/// definition allows. Everything else is refused before anything is sent.
pub(super) fn resolve_address(
    address: &str,
    from: &Url,
    source: &Source,
) -> Result<Url, SourceError> {
    let refuse = |why: String| {
        let help = "if this is meant, name the host in the source's `allow_hosts`";
        SourceError::new(SourceErrorKind::Unsafe, why).help(help)
    };
    let mut url = from.join(address).map_err(|error| {
        SourceError::new(
            SourceErrorKind::InvalidResponse,
            format!("the API gave no address: {error}"),
        )
    })?;
    url.set_fragment(None);
    let host = url.host_str().unwrap_or_default().to_lowercase();
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(format!("the API leads to a {} address", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(format!(
            "the API leads to an address with a password in it, at {host}"
        )));
    }
    if same_origin(&url, &source.base_url) {
        if let Some(name) = source.auth.query_parameter() {
            remove_parameter(&mut url, name);
        }
        return Ok(url);
    }
    let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    let allowed =
        source.allow_hosts.iter().any(|allowed| *allowed == host || *allowed == with_port);
    let downgraded = source.base_url.scheme() == "https" && url.scheme() == "http";
    if allowed && !downgraded {
        return Ok(url);
    }
    Err(refuse(format!("the API leads to another host: {}://{with_port}", url.scheme())))
}
