//! A record as it lies in the tree: version, checksum, body; long bodies in chunks.
//!
//! The checksum covers the version, so that a newer record is told from a damaged one (its head is
//! the same in every version), and the record's key, so that a value that got to another key is
//! noticed. A body
//! that fits is one value; a longer one is cut, and the first chunk says how many there are.

use bytes::{Bytes, BytesMut};

use super::backend::Write;
use super::keys::RecordKey;
use crate::store::StoreError;

/// Bumped when the layout of any record changes.
const VERSION: u8 = 1;
/// version, number of chunks, checksum
const HEAD: usize = 1 + 2 + 4;
const CHUNK_SUFFIX: usize = 2;

fn checksum(version: u8, key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[version]);
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

pub(super) fn chunk_key(key: &[u8], chunk: u16) -> Vec<u8> {
    let mut chunk_key = Vec::with_capacity(key.len() + CHUNK_SUFFIX);
    chunk_key.extend_from_slice(key);
    chunk_key.extend_from_slice(&chunk.to_be_bytes());
    chunk_key
}

fn chunks(body: usize, max_value: usize) -> Result<u16, StoreError> {
    let room = max_value.saturating_sub(HEAD).max(1);
    u16::try_from(body.div_ceil(room).max(1)).map_err(|_| {
        StoreError::fatal(format!(
            "a record of {body} bytes is too large to be stored"
        ))
    })
}

/// The bytes of a record, its keys included.
pub(super) fn size(key: usize, body: usize, max_value: usize) -> Result<u64, StoreError> {
    let pairs = u64::from(chunks(body, max_value)?);
    Ok(pairs * (key + CHUNK_SUFFIX) as u64 + (HEAD + body) as u64)
}

/// The writes that put a record.
pub(super) fn put(
    key: RecordKey,
    body: &[u8],
    max_value: usize,
    writes: &mut Vec<Write>,
) -> Result<(), StoreError> {
    let count = chunks(body.len(), max_value)?;
    let room = max_value.saturating_sub(HEAD).max(1);
    let (first, rest) = body.split_at(body.len().min(room));
    let mut value = Vec::with_capacity(HEAD + first.len());
    value.push(VERSION);
    value.extend_from_slice(&count.to_le_bytes());
    value.extend_from_slice(&checksum(VERSION, &key, body).to_le_bytes());
    value.extend_from_slice(first);
    for (chunk, part) in (1..).zip(rest.chunks(room)) {
        writes.push(Write::Put(chunk_key(&key, chunk), part.to_vec()));
    }
    let mut key = key;
    key.extend_from_slice(&0_u16.to_be_bytes());
    writes.push(Write::Put(key, value));
    Ok(())
}

/// The writes that remove a record whose body has `len` bytes.
pub(super) fn remove(
    key: &[u8],
    len: usize,
    max_value: usize,
    writes: &mut Vec<Write>,
) -> Result<(), StoreError> {
    let count = chunks(len, max_value)?;
    writes.extend((0..count).map(|chunk| Write::Remove(chunk_key(key, chunk))));
    Ok(())
}

/// A record whose chunks are being read in key order.
#[derive(Debug)]
pub(super) struct Partial {
    key: RecordKey,
    version: u8,
    body: BytesMut,
    checksum: u32,
    missing: u16,
    next_chunk: u16,
}

impl Partial {
    /// Begins with a record's first chunk.
    pub(super) fn begin(chunk_key: &[u8], value: &[u8]) -> Result<Self, StoreError> {
        let (key, chunk) = split(chunk_key)?;
        let damaged = |what: &str| StoreError::corrupt(format!("record {}: {what}", show(key)));
        if chunk != 0 {
            return Err(damaged("its first chunk is missing"));
        }
        let (head, body) = value
            .split_first_chunk::<HEAD>()
            .ok_or_else(|| damaged("it is cut off"))?;
        let [version, c0, c1, s0, s1, s2, s3] = *head;
        let count = u16::from_le_bytes([c0, c1]);
        let missing = count
            .checked_sub(1)
            .ok_or_else(|| damaged("it has no chunks"))?;
        Ok(Self {
            key: key.to_vec(),
            version,
            body: body.into(),
            checksum: u32::from_le_bytes([s0, s1, s2, s3]),
            missing,
            next_chunk: 1,
        })
    }

    /// Takes the next chunk.
    pub(super) fn push(&mut self, chunk_key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let (key, chunk) = split(chunk_key)?;
        if key != self.key || chunk != self.next_chunk || self.missing == 0 {
            return Err(StoreError::corrupt(format!(
                "record {}: a chunk is missing",
                show(&self.key)
            )));
        }
        self.body.extend_from_slice(value);
        self.next_chunk += 1;
        self.missing -= 1;
        Ok(())
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The bytes of what was read so far, keys included.
    pub(super) fn bytes(&self) -> u64 {
        let pairs = usize::from(self.next_chunk);
        (pairs * (self.key.len() + CHUNK_SUFFIX) + HEAD + self.body.len()) as u64
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The body, if nothing is missing and the checksum is right.
    pub(super) fn finish(self) -> Result<(RecordKey, Bytes), StoreError> {
        let damaged =
            |what: &str| StoreError::corrupt(format!("record {}: {what}", show(&self.key)));
        if self.missing > 0 {
            return Err(damaged("a chunk is missing"));
        }
        if checksum(self.version, &self.key, &self.body) != self.checksum {
            return Err(damaged("its checksum is wrong"));
        }
        // Only now, so that a damaged version is not taken for a newer one.
        if self.version > VERSION {
            return Err(StoreError::NewerFormat {
                found: self.version.into(),
                supported: VERSION.into(),
            });
        }
        Ok((self.key, self.body.freeze()))
    }
}

/// The record that a pair belongs to; of a key that is too short, the key itself.
pub(super) fn name(chunk_key: &[u8]) -> &[u8] {
    split(chunk_key).map_or(chunk_key, |(name, _)| name)
}

fn split(chunk_key: &[u8]) -> Result<(&[u8], u16), StoreError> {
    let (key, chunk) = chunk_key
        .split_last_chunk::<CHUNK_SUFFIX>()
        .ok_or_else(|| StoreError::corrupt("a key is too short"))?;
    Ok((key, u16::from_be_bytes(*chunk)))
}

/// A key for a person to read.
pub(super) fn show(key: &[u8]) -> String {
    match key.split_first() {
        Some((prefix, rest)) => format!("{}:{}", prefix.escape_ascii(), hex(rest)),
        None => "empty key".to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 32;

    fn written(body: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut writes = Vec::new();
        put(b"k".to_vec(), body, MAX, &mut writes).expect("fits");
        let mut pairs: Vec<_> = writes
            .into_iter()
            .map(|write| match write {
                Write::Put(key, value) => (key, value),
                Write::Remove(key) => panic!("removes {key:?}"),
            })
            .collect();
        pairs.sort();
        pairs
    }

    fn read(pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<Bytes, StoreError> {
        let (first, rest) = pairs
            .split_first()
            .ok_or_else(|| StoreError::corrupt("nothing"))?;
        let mut partial = Partial::begin(&first.0, &first.1)?;
        for (key, value) in rest {
            partial.push(key, value)?;
        }
        partial.finish().map(|(_, body)| body)
    }

    #[test]
    fn bodies_of_every_length_come_back() {
        for len in 0..200_u8 {
            let body: Vec<u8> = (0..len).collect();
            let pairs = written(&body);
            assert!(pairs.iter().all(|(_, value)| value.len() <= MAX));
            assert_eq!(read(&pairs).expect("reads"), body, "{len}");
            let mut removed = Vec::new();
            remove(b"k", body.len(), MAX, &mut removed).expect("fits");
            assert_eq!(removed.len(), pairs.len());
        }
    }

    #[test]
    fn a_newer_version_is_told_from_a_damaged_one() {
        let mut newer = written(&[7; 20]);
        newer[0].1[0] = VERSION + 1;
        assert!(matches!(read(&newer), Err(StoreError::Corrupt { .. })));
        let sum = checksum(VERSION + 1, b"k", &[7; 20]);
        newer[0].1[3..HEAD].copy_from_slice(&sum.to_le_bytes());
        match read(&newer) {
            Err(StoreError::NewerFormat { found, supported }) => {
                assert_eq!((found, supported), (2, 1));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_flipped_bit_a_missing_chunk_and_a_wrong_key_are_noticed() {
        let pairs = written(&[7; 100]);
        for index in 0..pairs.len() {
            let mut missing = pairs.clone();
            missing.remove(index);
            assert!(read(&missing).is_err());
            for byte in 0..pairs[index].1.len() {
                let mut flipped = pairs.clone();
                flipped[index].1[byte] ^= 1;
                assert!(read(&flipped).is_err(), "chunk {index} byte {byte}");
            }
        }
        let moved: Vec<_> = pairs
            .iter()
            .map(|(key, value)| ([b"x", &key[1..]].concat(), value.clone()))
            .collect();
        assert!(read(&moved).is_err());
    }
}
