//! A page: one answer of a source to one request, as every room is handed it.

use url::Url;

use crate::definition::BodyFormat;
use crate::http::source_error::{SourceError, data_of, looks_like_portal};
use crate::http::transport::HttpResponse;
use crate::model::Timestamp;
use crate::record::Body;

/// One answer, made once in [`HttpFetcher::fetch`](super::HttpFetcher::fetch).
#[derive(Clone, Debug)]
pub struct Page {
    /// Status, headers and body, of whatever status.
    pub response: HttpResponse,
    /// The address after redirects.
    pub url: Url,
    /// As of when it speaks, by the source's own clock, where it says so.
    pub as_of: Option<Timestamp>,
    /// Whether the definition takes the answer for "there is nothing", whatever its status.
    pub means_nothing: bool,
    /// The format that was asked for.
    pub format: BodyFormat,
}

impl Page {
    /// The body of an answer that holds data, or why it holds none. An answer without content is
    /// an empty text.
    pub fn text(&self) -> Result<&str, SourceError> {
        if self.means_nothing {
            return Ok("");
        }
        data_of(&self.response, self.format)
    }

    /// The same, decoded. An empty text is only an answer without content where the status says so;
    /// elsewhere the format judges it.
    pub fn body(&self) -> Result<Body<'_>, SourceError> {
        let text = self.text()?;
        Ok(if self.response.status == 204 || self.means_nothing {
            Body::Empty
        } else {
            self.format.decode(text)
        })
    }

    /// Whether an access point may have answered in place of the source.
    pub fn looks_like_portal(&self) -> bool {
        looks_like_portal(&self.response)
    }
}
