//! `Link` headers (RFC 8288, and what servers send besides): where the next page is.

/// What the `Link` headers of an answer say of a next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkNext {
    /// There is no link to one.
    None,
    At(String),
    /// There is a link that cannot be read, as it came.
    Unreadable(String),
}

/// The target of the first link whose relation types hold `next`. A link with an `anchor` is about
/// another resource and does not count.
pub fn next_link<'a>(headers: impl Iterator<Item = &'a str>) -> LinkNext {
    let mut unreadable = None;
    for header in headers {
        for link in split_outside(header, ',') {
            match read_link(&link) {
                LinkNext::None => {}
                LinkNext::Unreadable(link) => {
                    unreadable.get_or_insert(link);
                }
                found @ LinkNext::At(_) => return found,
            }
        }
    }
    unreadable.map_or(LinkNext::None, LinkNext::Unreadable)
}

/// Splits a text at a separator that is neither inside `<…>` nor quoted. A single quote only quotes
/// at the beginning of a value: `rel='next'`, but not `title=it's`.
fn split_outside(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut in_target, mut quote, mut escaped, mut before) = (false, None, false, ' ');
    for letter in text.chars() {
        if letter == separator && !in_target && quote.is_none() {
            parts.push(String::new());
            before = ' ';
            continue;
        }
        match (letter, quote) {
            ('<', None) => in_target = true,
            ('>', None) => in_target = false,
            ('"', None) if !in_target => quote = Some('"'),
            ('\'', None) if !in_target && before == '=' => quote = Some('\''),
            (letter, Some(open)) if letter == open && !escaped => quote = None,
            _ => {}
        }
        escaped = letter == '\\' && quote.is_some() && !escaped;
        if !letter.is_whitespace() {
            before = letter;
        }
        parts.last_mut().expect("there is always one").push(letter);
    }
    parts
}

fn read_link(link: &str) -> LinkNext {
    let link = link.trim();
    let unreadable = || LinkNext::Unreadable(link.to_owned());
    // Some servers leave the angle brackets out.
    let (target, parameters) = match link.strip_prefix('<') {
        Some(rest) => match rest.split_once('>') {
            Some(parts) => parts,
            None => return unreadable(),
        },
        None if link.is_empty() => return LinkNext::None,
        None => match link.split_once(';') {
            Some((target, rest)) if target.contains('/') => (target, rest),
            _ => return unreadable(),
        },
    };
    let mut relation: Option<String> = None;
    let mut has_results = true;
    for parameter in split_outside(parameters, ';') {
        let (name, value) = parameter.split_once('=').unwrap_or((&parameter, ""));
        let value = value.trim().trim_matches(['"', '\'']);
        match name.trim().to_ascii_lowercase().as_str() {
            // Section 3.3: the first `rel` counts, later ones are ignored.
            "rel" => {
                relation.get_or_insert_with(|| value.to_ascii_lowercase());
            }
            // RFC 8187: a character set, a language and the value, between single quotes.
            "rel*" => {
                let value = value.rsplit('\'').next().unwrap_or(value);
                relation.get_or_insert_with(|| value.to_ascii_lowercase());
            }
            // Sentry: a link is always there, and says beside it whether it leads to anything.
            "results" => has_results = !value.eq_ignore_ascii_case("false"),
            "anchor" => return LinkNext::None,
            _ => {}
        }
    }
    let is_next =
        has_results && relation.is_some_and(|types| types.split_ascii_whitespace().any(means_next));
    match target.trim() {
        _ if !is_next => LinkNext::None,
        "" => unreadable(),
        target => LinkNext::At(target.to_owned()),
    }
}

/// A relation type by its name, or by an address that ends with it: IANA's own have been written
/// in several ways.
fn means_next(relation: &str) -> bool {
    relation == "next"
        || (relation.contains("://")
            && (relation.ends_with("/next") || relation.ends_with("#next")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_title_makes_no_relation() {
        let link = r#"</evil>; title="\"; rel=next; x=\""; rel="prev""#;
        assert_eq!(next_link([link].into_iter()), LinkNext::None);
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        let cases: [(&[&str], Option<&str>); 19] = [
            (
                &[r#"<https://a/x?page=2>; rel="next", <https://a/x?page=9>; rel="last""#],
                Some("https://a/x?page=2"),
            ),
            (&[r#"<https://a/x?a=1,2>; rel="prev"; title="a, b", </y>; rel=next"#], Some("/y")),
            (&[r#"</y>; rel="last NEXT""#], Some("/y")),
            (&[r#"</a>; rel="prev""#, r#"</b>; rel="next""#], Some("/b")),
            (&[r#"</y>; rel="prev"; rel="next""#], None),
            (&[r##"</y>; rel="next"; anchor="#foo""##], None),
            (&[r#"</y>; title="rel=next""#], None),
            (&[""], None),
            (&[], None),
            (&["</y>; rel='next'"], Some("/y")),
            (&["</a,b>; rel='prev', </y>; rel='last next'"], Some("/y")),
            (&["</y>;REL=NEXT"], Some("/y")),
            (
                &["<https://a/x?page=2> ; rel = \"next\" ; title = it's, </z>; rel=last"],
                Some("https://a/x?page=2"),
            ),
            (&[r#"</y>; rel="https://www.iana.org/assignments/relation/next""#], Some("/y")),
            (
                &["</y>; rel=\"http://www.iana.org/assignments/link-relations/next other\""],
                Some("/y"),
            ),
            (&["http://h/x?page=2; rel=next"], Some("http://h/x?page=2")),
            (&["</y>; rel*=UTF-8'en'next"], Some("/y")),
            (&["</style.css>; rel=preload; as=style, </next.js>; rel=prefetch"], None),
            (&["</y>; rel=\"https://example.com/next-version\""], None),
        ];
        for (headers, expected) in cases {
            let expected = expected.map_or(LinkNext::None, |at| LinkNext::At(at.to_owned()));
            assert_eq!(next_link(headers.iter().copied()), expected, "{headers:?}");
        }
        let unreadable = ["garbage", "<http://h/x?page=2; rel=\"next\"", "<>; rel=next", "next"];
        for header in unreadable {
            let found = next_link([header].into_iter());
            assert_eq!(found, LinkNext::Unreadable(header.to_owned()), "{header}");
        }
    }
}
