//! What the machine can do: bare durable commits on sled, in the same directory and run.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use crate::measure::{self, Latencies};

const RECORD: [u8; 300] = [7; 300];
/// The library packs at most so many turns into one commit.
const MAX_GROUP: usize = 256;

pub(crate) struct Limit {
    db: sled::Db,
    file: File,
    group: usize,
    next: u64,
    latencies: Latencies,
    per_second: Vec<f64>,
}

impl Limit {
    pub(crate) fn open(directory: &Path, concurrency: usize) -> Result<Self, Box<dyn Error>> {
        let path = directory.join("limit");
        let db = sled::Config::new()
            .path(&path)
            .cache_capacity(128 << 20)
            .segment_size(2 << 20)
            .use_compression(false)
            .open()?;
        let file = File::options().write(true).open(path.join("db"))?;
        Ok(Self {
            db,
            file,
            group: concurrency.clamp(1, MAX_GROUP),
            next: 0,
            latencies: Latencies::default(),
            per_second: Vec::new(),
        })
    }

    /// Commits for so long.
    pub(crate) fn slice(&mut self, length: Duration) -> Result<(), Box<dyn Error>> {
        let begin = measure::now();
        let mut records = 0_usize;
        while begin.elapsed() < length {
            let one = measure::now();
            let mut batch = sled::Batch::default();
            for _ in 0..self.group {
                // As the library's histories: neighbouring keys, each written once.
                let (instance, turn) = (self.next % 512, self.next / 512);
                let key = [instance.to_be_bytes(), turn.to_be_bytes()].concat();
                batch.insert(key, RECORD.as_slice());
                self.next += 1;
            }
            self.db.apply_batch(batch)?;
            self.db.flush()?;
            self.file.sync_data()?;
            self.latencies.add(one.elapsed());
            records += self.group;
        }
        self.per_second
            .push(records as f64 / begin.elapsed().as_secs_f64());
        Ok(())
    }

    /// Records per second, the median of the slices, and the p50 of a commit.
    pub(crate) fn result(&mut self) -> (f64, f64) {
        (
            measure::median(&mut self.per_second),
            self.latencies.percentile(0.5),
        )
    }
}
