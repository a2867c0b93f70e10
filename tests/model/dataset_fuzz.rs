//! Whatever happens to the bytes of a data set, reading it ends in rows, in rows with a fault or in an error: no panic, no endless
//! loop, no allocation that the file did not ask for. `fuzz/fuzz_targets/dataset.rs` does the same with libFuzzer; PROPTEST_CASES
//! lengthens this test.

use crate::data_set;
use proptest::prelude::*;
use proptest::sample::Index;
use std::path::Path;
use std::sync::LazyLock;

/// Texts that are put into a file.
const PIECES: [&[u8]; 12] = [
    b"-1",
    b"1e999",
    b"18446744073709551615",
    b"null",
    b"[[",
    b"{\"size\":[65535,65535],\"counts\":[]}",
    b"\"",
    b"\n",
    b"\0\0\0\0",
    b"\xff\xff\xff\x7f",
    b"oooooooo",
    b"data:;base64,",
];

/// Seeds of the fuzz target by the ending of the format.
static SEEDS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/dataset");
    let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seed = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (_, ending) = name.split_once('.').unwrap();
        // The first byte names the format for the fuzz target.
        (ending.to_owned(), std::fs::read(path).unwrap()[1..].to_vec())
    };
    paths.iter().map(|path| seed(path)).collect()
});

/// Reads bytes as a file of some format. Returns the number of rows without a fault.
fn read_everything(ending: &str, bytes: &[u8]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("a.{ending}"));
    std::fs::write(&path, bytes).unwrap();
    data_set::read_everything(&path)
}

/// A change of a file.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Insert(Index, usize),
    Repeat(Index, Index, usize),
    Remove(Index, Index),
    Cut(Index),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let range = |a: &Index, b: &Index| {
            let [a, b] = [a, b].map(|index| index.index(bytes.len()));
            a.min(b)..a.max(b)
        };
        match self {
            Self::Flip(at, mask) => {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
            Self::Insert(at, piece) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, PIECES[*piece].iter().copied());
            }
            Self::Repeat(from, to, times) => {
                let part = bytes[range(from, to)].repeat(*times);
                let at = from.index(bytes.len());
                bytes.splice(at..at, part);
            }
            Self::Remove(from, to) => {
                let range = range(from, to);
                bytes.drain(range);
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        6 => (index(), 1_u8..=255).prop_map(|(at, mask)| Change::Flip(at, mask)),
        6 => (index(), 0..PIECES.len()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        2 => (index(), index(), 1_usize..4).prop_map(|(from, to, times)| Change::Repeat(from, to, times)),
        1 => (index(), index()).prop_map(|(from, to)| Change::Remove(from, to)),
        1 => index().prop_map(Change::Cut),
    ]
}

#[test]
fn the_seeds_are_data_sets_of_every_format() {
    let good: Vec<(&str, usize)> = SEEDS
        .iter()
        .map(|(ending, bytes)| (ending.as_str(), read_everything(ending, bytes)))
        .collect();
    assert!(good.len() >= 8 && good.iter().all(|(_, rows)| *rows > 0), "{good:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2000), ..ProptestConfig::default() })]

    #[test]
    fn a_changed_data_set_never_panics(seed in any::<Index>(), changes in proptest::collection::vec(change(), 1..6)) {
        let (ending, bytes) = &SEEDS[seed.index(SEEDS.len())];
        let mut bytes = bytes.clone();
        changes.iter().for_each(|change| change.apply(&mut bytes));
        read_everything(ending, &bytes);
    }
}
