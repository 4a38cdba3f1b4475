//! Server-sent events, as far as they are needed: bytes in, the data of events out. No I/O.

/// Takes a stream of events apart.
#[derive(Debug)]
pub(super) struct Parser {
    line: Vec<u8>,
    data: String,
    has_data: bool,
    /// The last byte was a carriage return, and a line feed after it belongs to the same end of a line.
    returned: bool,
    limit: usize,
}

/// An event has more bytes than it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Parser {
    /// No line and no event's data may have more bytes than this.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            line: Vec::new(),
            data: String::new(),
            has_data: false,
            returned: false,
            limit,
        }
    }

    /// The data of the events that these bytes complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLarge> {
        let mut events = Vec::new();
        for &byte in bytes {
            let follows = std::mem::replace(&mut self.returned, byte == b'\r');
            match byte {
                b'\n' if follows => {}
                b'\n' | b'\r' => events.extend(self.end_line()?),
                byte if self.line.len() < self.limit => self.line.push(byte),
                _ => return Err(TooLarge),
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Result<Option<String>, TooLarge> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let is_event = std::mem::take(&mut self.has_data);
            let data = std::mem::take(&mut self.data);
            return Ok(is_event.then_some(data));
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        if field != "data" {
            // A comment, an id, a name: the data says what it is.
            return Ok(None);
        }
        let value = value.strip_prefix(' ').unwrap_or(value);
        if self.data.len() + value.len() >= self.limit {
            return Err(TooLarge);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push('\n');
        }
        self.data.push_str(value);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_what_lies_between_empty_lines() {
        for (stream, expected) in [
            ("", &[][..]),
            ("data: 1", &[]),
            ("data: 1\n", &[]),
            ("data: 1\n\n", &["1"]),
            ("data:1\r\n\r\ndata: 2\r\rdata:  3\n\n", &["1", "2", " 3"]),
            (
                "event: status\nid: end\ndata: {\"a\":\ndata: 1}\n\n",
                &["{\"a\":\n1}"],
            ),
            (":\n\n:comment\n\nid: 1\n\n", &[]),
            ("data\n\n", &[""]),
            ("data: é: 🦀\n\n", &["é: 🦀"]),
            ("datax: 1\n\n data: 1\n\n", &[]),
        ] {
            // However it is cut into pieces.
            for size in [1, 2, 3, 1000] {
                let mut parser = Parser::new(100);
                let pieces = stream.as_bytes().chunks(size);
                let events = pieces.flat_map(|piece| parser.feed(piece).expect("small"));
                assert_eq!(events.collect::<Vec<_>>(), expected, "{stream:?}");
            }
        }
    }

    #[test]
    fn what_does_not_end_is_not_kept() {
        for stream in ["data: 0123456789".repeat(2), "data: 01234\n".repeat(4)] {
            assert_eq!(Parser::new(20).feed(stream.as_bytes()), Err(TooLarge));
        }
    }
}
