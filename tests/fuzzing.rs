//! The fuzz targets of `fuzz/`, replayed: the saved corpus of each and a bounded number of seeded
//! mutations of it. A failure prints the input as hexadecimal; keep it in the corpus.

use std::path::PathBuf;

use windrow::model::hexadecimal;

#[path = "../fuzz/src/targets.rs"]
mod targets;

/// Mutated inputs for each target, besides the corpus as it is.
const MUTATIONS: usize = 2_000;
/// The longest input that is tried.
const BYTES_MAX: usize = 64 * 1024;
/// The most changes to one input.
const CHANGES_MAX: usize = 4;

/// Pieces that have broken parsers before.
const TOKENS: &[&str] = &[
    "\0",
    "\r\n",
    "\n",
    "\"",
    "\\",
    "\\\"",
    "\\u0000",
    "\\ud800",
    "\\ud83d\\ude00",
    "\u{feff}",
    "\u{1b}[31m",
    "\u{9b}",
    "\u{202e}",
    "\u{61c}",
    "\u{200b}",
    "\u{e9}",
    "\u{1f600}",
    "{}",
    "[]",
    "[[[[[[[[",
    "null",
    "-0",
    "1e400",
    "1e-400",
    "9223372036854775808",
    "18446744073709551615",
    "-9223372036854775809",
    "0.1000000000000000055511151231257827",
    "NaN",
    "inf",
    "<",
    ">",
    ";",
    ",",
    "=",
    ":",
    "%2F",
    "rel=next",
    "2016-12-31T23:59:60Z",
    "8210266876799",
];

/// A target: any bytes in, a panic where a promise is broken.
type Target = fn(&[u8]);

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

/// The saved inputs of a target, by name.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder("corpus").join(target)).expect("a corpus");
    let mut paths: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a saved input")).collect()
}

fn try_input(name: &str, target: Target, data: &[u8]) {
    if std::panic::catch_unwind(|| target(data)).is_err() {
        panic!("{name} failed on {}", hexadecimal(data));
    }
}

fn replay(name: &str, target: Target) {
    let saved = corpus(name);
    assert!(saved.len() >= 5, "{name} has a corpus of {} only", saved.len());
    saved.iter().for_each(|data| try_input(name, target, data));
    try_input(name, target, &[]);
    // Each target has a sequence of its own, the same in every run.
    let seed = name.bytes().fold(0, |seed: u64, byte| seed.rotate_left(5) ^ u64::from(byte));
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..MUTATIONS {
        let mut data = saved[random.usize(..saved.len())].clone();
        for _ in 0..random.usize(1..=CHANGES_MAX) {
            mutate(&mut data, &saved, &mut random);
        }
        data.truncate(BYTES_MAX);
        try_input(name, target, &data);
    }
}

/// A place in the input, its end included.
fn place(data: &[u8], random: &mut fastrand::Rng) -> usize {
    random.usize(..=data.len())
}

/// A piece of at most 64 bytes.
fn piece(data: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let from = place(data, random);
    let to = (from + random.usize(..64)).min(data.len());
    data[from..to].to_vec()
}

fn insert(data: &mut Vec<u8>, more: &[u8], random: &mut fastrand::Rng) {
    let at = place(data, random);
    data.splice(at..at, more.iter().copied());
}

/// One change: a bit, a byte, a cut, a copy, a splice with another input, or a token.
fn mutate(data: &mut Vec<u8>, saved: &[Vec<u8>], random: &mut fastrand::Rng) {
    match random.u8(..8) {
        0 => {
            let bit = random.u8(..8);
            let at = place(data, random);
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        1 => {
            let at = place(data, random);
            let byte = random.choice([0, 0x7f, 0x80, 0xff, b'"', b'0', b'9']).unwrap_or(0);
            if let Some(old) = data.get_mut(at) {
                *old = byte;
            }
        }
        2 => {
            let at = place(data, random);
            data.truncate(at);
        }
        3 => {
            let from = place(data, random);
            let to = (from + random.usize(..64)).min(data.len());
            data.drain(from..to);
        }
        4 => {
            let again = piece(data, random);
            insert(data, &again, random);
        }
        5 => {
            let other = &saved[random.usize(..saved.len())];
            let at = place(data, random);
            data.truncate(at);
            let from = place(other, random);
            data.extend_from_slice(&other[from..]);
        }
        6 => {
            let other = &saved[random.usize(..saved.len())];
            let more = piece(other, random);
            insert(data, &more, random);
        }
        _ => {
            let token = TOKENS[random.usize(..TOKENS.len())];
            insert(data, token.as_bytes(), random);
        }
    }
}

macro_rules! replayed {
    ($($target:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];

        $(#[test]
        fn $target() {
            replay(stringify!($target), targets::$target);
        })*
    };
}

replayed! {
    page_to_rows jsonpath_on_hostile_bodies link_header retry_after rate_limit definition_file
    archive_opener terminal_escaper redactor time_format span canonical_json next_page_token
}

#[test]
fn each_target_is_fuzzed_and_replayed() {
    let names = |folder: PathBuf| {
        let files = std::fs::read_dir(folder).expect("a folder of the fuzz crate").flatten();
        let name = |file: std::fs::DirEntry| {
            let name = file.file_name().to_string_lossy().into_owned();
            name.trim_end_matches(".rs").to_owned()
        };
        let mut names: Vec<String> = files.map(name).collect();
        names.sort();
        names
    };
    let mut known = TARGETS.to_vec();
    known.sort_unstable();
    assert_eq!(names(folder("corpus")), known);
    assert_eq!(names(folder("fuzz_targets")), known);
}
