//! The activity of one connection: its requests and bytes report it, its listener reads it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The phase of a connection, and the number of requests before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request is in progress.
    Working,
    /// The head of a request is incomplete; a new connection starts here, even without bytes.
    HalfSent { requests: u32 },
    /// No bytes came since the last answer.
    Idle { requests: u32 },
}

impl Phase {
    pub(super) const fn is_working(self) -> bool {
        matches!(self, Self::Working)
    }
}

/// The state that a connection reports. Its listener only polls it, so the order of the writes does
/// not matter.
#[derive(Debug)]
pub(super) struct Activity {
    /// Requests whose answers are not fully sent.
    in_progress: AtomicU32,
    /// Requests so far; it may wrap.
    requests: AtomicU32,
    /// Bytes of a next request came, or are due.
    is_half_sent: AtomicBool,
}

impl Default for Activity {
    fn default() -> Self {
        let none = AtomicU32::new(0);
        // A new connection must send a head: it may wait less long than one that sent a request.
        Self { in_progress: none, requests: AtomicU32::new(0), is_half_sent: AtomicBool::new(true) }
    }
}

impl Activity {
    pub(super) fn phase(&self) -> Phase {
        let requests = self.requests.load(Ordering::Relaxed);
        if self.in_progress.load(Ordering::Relaxed) > 0 {
            Phase::Working
        } else if self.is_half_sent.load(Ordering::Relaxed) {
            Phase::HalfSent { requests }
        } else {
            Phase::Idle { requests }
        }
    }
}

/// A request in progress, until its answer is sent.
pub(super) struct InProgress(Arc<Activity>);

impl InProgress {
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Ordering::Relaxed);
        activity.in_progress.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        // Bytes that came during the request were its body.
        self.0.is_half_sent.store(false, Ordering::Relaxed);
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer; the request is in progress until the body is sent.
pub(super) struct Answered {
    body: Body,
    _in_progress: InProgress,
}

impl Answered {
    pub(super) const fn new(body: Body, in_progress: InProgress) -> Self {
        Self { body, _in_progress: in_progress }
    }
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that reports incoming bytes.
pub(super) struct Heard {
    pub(super) stream: TcpStream,
    pub(super) activity: Arc<Activity>,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.activity.is_half_sent.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::{Activity, InProgress, Phase};

    #[test]
    fn a_connection_works_from_a_head_to_the_end_of_its_answer() {
        let activity = Arc::new(Activity::default());
        assert_eq!(activity.phase(), Phase::HalfSent { requests: 0 }, "it has something to say");
        let in_progress = InProgress::begin(&activity);
        activity.is_half_sent.store(true, Ordering::Relaxed);
        assert_eq!(activity.phase(), Phase::Working, "a body came");
        drop(in_progress);
        assert_eq!(activity.phase(), Phase::Idle { requests: 1 });
        activity.is_half_sent.store(true, Ordering::Relaxed);
        assert_eq!(activity.phase(), Phase::HalfSent { requests: 1 });
        drop(InProgress::begin(&activity));
        assert_eq!(activity.phase(), Phase::Idle { requests: 2 }, "not the pause of before");
    }
}
