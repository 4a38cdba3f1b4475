//! Everything that all children have said, in a file beside the hub.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::line::Line;

/// The file, open for writing.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Journal {
    pub(crate) fn create(dir: &Path) -> io::Result<Self> {
        let path = dir.join("journal");
        let file = BufWriter::new(File::create(&path)?);
        Ok(Self { path, file })
    }

    pub(crate) fn note(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.file, "{line}")
    }

    /// What was said of an instance, and between which processes.
    pub(crate) fn lines_of(&mut self, n: u64) -> io::Result<Vec<String>> {
        self.file.flush()?;
        let mut lines = Vec::new();
        for text in BufReader::new(File::open(&self.path)?).lines() {
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
