//! `Link` headers (RFC 8288): where the next page is.

/// The target of the first link whose relation types hold `next`. A link with an `anchor` is about
/// another resource and does not count.
pub fn next_link<'a>(headers: impl Iterator<Item = &'a str>) -> Option<String> {
    headers.flat_map(split_links).find_map(|link| next_target(&link))
}

/// Splits a header at the commas between links: not those inside `<…>` or a quoted text.
fn split_links(header: &str) -> Vec<String> {
    let mut links = vec![String::new()];
    let (mut in_target, mut in_quotes, mut escaped) = (false, false, false);
    for letter in header.chars() {
        match letter {
            ',' if !in_target && !in_quotes => {
                links.push(String::new());
                continue;
            }
            '<' if !in_quotes => in_target = true,
            '>' if !in_quotes => in_target = false,
            '"' if !in_target && !escaped => in_quotes = !in_quotes,
            _ => {}
        }
        escaped = letter == '\\' && in_quotes && !escaped;
        links.last_mut().expect("there is always one").push(letter);
    }
    links
}

fn next_target(link: &str) -> Option<String> {
    let rest = link.trim().strip_prefix('<')?;
    let (target, parameters) = rest.split_once('>')?;
    let mut relation: Option<String> = None;
    for parameter in split_parameters(parameters) {
        let (name, value) = parameter.split_once('=').unwrap_or((&parameter, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            // Section 3.3: the first `rel` counts, later ones are ignored.
            "rel" => {
                relation.get_or_insert_with(|| value.to_ascii_lowercase());
            }
            "anchor" => return None,
            _ => {}
        }
    }
    let is_next = relation?.split_ascii_whitespace().any(|kind| kind == "next");
    is_next.then(|| target.trim().to_owned())
}

fn split_parameters(text: &str) -> Vec<String> {
    let mut parameters = Vec::new();
    let mut current = String::new();
    let (mut in_quotes, mut escaped) = (false, false);
    for letter in text.chars() {
        match letter {
            ';' if !in_quotes => parameters.push(std::mem::take(&mut current)),
            '"' if !escaped => {
                in_quotes = !in_quotes;
                current.push(letter);
            }
            _ => current.push(letter),
        }
        escaped = letter == '\\' && in_quotes && !escaped;
    }
    parameters.push(current);
    parameters.retain(|parameter| !parameter.trim().is_empty());
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_title_makes_no_relation() {
        let link = r#"</evil>; title="\"; rel=next; x=\""; rel="prev""#;
        assert_eq!(next_link([link].into_iter()), None);
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        let cases: [(&[&str], Option<&str>); 10] = [
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
            (&["garbage"], None),
            (&[""], None),
            (&[], None),
        ];
        for (headers, expected) in cases {
            assert_eq!(next_link(headers.iter().copied()).as_deref(), expected, "{headers:?}");
        }
    }
}
