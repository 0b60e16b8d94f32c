//! Reads events line by line, in bounded memory.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::path::Path;

use crate::ingest::publisher::RECORD_BYTES_MAX;

/// Bytes read at once; the lines in them share a request to Kafka.
const READ_BYTES: usize = 1 << 20;

/// The source of the lines.
pub(super) struct Source {
    file: File,
    /// The position of the first line in a regular file, which can be read twice; none: a stream.
    start: Option<u64>,
}

impl Source {
    /// Opens a file, or standard input if none is given.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(super) fn open(path: Option<&Path>) -> std::io::Result<Self> {
        let mut file = match path {
            Some(path) => File::open(path)?,
            None => File::from(std::io::stdin().as_fd().try_clone_to_owned()?),
        };
        let is_regular = file.metadata()?.is_file();
        let start = if is_regular { Some(file.stream_position()?) } else { None };
        Ok(Self { file, start })
    }

    /// True for a regular file, which can be read twice.
    pub(super) fn is_regular(&self) -> bool {
        self.start.is_some()
    }

    /// Its lines, from the first one.
    ///
    /// # Errors
    /// If the file cannot be rewound.
    pub(super) fn lines(&self) -> std::io::Result<Lines> {
        let mut file = self.file.try_clone()?;
        if let Some(start) = self.start {
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Lines { reader: BufReader::with_capacity(READ_BYTES, file), number: 0 })
    }
}

/// A line that cannot be published.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Its number, from 1.
    pub(super) number: u64,
    /// What is wrong.
    pub(super) fault: String,
}

/// The lines of a source, without blank ones.
pub(super) struct Lines {
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    /// The next line, trimmed; none: the source has ended.
    ///
    /// # Errors
    /// If the line is too long or cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, BadLine> {
        loop {
            self.number += 1;
            let Some(line) = self.read()? else { return Ok(None) };
            let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line).trim_ascii();
            if line.len() > RECORD_BYTES_MAX {
                return Err(self.too_long());
            }
            if !line.is_empty() {
                return Ok(Some((self.number, line.to_vec())));
            }
        }
    }

    /// Whether another line can be read without waiting.
    pub(super) fn another_waits(&self) -> bool {
        self.reader.buffer().contains(&b'\n')
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, BadLine> {
        // Includes the end of the line.
        let bytes_max = RECORD_BYTES_MAX + 2;
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let mut line = Vec::new();
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut line);
        let read = read.map_err(|error| self.bad(format!("it cannot be read: {error}")))?;
        if read == bytes_max && !line.ends_with(b"\n") {
            return Err(self.too_long());
        }
        Ok((read > 0).then_some(line))
    }

    fn too_long(&self) -> BadLine {
        self.bad(format!("it is longer than {RECORD_BYTES_MAX} bytes"))
    }

    fn bad(&self, fault: String) -> BadLine {
        BadLine { number: self.number, fault }
    }
}
