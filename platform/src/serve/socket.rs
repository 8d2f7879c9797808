//! A socket that does not wait for ever: neither for the first bytes, nor for a client that takes nothing, nor for a last goodbye.
//!
//! hyper has a timer for the head of an HTTP/1 request, but hyper-util finds out the protocol before that without one: a client that
//! says nothing, or only the beginning of HTTP/2's preface, would stay for ever. And no layer above the socket sees whether the other
//! side still takes what is written.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::cut::Cut;

/// What an HTTP/2 client says first. Nothing else begins like it, so the first byte that differs means HTTP/1.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long the other side may take to close its half after we have closed ours.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes of one read at most, because hyper compares a head with its limit only between two reads, and the room that it offers for one
/// is twice its buffer.
const READ: usize = 16 << 10;

/// What is known about a connection outside of hyper.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Requests so far.
    pub(crate) requests: AtomicU64,
    /// Bytes have come since something was last written: the head of a request has begun, perhaps not ended.
    pub(crate) unanswered: AtomicBool,
    /// The client has sent the preface of HTTP/2.
    pub(crate) http2: AtomicBool,
}

/// See the [module](self).
pub(crate) struct Socket<S> {
    inner: S,
    activity: Arc<Activity>,
    /// Until the protocol is known: how much of the preface has come, and until when it may.
    sniffing: Option<(usize, Pin<Box<Sleep>>)>,
    write_stall: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs once our half is closed.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) fn new(
        inner: S,
        activity: Arc<Activity>,
        first_bytes: Duration,
        write_stall: Duration,
    ) -> Socket<S> {
        let sniffing = Some((0, Box::pin(tokio::time::sleep(first_bytes))));
        Socket { inner, activity, sniffing, write_stall, stalled: None, lingering: None }
    }

    /// Looks at bytes that came while the protocol is not known.
    fn sniff(&mut self, bytes: &[u8]) {
        if let Some((seen, _)) = &mut self.sniffing {
            let rest = &PREFACE[*seen..];
            let compared = rest.len().min(bytes.len());
            *seen += compared;
            let differs = bytes.is_empty() || bytes[..compared] != rest[..compared];
            let http2 = !differs && *seen == PREFACE.len();
            if http2 {
                self.activity.http2.store(true, Ordering::Relaxed);
            }
            if differs || http2 {
                self.sniffing = None;
            }
        }
    }

    /// Reads [`READ`] bytes at most.
    fn poll_part(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() <= READ {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(READ));
        let result = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        let read = part.filled().len();
        buf.advance(read);
        result
    }

    /// Notes whether a write got on, and ends a connection where none did for too long.
    fn watched<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            self.activity.unanswered.store(false, Ordering::Relaxed);
            return written;
        }
        let start = || Box::pin(tokio::time::sleep(self.write_stall));
        ready!(self.stalled.get_or_insert_with(start).as_mut().poll(cx));
        Poll::Ready(Err(Cut::WriteStall.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match this.poll_part(cx, buf) {
            Poll::Ready(result) => {
                this.sniff(&buf.filled()[before..]);
                if buf.filled().len() > before {
                    this.activity.unanswered.store(true, Ordering::Relaxed);
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                if let Some((_, deadline)) = &mut this.sniffing {
                    ready!(deadline.as_mut().poll(cx));
                    return Poll::Ready(Err(Cut::FirstBytes.into()));
                }
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.watched(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write_vectored(cx, bytes);
        this.watched(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx) // TCP has nothing to flush
    }

    /// Closes our half, then throws away what still comes until the other half is closed, for [`LINGER`] at most.
    ///
    /// Closing a socket that has unread bytes resets the connection, and the reset can overtake the answer: a client whose large body was
    /// refused would see an error of the network instead of the 413.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        }
        let deadline = this.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut scratch = [0; 4096];
        // Bounded, so that a client that never stops sending leaves others their turn.
        for _ in 0..64 {
            if deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut scratch = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut scratch)) {
                Ok(()) if !scratch.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())), // closed, or broken: gone either way
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;

    const SECONDS: fn(u64) -> Duration = Duration::from_secs;

    fn pair(buffer: usize) -> (DuplexStream, Socket<DuplexStream>) {
        let (client, server) = duplex(buffer);
        (client, Socket::new(server, Arc::default(), SECONDS(5), SECONDS(30)))
    }

    fn cut(result: io::Result<usize>) -> Option<Cut> {
        Cut::of(&result.unwrap_err(), false)
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_after_the_time_for_first_bytes() {
        let (_client, mut socket) = pair(64);
        let begun = Instant::now();
        assert_eq!(cut(socket.read(&mut [0; 64]).await), Some(Cut::FirstBytes));
        assert_eq!(begun.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_preface_that_drips_gains_no_time() {
        let (mut client, mut socket) = pair(64);
        let begun = Instant::now();
        let drip = async {
            for byte in PREFACE {
                client.write_all(&[*byte]).await.unwrap();
                tokio::time::sleep(SECONDS(1)).await;
            }
        };
        let read = async {
            loop {
                if let Err(error) = socket.read(&mut [0; 64]).await {
                    return Cut::of(&error, false);
                }
            }
        };
        tokio::select! {
            () = drip => panic!("it was allowed to finish"),
            cut = read => assert_eq!(cut, Some(Cut::FirstBytes)),
        }
        assert_eq!(begun.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_first_bytes_ends_with_the_first_byte_that_tells_the_protocol() {
        for first in [&b"G"[..], b"PRI * HX", PREFACE] {
            let (mut client, mut socket) = pair(64);
            client.write_all(first).await.unwrap();
            assert_eq!(socket.read(&mut [0; 64]).await.unwrap(), first.len());
            let later = tokio::time::timeout(SECONDS(60), socket.read(&mut [0; 64])).await;
            assert!(later.is_err(), "{later:?} after {first:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_and_one_that_takes_a_little_is_not() {
        let (mut client, mut socket) = pair(8);
        let slow = async {
            for _ in 0..10 {
                tokio::time::sleep(SECONDS(20)).await;
                client.read_exact(&mut [0; 8]).await.unwrap();
            }
        };
        let write = async {
            loop {
                if let Err(error) = socket.write(&[0; 8]).await {
                    return Cut::of(&error, false);
                }
            }
        };
        let begun = Instant::now();
        let (cut, ()) = tokio::join!(write, slow);
        assert_eq!(cut, Some(Cut::WriteStall));
        assert_eq!(begun.elapsed().as_secs(), 230);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_reads_on_until_the_client_closes_for_a_second_at_most() {
        let (mut client, mut socket) = pair(8);
        let begun = Instant::now();
        let polite = async {
            client.write_all(&[0; 100]).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let (closed, ()) = tokio::join!(socket.shutdown(), polite);
        closed.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 0);

        let (_client, mut socket) = pair(8);
        socket.shutdown().await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 1);
    }
}
