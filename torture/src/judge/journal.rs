//! The last that all children have said, in files beside the hub: all of it, unless that is very
//! much.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::line::Line;

/// A file of this size is put away, in place of the one before it.
const MAX_BYTES: usize = 256 << 20;

/// The file, open for writing.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
    written: usize,
}

impl Journal {
    pub(crate) fn create(dir: &Path) -> io::Result<Self> {
        let path = dir.join("journal");
        let file = BufWriter::new(File::create(&path)?);
        Ok(Self {
            path,
            file,
            written: 0,
        })
    }

    pub(crate) fn note(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.file, "{line}")?;
        self.written += line.len() + 1;
        if self.written > MAX_BYTES {
            self.file.flush()?;
            std::fs::rename(&self.path, self.put_away())?;
            self.file = BufWriter::new(File::create(&self.path)?);
            self.written = 0;
        }
        Ok(())
    }

    fn put_away(&self) -> PathBuf {
        self.path.with_extension("before")
    }

    /// What was said of an instance, and between which processes.
    pub(crate) fn lines_of(&mut self, n: u64) -> io::Result<Vec<String>> {
        self.file.flush()?;
        let mut lines = Vec::new();
        let before: Box<dyn BufRead> = match File::open(self.put_away()) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(_) => Box::new(io::empty()),
        };
        let now = BufReader::new(File::open(&self.path)?);
        for text in before.lines().chain(now.lines()) {
            let text = text?;
            let line = Line::parse(&text).ok();
            let ready = matches!(line, Some(Line::Ready { .. }));
            let boring = ready
                && lines
                    .last()
                    .is_none_or(|last: &String| last.contains("Ready"));
            if !boring && (ready || line.is_some_and(|line| line.instance() == Some(n))) {
                lines.push(text);
            }
        }
        Ok(lines)
    }
}
