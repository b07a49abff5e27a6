//! Waiting without a runtime: a value that another thread delivers once, and a bell that rings for whoever listens.
//!
//! Invariants: a receiver completes when its sender sent or was dropped; a [`Changed`] that was made before a ring
//! completes after it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The guard, also of a mutex that a panicking thread has held: every critical section of this crate leaves its data
/// consistent at each step that can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A value to come, and who waits for it.
struct Cell<T> {
    value: Option<T>,
    closed: bool,
    waker: Option<Waker>,
}

/// The end that delivers.
pub(crate) struct Sender<T>(Arc<Mutex<Cell<T>>>);

/// The end that waits; `None` when the sender was dropped.
pub(crate) struct Receiver<T>(Arc<Mutex<Cell<T>>>);

/// A value that is delivered once.
pub(crate) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let cell = Arc::new(Mutex::new(Cell { value: None, closed: false, waker: None }));
    (Sender(Arc::clone(&cell)), Receiver(cell))
}

impl<T> Sender<T> {
    pub(crate) fn send(self, value: T) {
        lock(&self.0).value = Some(value);
        // Dropping the sender wakes.
    }

    /// Delivers the value and leaves it to the caller to wake whoever waits, if anyone does already.
    pub(crate) fn send_quietly(self, value: T) -> Option<Waker> {
        let mut cell = lock(&self.0);
        cell.value = Some(value);
        cell.closed = true;
        cell.waker.take()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut cell = lock(&self.0);
            cell.closed = true;
            cell.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut cell = lock(&self.0);
        if cell.closed {
            return Poll::Ready(cell.value.take());
        }
        cell.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Wakes whoever listens, each time it rings.
#[derive(Default)]
pub(crate) struct Bell(Arc<Mutex<Listeners>>);

#[derive(Default)]
struct Listeners {
    rings: u64,
    wakers: Vec<Waker>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        let wakers = {
            let mut listeners = lock(&self.0);
            listeners.rings += 1;
            std::mem::take(&mut listeners.wakers)
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// Completes at the first ring after this call, whether or not it was polled before.
    pub(crate) fn listen(&self) -> Changed {
        Changed { heard: lock(&self.0).rings, bell: Arc::clone(&self.0) }
    }
}

/// Completes when the queue changed after this was made.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Changed {
    heard: u64,
    bell: Arc<Mutex<Listeners>>,
}

impl Future for Changed {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut listeners = lock(&self.bell);
        if listeners.rings > self.heard {
            return Poll::Ready(());
        }
        if !listeners.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            listeners.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl fmt::Debug for Changed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Changed").field("heard", &self.heard).finish_non_exhaustive()
    }
}

/// Runs `future` to its end in this thread; for programs without a runtime and for tests.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_the_first_poll_is_heard() {
        let bell = Bell::default();
        let changed = bell.listen();
        bell.ring();
        block_on(changed);
        let mut context = Context::from_waker(Waker::noop());
        assert!(std::pin::pin!(bell.listen()).poll(&mut context).is_pending());
    }

    #[test]
    fn a_value_crosses_threads_and_a_dropped_sender_ends_the_wait() {
        let (sender, receiver) = oneshot();
        let thread = std::thread::spawn(move || sender.send(7));
        assert_eq!(block_on(receiver), Some(7));
        thread.join().unwrap();
        let (sender, receiver) = oneshot::<u8>();
        drop(sender);
        assert_eq!(block_on(receiver), None);
    }
}
