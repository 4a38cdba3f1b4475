//! Keys as sled can iterate them backwards.
//!
//! To step from a leaf to the one before it, sled looks up the leaf's lower bound, less one in its
//! last byte, followed by four bytes 0xff. If keys with those four bytes fill the leaf before, it
//! finds a leaf still further down, starts again, and after a million rounds panics with a message
//! that holds the whole tree. So a zero byte is put behind every third 0xff in a row: no key has
//! four of them then, and the order of any two keys stays as it was, because both get the zero at
//! the first place where they could differ by it.

use std::borrow::Cow;

const RUN: [u8; 3] = [0xff; 3];

/// The key that sled gets.
pub(super) fn stuff(key: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if !has_run(&key) {
        return key;
    }
    let mut stuffed = Vec::with_capacity(key.len() + 8);
    let mut rest = &*key;
    while let Some(at) = find_run(rest) {
        let (head, tail) = rest.split_at(at + RUN.len());
        stuffed.extend_from_slice(head);
        stuffed.push(0);
        rest = tail;
    }
    stuffed.extend_from_slice(rest);
    Cow::Owned(stuffed)
}

/// The key that sled was given.
pub(super) fn unstuff(stuffed: &[u8]) -> Cow<'_, [u8]> {
    if !has_run(stuffed) {
        return Cow::Borrowed(stuffed);
    }
    let mut key = Vec::with_capacity(stuffed.len());
    let mut rest = stuffed;
    while let Some(at) = find_run(rest) {
        let (head, tail) = rest.split_at(at + RUN.len());
        key.extend_from_slice(head);
        rest = tail.get(1..).unwrap_or_default();
    }
    key.extend_from_slice(rest);
    Cow::Owned(key)
}

fn has_run(key: &[u8]) -> bool {
    find_run(key).is_some()
}

fn find_run(key: &[u8]) -> Option<usize> {
    key.windows(RUN.len()).position(|window| window == RUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of up to seven bytes out of three that matter.
    fn all_keys() -> Vec<Vec<u8>> {
        let mut keys = vec![vec![]];
        for length in 0..7 {
            let longest: Vec<_> = keys
                .iter()
                .filter(|key| key.len() == length)
                .cloned()
                .collect();
            for byte in [0, 1, 0xff] {
                keys.extend(longest.iter().map(|key| [key.as_slice(), &[byte]].concat()));
            }
        }
        keys.sort();
        keys
    }

    #[test]
    fn stuffed_keys_come_back_and_keep_their_order() {
        let keys = all_keys();
        let stuffed: Vec<_> = keys
            .iter()
            .map(|key| stuff(Cow::Borrowed(key)).into_owned())
            .collect();
        assert!(stuffed.is_sorted_by(|a, b| a < b));
        for (key, stuffed) in keys.iter().zip(&stuffed) {
            assert_eq!(*unstuff(stuffed), **key);
            assert!(
                !stuffed.windows(4).any(|window| window == [0xff; 4]),
                "{stuffed:?}"
            );
        }
    }
}
