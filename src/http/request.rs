//! What is sent: a stream's templates, filled, with credentials bound to their origin.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use url::Url;

use crate::definition::{
    Auth, EscapeContext, Paginate, RequestTemplate, SecretReference, Source, Template,
    TemplateValues, TokenInto, show_reference,
};

use crate::http::paginate::PageToken;
use crate::http::source_error::{SourceError, SourceErrorKind};
use crate::http::transport::{HttpRequest, Method};

/// The values of all secrets that requests of a run may hold, also to take them out of texts.
#[derive(Clone, Default)]
pub struct SecretValues {
    values: Vec<(SecretReference, String)>,
    /// What Basic authorisation makes of user names and passwords, and what is shown instead.
    pairs: Vec<(String, String)>,
}

impl std::fmt::Debug for SecretValues {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SecretValues({})", self.values.len())
    }
}

/// Secrets that are shorter are not searched for in a file, bytes.
pub const SEARCHED_BYTES_MIN: usize = 8;

impl SecretValues {
    /// Remembers a secret's value.
    pub fn insert(&mut self, reference: SecretReference, value: String) {
        self.values.push((reference, value));
    }

    /// Remembers what Basic authorisation makes of a source's credentials.
    pub fn remember_pairs(&mut self, source: &Source) {
        if let Auth::Basic { username, password } = &source.auth {
            let none = TemplateValues::default();
            let secret = |reference: &SecretReference| self.value(reference);
            let render =
                |template: &Template| template.render(&none, EscapeContext::Plain, &secret);
            if let (Ok(user), Ok(password)) = (render(username), render(password)) {
                let pair = STANDARD.encode(format!("{user}:{password}"));
                self.pairs.push((pair, format!("(credentials of {})", source.name)));
            }
        }
    }

    /// The value of a secret.
    pub fn value(&self, reference: &SecretReference) -> Result<String, String> {
        let found = self.values.iter().find(|(have, _)| have == reference);
        found.map(|(_, value)| value.clone()).ok_or_else(|| format!("{reference} is not set"))
    }

    /// Every form in which each secret may lie in a file, with the name that it has. Short ones are
    /// left out: they would be found everywhere.
    pub fn forms(&self) -> Vec<(String, String)> {
        let long = self.values.iter().filter(|(_, value)| value.len() >= SEARCHED_BYTES_MIN);
        let forms = long.flat_map(|(reference, value)| {
            forms_of(value).into_iter().map(|form| (form, reference.to_string()))
        });
        forms.chain(self.pairs.iter().cloned()).collect()
    }

    /// Whether a text holds a secret in any form.
    pub fn are_in(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        self.redact(&text) != text
    }

    /// Takes every secret out of a text, also where it is escaped for an address or in base64.
    pub fn redact(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        // The longest of all comes first: one secret may begin with another.
        let known = self.values.iter().filter(|(_, value)| value.len() >= 4);
        let mut forms: Vec<(String, String)> = known
            .flat_map(|(reference, value)| {
                forms_of(value).into_iter().map(|form| (form, reference.to_string()))
            })
            .collect();
        forms.sort_by_key(|(form, _)| std::cmp::Reverse(form.len()));
        for (form, shown) in &forms {
            clean = clean.replace(form, shown);
        }
        for (pair, shown) in &self.pairs {
            clean = clean.replace(pair, shown);
        }
        clean
    }
}

/// The forms in which a secret may come back: as it is, escaped for an address in each of the
/// usual ways, in base64, and as JSON text. Longer forms first, so that none is left in halves.
fn forms_of(value: &str) -> Vec<String> {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    const UNRESERVED_KEPT: &percent_encoding::AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let json = serde_json::to_string(value).unwrap_or_default();
    let escaped = [
        utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(value, UNRESERVED_KEPT).to_string(),
        url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
    ];
    let mut forms: Vec<String> = escaped.iter().map(|form| lower_escapes(form)).collect();
    forms.extend(escaped);
    forms.extend([STANDARD.encode(value), STANDARD_NO_PAD.encode(value)]);
    forms.extend([URL_SAFE.encode(value), URL_SAFE_NO_PAD.encode(value)]);
    let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
    let ascii = in_ascii(&json);
    forms.extend([json.replace('/', "\\/"), ascii.replace('/', "\\/"), ascii, json]);
    forms.push(value.to_owned());
    forms.retain(|form| !form.is_empty());
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms
}

/// JSON text with `\u` escapes for all that is not ASCII, as many writers give it.
fn in_ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut units = [0_u16; 2];
    for letter in json.chars() {
        match letter.is_ascii() {
            true => out.push(letter),
            false => letter.encode_utf16(&mut units).iter().for_each(|unit| {
                out.push_str(&format!("\\u{unit:04x}"));
            }),
        }
    }
    out
}

/// `%2F` as `%2f`.
fn lower_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut left = 0_u8;
    for letter in text.chars() {
        left = if letter == '%' { 3 } else { left };
        out.push(if left > 0 { letter.to_ascii_lowercase() } else { letter });
        left = left.saturating_sub(1);
    }
    out
}

/// What a request is made of.
#[derive(Clone, Copy, Debug)]
pub struct RequestPlan<'a> {
    /// The API.
    pub source: &'a Source,
    /// What is asked.
    pub template: &'a RequestTemplate,
    /// How it pages.
    pub paginate: &'a Paginate,
    /// What the placeholders are filled with.
    pub values: &'a TemplateValues,
    /// Which page.
    pub token: &'a PageToken,
}

/// Makes the request.
pub fn plan_request(
    plan: &RequestPlan<'_>,
    secrets: &SecretValues,
) -> Result<HttpRequest, SourceError> {
    if let (PageToken::Url(address), true) = (plan.token, plan.template.post) {
        let home = Url::parse(address).is_ok_and(|url| same_origin(&url, &plan.source.base_url));
        if !home {
            let message = "the API leads a POST to another host, where its body does not belong";
            return Err(SourceError::new(SourceErrorKind::Unsafe, message));
        }
    }
    let secret = |reference: &SecretReference| secrets.value(reference);
    build(plan, &secret, true)
        .map_err(|message| SourceError::new(SourceErrorKind::Definition, message))
}

/// The request as a person may see it: no credentials, references for secrets.
pub fn show_request(plan: &RequestPlan<'_>) -> String {
    let shown = build(plan, &show_reference, false).map(|request| {
        let method = request.method.as_str();
        let body = request.body.map(|body| format!(" {}", String::from_utf8_lossy(&body)));
        format!("{method} {}{}", request.url, body.unwrap_or_default())
    });
    shown.unwrap_or_else(|message| format!("(cannot be asked: {message})"))
}

type Secret<'s> = &'s dyn Fn(&SecretReference) -> Result<String, String>;

fn build(
    plan: &RequestPlan<'_>,
    secret: Secret<'_>,
    with_auth: bool,
) -> Result<HttpRequest, String> {
    let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
    let mut body =
        plan.template.body.as_ref().map(|b| fill_body(b, plan.values, secret)).transpose()?;
    let mut url = match plan.token {
        PageToken::Url(address) => Url::parse(address).map_err(|error| error.to_string())?,
        _ => first_url(plan, secret)?,
    };
    match (plan.token, plan.paginate) {
        (PageToken::Page(number), Paginate::Page { param, .. }) => {
            set_parameter(&mut url, param, &number.to_string());
        }
        (PageToken::Offset(offset), Paginate::Offset { param, .. }) => {
            set_parameter(&mut url, param, &offset.to_string());
        }
        (PageToken::Cursor(token), Paginate::Cursor { into, .. }) => match into {
            TokenInto::Query(param) => set_parameter(&mut url, param, token),
            TokenInto::Body(member) => {
                let object = body.get_or_insert_with(|| serde_json::json!({}));
                object[member.as_str()] = serde_json::Value::from(token.as_str());
            }
        },
        _ => {}
    }
    // Credentials, and headers that may hold some, go to the source's own origin and no other.
    if same_origin(&url, &plan.source.base_url) {
        for (name, template) in plan.source.headers.iter().chain(&plan.template.headers) {
            let value = template.render(plan.values, EscapeContext::Plain, secret)?;
            headers.retain(|(have, _)| !have.eq_ignore_ascii_case(name));
            headers.push((name.to_lowercase(), value));
        }
        if with_auth {
            authorise(&plan.source.auth, &mut url, &mut headers, secret)?;
        }
    }
    if body.is_some() && !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let body = body.map(|body| body.to_string().into_bytes());
    let Source { body_bytes_max, body_ratio_max, .. } = *plan.source;
    let method = if plan.template.post { Method::Post } else { Method::Get };
    Ok(HttpRequest { method, url, headers, body, body_bytes_max, body_ratio_max })
}

fn first_url(plan: &RequestPlan<'_>, secret: Secret<'_>) -> Result<Url, String> {
    let path = plan.template.path.render(plan.values, EscapeContext::Path, secret)?;
    let base = plan.source.base_url.as_str().trim_end_matches('/');
    let separator = if path.is_empty() || path.starts_with(['/', '?']) { "" } else { "/" };
    let mut url = Url::parse(&format!("{base}{separator}{path}")).map_err(|e| e.to_string())?;
    if !same_origin(&url, &plan.source.base_url) {
        return Err("the path leads to another host than base_url".to_owned());
    }
    for (name, template) in &plan.template.query {
        let value = template.render(plan.values, EscapeContext::Plain, secret)?;
        url.query_pairs_mut().append_pair(name, &value);
    }
    let size = match plan.paginate {
        Paginate::Page { size, size_param, .. } | Paginate::Offset { size, size_param, .. } => {
            size.zip(size_param.as_ref())
        }
        _ => None,
    };
    if let Some((size, param)) = size {
        set_parameter(&mut url, param, &size.to_string());
    }
    Ok(url)
}

/// A JSON body with the templates in its texts filled.
pub fn fill_body(
    body: &serde_json::Value,
    values: &TemplateValues,
    secret: Secret<'_>,
) -> Result<serde_json::Value, String> {
    use serde_json::Value;
    Ok(match body {
        Value::String(text) => {
            Value::String(Template::parse(text)?.render(values, EscapeContext::Plain, secret)?)
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| fill_body(item, values, secret));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| Ok((name.clone(), fill_body(value, values, secret)?)));
            Value::Object(members.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

/// Replaces a parameter, or appends it.
fn set_parameter(url: &mut Url, name: &str, value: &str) {
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

pub(super) fn authorise(
    auth: &Auth,
    url: &mut Url,
    headers: &mut Vec<(String, String)>,
    secret: Secret<'_>,
) -> Result<(), String> {
    let none = TemplateValues::default();
    let render = |template: &Template| template.render(&none, EscapeContext::Plain, secret);
    let own = match auth {
        Auth::Bearer(_) | Auth::Basic { .. } => Some("authorization"),
        Auth::Header(name, _) => Some(name.as_str()),
        Auth::None | Auth::Query(..) => None,
    };
    headers.retain(|(have, _)| own.is_none_or(|own| !have.eq_ignore_ascii_case(own)));
    match auth {
        Auth::None => {}
        Auth::Bearer(token) => {
            headers.push(("authorization".to_owned(), format!("Bearer {}", render(token)?)));
        }
        Auth::Basic { username, password } => {
            let pair = format!("{}:{}", render(username)?, render(password)?);
            headers.push(("authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair))));
        }
        Auth::Header(name, value) => headers.push((name.to_lowercase(), render(value)?)),
        Auth::Query(name, value) => set_parameter(url, name, &render(value)?),
    }
    Ok(())
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
        if let Auth::Query(name, _) = &source.auth {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::parse_definition;

    fn source(auth: &str, more: &str) -> Source {
        let text = format!(
            "[archive]\npath = 'a.db'\n[sources.s]\nbase_url = 'https://api.example.com/v1'\n\
             auth = {auth}\n{more}\n[streams.t]\npath = '/t'\nrecords = '$[*]'\nkey = 'id'\n"
        );
        let definition = parse_definition("w.toml", &text).expect("a definition");
        definition.sources["s"].clone()
    }

    fn template(path: &str) -> RequestTemplate {
        RequestTemplate {
            post: false,
            path: Template::parse(path).expect("a template"),
            query: vec![("from".into(), Template::parse("{{ cursor }}").expect("a template"))],
            headers: vec![],
            body: None,
        }
    }

    fn request(source: &Source, token: &PageToken, paginate: &Paginate) -> HttpRequest {
        let values = TemplateValues { cursor: Some("a b&c".into()), ..TemplateValues::default() };
        let template = template("/items");
        let plan = RequestPlan { source, template: &template, paginate, values: &values, token };
        let mut secrets = SecretValues::default();
        secrets.insert(SecretReference::Environment("KEY".into()), "s3cret/+".into());
        let shown = show_request(&plan);
        assert!(!shown.contains("s3cret"), "{shown}");
        plan_request(&plan, &secrets).expect("a request")
    }

    #[test]
    fn each_kind_of_authorisation_puts_the_secret_in_its_place() {
        let page = PageToken::Start;
        let cases = [
            ("{ kind = 'bearer', token = '${env:KEY}' }", "authorization", "Bearer s3cret/+"),
            (
                "{ kind = 'basic', username = 'u', password = '${env:KEY}' }",
                "authorization",
                "Basic dTpzM2NyZXQvKw==",
            ),
            (
                "{ kind = 'header', name = 'X-Api-Key', value = '${env:KEY}' }",
                "x-api-key",
                "s3cret/+",
            ),
        ];
        for (auth, header, expected) in cases {
            let request = request(&source(auth, ""), &page, &Paginate::None);
            let found = request.headers.iter().find(|(name, _)| name == header);
            assert_eq!(found.map(|(_, value)| value.as_str()), Some(expected), "{auth}");
            assert_eq!(request.url.as_str(), "https://api.example.com/v1/items?from=a+b%26c");
        }
        let source = source("{ kind = 'query', name = 'api_key', value = '${env:KEY}' }", "");
        let request = request(&source, &page, &Paginate::None);
        assert_eq!(request.url.query(), Some("from=a+b%26c&api_key=s3cret%2F%2B"));
    }

    #[test]
    fn credentials_go_to_their_own_origin_only() {
        let auth = "{ kind = 'bearer', token = '${env:KEY}' }";
        let source = source(auth, "headers = { X-Tenant = '${env:KEY}' }");
        let other = PageToken::Url("https://cdn.example.net/next".into());
        let request = request(&source, &other, &Paginate::Link);
        assert!(request.headers.iter().all(|(_, value)| !value.contains("s3cret")));
    }

    #[test]
    fn an_address_of_another_host_is_refused_unless_it_is_allowed() {
        let none = "{ kind = 'none' }";
        let plain = source(none, "");
        let from = Url::parse("https://api.example.com/v1/items").expect("an address");
        for address in [
            "https://evil.example/x",
            "http://api.example.com/v1/x",
            "//evil.example/x",
            "https://api.example.com:8443/x",
            "file:///etc/passwd",
            "https://u:p@api.example.com/x",
            "http://169.254.169.254/latest",
        ] {
            let refused = resolve_address(address, &from, &plain).expect_err(address);
            assert_eq!(refused.kind, SourceErrorKind::Unsafe, "{address}");
        }
        let near = resolve_address("?page=2", &from, &plain).expect("the same host");
        assert_eq!(near.as_str(), "https://api.example.com/v1/items?page=2");
        let open = source(none, "allow_hosts = ['cdn.example.net']");
        resolve_address("https://cdn.example.net/x", &from, &open).expect("an allowed host");
        resolve_address("http://cdn.example.net/x", &from, &open).expect_err("a downgrade");
    }

    #[test]
    fn a_credential_in_a_next_link_is_not_kept() {
        let source = source("{ kind = 'query', name = 'api_key', value = '${env:KEY}' }", "");
        let from = Url::parse("https://api.example.com/v1/items").expect("an address");
        let next = resolve_address("/v1/items?api_key=s3cret&page=2", &from, &source);
        assert_eq!(
            next.expect("the same host").as_str(),
            "https://api.example.com/v1/items?page=2"
        );
    }

    #[test]
    fn a_secret_that_begins_with_another_leaves_nothing_behind() {
        let mut secrets = SecretValues::default();
        let name = |name: &str| SecretReference::Environment(name.to_owned());
        secrets.insert(name("A"), "s3cret/+ö".to_owned());
        secrets.insert(name("B"), "s3cret/+öQz7longer".to_owned());
        for form in [
            "s3cret/+öQz7longer",
            r"s3cret\/+öQz7longer",
            r"s3cret\/+\u00f6Qz7longer",
            &STANDARD_NO_PAD.encode("s3cret/+öQz7longer"),
            &URL_SAFE_NO_PAD.encode("s3cret/+öQz7longer"),
        ] {
            assert_eq!(secrets.redact(form), "${env:B}", "{form}");
        }
    }

    #[test]
    fn a_secret_is_taken_out_of_a_text_in_each_of_its_forms() {
        let mut secrets = SecretValues::default();
        secrets.insert(SecretReference::Environment("KEY".into()), "s3cret/+".into());
        let text = "bad key s3cret/+ or s3cret%2F%2B or czNjcmV0Lys=";
        assert_eq!(secrets.redact(text), "bad key ${env:KEY} or ${env:KEY} or ${env:KEY}");
        secrets.insert(SecretReference::Environment("B".into()), "ab_c-d/\"e".into());
        for form in ["ab_c-d%2F%22e", "ab_c-d%2f%22e", "ab%5Fc%2Dd%2F%22e", "ab_c-d/\\\"e"] {
            assert_eq!(secrets.redact(form), "${env:B}", "{form}");
        }
    }
}
