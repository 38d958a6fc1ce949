//! The names that APIs give to "there is more", to counts and to failures, from the documentation
//! of about 80 APIs. A name counts by its letters and digits alone, in lower case: `hasMore`,
//! `has_more` and `Has-More` are one.

/// What a member or a header is about, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A flag: true says that there is more.
    More,
    /// A flag: true says that this was all.
    Last,
    /// The place of the next page: an address, a token or a number.
    Next,
    /// A place that some sources give only while there is more, as a text, in an object about
    /// paging.
    Cursor,
    /// How many records there are in all.
    Total,
    /// The same after a filter: beside it `total` counts what the filter leaves out too.
    Filtered,
    /// How many records are left.
    Left,
    /// How many records there are in all, or on this page, or how many were asked for.
    Count,
    /// How many pages there are.
    Pages,
    /// A flag: true says that a part is missing.
    Partial,
    /// A flag: false says that the request failed.
    Success,
    /// A list of what failed: empty where nothing did.
    Failures,
    /// How many parts failed.
    FailedParts,
    /// A word on how it went.
    Status,
}

/// A name's letters and digits in lower case.
pub fn plain(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    plain.strip_prefix("odata").map(str::to_owned).unwrap_or(plain)
}

/// What may follow `next` in the name of a next place. Others are about other things: the next run,
/// the next invoice, the token of a later synchronisation.
const AFTER_NEXT: &[&str] = &[
    "",
    "page",
    "pageurl",
    "pageuri",
    "pagelink",
    "pagehref",
    "pagetoken",
    "pagecursor",
    "pagenumber",
    "pagenum",
    "pageid",
    "pagekey",
    "pageoffset",
    "pagestart",
    "cursor",
    "cursormark",
    "token",
    "url",
    "uri",
    "link",
    "href",
    "path",
    "marker",
    "keymarker",
    "offset",
    "start",
    "skip",
    "startkey",
    "startingtoken",
    "startingafter",
    "recordsurl",
    "resultsurl",
    "continuation",
    "continuationtoken",
    "maxid",
    "minid",
    "maxcursor",
    "partitionkey",
    "rowkey",
    "pageparams",
    "query",
];

const MORE: &[&str] = &[
    "more",
    "moreresults",
    "moreitems",
    "moreitemsincollection",
    "moreavailable",
    "moredata",
    "moredataavailable",
    "moreresultsavailable",
    "morepages",
    "morerecords",
    "ismore",
    "istruncated",
    "truncated",
    "resultstruncated",
    "nextpageexists",
    "isnext",
    "isnextpage",
    "exceededtransferlimit",
];

const LAST: &[&str] = &[
    "done",
    "isdone",
    "last",
    "islast",
    "islastpage",
    "lastpage",
    "finalpage",
    "isfinal",
    "endofstream",
    "endofresults",
    "isend",
    "eof",
    "nomore",
    "endofrecords",
    "endofdata",
];

const TOTAL: &[&str] = &[
    "total",
    "totalcount",
    "totalresults",
    "totalrecords",
    "totalitems",
    "totalelements",
    "totalsize",
    "totalhits",
    "totalentries",
    "totalobjects",
    "totalnumber",
    "totalnum",
    "totalmatches",
    "totalrecordcount",
    "totalresultcount",
    "totalitemcount",
    "totalitemscount",
    "totalentriescount",
    "totalresultscount",
    "totalrecordscount",
    "totalnumberofrecords",
    "totalnumberofresults",
    "numfound",
    "numberofrecords",
    "numberofresults",
    "numberofitems",
    "numresults",
    "numberofmatches",
    "nummatched",
    "numbermatched",
    "matched",
    "nbhits",
    "fullcount",
];

const FILTERED: &[&str] =
    &["recordsfiltered", "filtercount", "filteredcount", "totalfiltered", "filteredtotal"];

const COUNT: &[&str] =
    &["count", "recordcount", "recordscount", "resultcount", "resultscount", "itemcount", "found"];

const PAGES: &[&str] = &[
    "totalpages",
    "totalpage",
    "totalpagecount",
    "totalpagescount",
    "pagecount",
    "pagescount",
    "pagetotal",
    "pagestotal",
    "numpages",
    "numberofpages",
    "nbpages",
    "pages",
    "lastpagenumber",
];

const PARTIAL: &[&str] = &[
    "partial",
    "ispartial",
    "partialresult",
    "partialresults",
    "partialdata",
    "partialresponse",
    "timedout",
    "incompleteresults",
    "isincomplete",
    "terminatedearly",
    "searchcutoff",
];

/// The topic of a plain name, if it has one.
pub fn topic(plain: &str) -> Option<Topic> {
    let has = plain.strip_prefix("has");
    if has.is_some_and(|rest| {
        rest.starts_with("more") || rest.starts_with("next") || rest.starts_with("additional")
    }) {
        return Some(Topic::More);
    }
    let next = plain.strip_prefix("next").or_else(|| plain.strip_suffix("next"));
    if next.is_some_and(|rest| AFTER_NEXT.contains(&rest)) {
        return Some(Topic::Next);
    }
    let is = |names: &[&str]| names.contains(&plain);
    Some(match plain {
        _ if is(MORE) => Topic::More,
        _ if is(LAST) => Topic::Last,
        "continue" | "continuation" | "continuationtoken" | "continuationkey"
        | "mscontinuation" | "lastevaluatedkey" | "resumptiontoken" | "paginationtoken"
        | "querycontinue" => Topic::Next,
        "after" | "cursor" | "pagetoken" | "offset" => Topic::Cursor,
        _ if is(FILTERED) => Topic::Filtered,
        "remainingitemcount" | "remainingcount" | "remainingitems" => Topic::Left,
        _ if plain.starts_with("more")
            && ["url", "uri", "link", "href"].iter().any(|end| plain.ends_with(end)) =>
        {
            Topic::Next
        }
        _ if is(TOTAL) => Topic::Total,
        _ if is(COUNT) => Topic::Count,
        _ if is(PAGES) => Topic::Pages,
        _ if is(PARTIAL) => Topic::Partial,
        "ok" | "success" | "successful" | "succeeded" | "issuccess" => Topic::Success,
        "error"
        | "errors"
        | "errormessage"
        | "errormsg"
        | "errmsg"
        | "failures"
        | "partialfailures"
        | "partialerrors"
        | "partialfailureerror" => Topic::Failures,
        "failedshards" | "shardsfailed" => Topic::FailedParts,
        "status" => Topic::Status,
        _ => return None,
    })
}

/// The topic of a header. `X-`, and words for paging at the beginning, say nothing.
pub fn header_topic(name: &str) -> Option<Topic> {
    let plain = plain(name);
    let mut rest = plain.strip_prefix('x').unwrap_or(&plain);
    for word in ["wp", "pagination", "paging", "page"] {
        let Some(shorter) = rest.strip_prefix(word).filter(|rest| !rest.is_empty()) else {
            continue;
        };
        // `X-Page-Count` counts pages.
        if word != "page" || topic(rest).is_none() {
            rest = shorter;
        }
    }
    // Other headers of these names are about other things than the data.
    topic(rest).filter(|topic| {
        matches!(
            topic,
            Topic::More | Topic::Last | Topic::Next | Topic::Total | Topic::Pages | Topic::Partial
        )
    })
}

/// Whether an object of that name beside the records is about paging or the answer as a whole.
pub fn is_about_the_answer(plain: &str) -> bool {
    const WORDS: &[&str] = &[
        "page",
        "paging",
        "pagin",
        "meta",
        "link",
        "cursor",
        "info",
        "nav",
        "continu",
        "context",
        "result",
        "response",
        "additional",
        "envelope",
    ];
    const NAMES: &[&str] = &["data", "hits", "next", "body", "header", "headers", "collection"];
    NAMES.contains(&plain) || WORDS.iter().any(|word| plain.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_topics_that_the_apis_document() {
        use Topic::{Count, Cursor, Last, More, Next, Pages, Partial, Success, Total};
        let cases = [
            ("has_more", Some(More)),
            ("hasNextPage", Some(More)),
            ("more_items_in_collection", Some(More)),
            ("IsTruncated", Some(More)),
            ("isLast", Some(Last)),
            ("end_of_stream", Some(Last)),
            ("@odata.nextLink", Some(Next)),
            ("nextRecordsUrl", Some(Next)),
            ("LastEvaluatedKey", Some(Next)),
            ("NextContinuationToken", Some(Next)),
            ("@odata.count", Some(Count)),
            ("offset", Some(Cursor)),
            ("totalElements", Some(Total)),
            ("numFound", Some(Total)),
            ("total_pages", Some(Pages)),
            ("timed_out", Some(Partial)),
            ("ok", Some(Success)),
            ("next_run_at", None),
            ("nextSyncToken", None),
            ("next_batch", None),
            ("next_billing_date", None),
            ("total_rows", None),
            ("recordsTotal", None),
            ("total_amount", None),
            ("unread_count", None),
            ("error_code", None),
            ("size", None),
        ];
        for (name, expected) in cases {
            assert_eq!(topic(&plain(name)), expected, "{name}");
        }
        let headers = [
            ("X-Total-Count", Some(Total)),
            ("X-WP-Total", Some(Total)),
            ("X-WP-TotalPages", Some(Pages)),
            ("X-Pagination-Total-Count", Some(Total)),
            ("X-Page-Count", Some(Pages)),
            ("Total-Records", Some(Total)),
            ("X-Next-Page", Some(Next)),
            ("Next-Page", Some(Next)),
            ("x-ms-continuation", Some(Next)),
            ("X-Page", None),
            ("X-Per-Page", None),
            ("X-RateLimit-Remaining", None),
            ("Status", None),
            ("Last-Modified", None),
            ("Content-Length", None),
        ];
        for (name, expected) in headers {
            assert_eq!(header_topic(name), expected, "{name}");
        }
    }
}
