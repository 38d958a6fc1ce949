//! The one builder of requests, of reads and of writes; credentials come after it (`auth`).

use url::Url;

use crate::definition::{
    BodyFormat, EscapeContext, Paginate, RequestTemplate, SecretReference, Source, Template,
    TemplateValues, show_reference,
};

use crate::http::address::same_origin;
use crate::http::paginate::PageToken;
use crate::http::redact::SecretValues;
use crate::http::source_error::{SourceError, SourceErrorKind};
use crate::http::transport::{HttpRequest, Method};

/// What a read is made of.
#[derive(Clone, Copy, Debug)]
pub struct RequestPlan<'a> {
    pub source: &'a Source,
    pub template: &'a RequestTemplate,
    pub paginate: &'a Paginate,
    /// What the placeholders are filled with.
    pub values: &'a TemplateValues,
    pub token: &'a PageToken,
}

/// What a write is made of, without the source's own headers.
#[derive(Clone, Copy, Debug)]
pub struct WriteRequest<'a> {
    pub method: Method,
    /// Path and query, appended to the source's address byte for byte.
    pub path: &'a str,
    /// Name (lower case) and value of each header.
    pub headers: &'a [(String, String)],
    pub body: Option<&'a [u8]>,
}

/// The request of a read, without credentials.
pub fn read_request(
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
    build_read(plan, &secret)
        .map_err(|message| SourceError::new(SourceErrorKind::Definition, message))
}

/// The request of a write, without credentials.
pub fn write_request(
    source: &Source,
    write: &WriteRequest<'_>,
    secrets: &SecretValues,
) -> Result<HttpRequest, SourceError> {
    let secret = |reference: &SecretReference| secrets.value(reference);
    let build = || {
        let base = source.base_url.as_str().trim_end_matches('/');
        let url = parse_address(&format!("{base}{}", write.path))?;
        if !same_origin(&url, &source.base_url) {
            return Err("the path leads to another host than base_url".to_owned());
        }
        let mut request = start(source, write.method, url, &TemplateValues::default(), &secret)?;
        for (name, value) in write.headers {
            request.set_header(name, value.clone());
        }
        request.body = write.body.map(<[u8]>::to_vec);
        Ok(request)
    };
    build().map_err(|message| SourceError::new(SourceErrorKind::Definition, message))
}

/// The request as a person may see it: no credentials, references for secrets.
pub fn show_request(plan: &RequestPlan<'_>) -> String {
    let shown = build_read(plan, &show_reference).map(|request| {
        let method = request.method.as_str();
        let body = request.body.map(|body| format!(" {}", String::from_utf8_lossy(&body)));
        format!("{method} {}{}", request.url, body.unwrap_or_default())
    });
    shown.unwrap_or_else(|message| format!("(cannot be asked: {message})"))
}

type Secret<'s> = &'s dyn Fn(&SecretReference) -> Result<String, String>;

fn parse_address(address: &str) -> Result<Url, String> {
    Url::parse(address).map_err(|error| error.to_string())
}

/// A request with what all requests of a source have: its headers, which may hold secrets and so
/// go to its own origin and no other, and the limits of an answer.
fn start(
    source: &Source,
    method: Method,
    url: Url,
    values: &TemplateValues,
    secret: Secret<'_>,
) -> Result<HttpRequest, String> {
    let Source { body_bytes_max, body_ratio_max, .. } = *source;
    let format = source.format();
    let headers = vec![("accept".to_owned(), format.media_type().to_owned())];
    let mut request =
        HttpRequest { method, url, headers, body: None, format, body_bytes_max, body_ratio_max };
    if same_origin(&request.url, &source.base_url) {
        set_headers(&mut request, &source.headers, values, secret)?;
    }
    Ok(request)
}

fn set_headers(
    request: &mut HttpRequest,
    headers: &[(String, Template)],
    values: &TemplateValues,
    secret: Secret<'_>,
) -> Result<(), String> {
    for (name, template) in headers {
        request.set_header(name, template.render(values, EscapeContext::Plain, secret)?);
    }
    Ok(())
}

fn build_read(plan: &RequestPlan<'_>, secret: Secret<'_>) -> Result<HttpRequest, String> {
    let template = plan.template;
    let body = template.body.as_ref().map(|body| fill_body(body, plan.values, secret));
    let mut body = body.transpose()?;
    let mut url = match plan.token {
        PageToken::Url(address) => parse_address(address)?,
        _ => first_url(plan, secret)?,
    };
    plan.token.put(plan.paginate, &mut url, &mut body);
    let method = if template.post { Method::Post } else { Method::Get };
    let mut request = start(plan.source, method, url, plan.values, secret)?;
    if same_origin(&request.url, &plan.source.base_url) {
        set_headers(&mut request, &template.headers, plan.values, secret)?;
    }
    if body.is_some() && request.header("content-type").is_none() {
        request.set_header("content-type", BodyFormat::Json.media_type().to_owned());
    }
    request.body = body.map(|body| body.to_string().into_bytes());
    Ok(request)
}

fn first_url(plan: &RequestPlan<'_>, secret: Secret<'_>) -> Result<Url, String> {
    let path = plan.template.path.render(plan.values, EscapeContext::Path, secret)?;
    let base = plan.source.base_url.as_str().trim_end_matches('/');
    let separator = if path.is_empty() || path.starts_with(['/', '?']) { "" } else { "/" };
    let mut url = parse_address(&format!("{base}{separator}{path}"))?;
    if !same_origin(&url, &plan.source.base_url) {
        return Err("the path leads to another host than base_url".to_owned());
    }
    for (name, template) in &plan.template.query {
        let value = template.render(plan.values, EscapeContext::Plain, secret)?;
        url.query_pairs_mut().append_pair(name, &value);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::parse_definition;
    use crate::http::address::resolve_address;
    use crate::http::auth::Authorizers;

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
        let mut request = read_request(&plan, &secrets).expect("a request");
        let authorizers = Authorizers::new([source]);
        authorizers.authorize(source, &mut request, &secrets).expect("credentials");
        request
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
}
