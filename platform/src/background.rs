//! Work that goes on beside the requests and has something to finish when the service stops.

use std::{fmt, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of one service that are waited for when it stops, once no request can give them more to do. Cheap to clone.
#[derive(Clone, Default)]
pub struct Background {
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Background({} tasks)", self.tasks.len())
    }
}

impl Background {
    /// Starts a task. The token that it gets is cancelled after the last request has ended; then it has
    /// [`ServerConfig::finish`](crate::service::ServerConfig::finish) to end by itself.
    pub fn spawn<F>(&self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = AssertUnwindSafe(task(self.ending.clone())).catch_unwind();
        self.tasks.spawn(async {
            if task.await.is_err() {
                tracing::error!("work in the background has ended by a panic, and does not go on");
            }
        });
    }

    /// Asks the tasks to end, and waits for them.
    pub(crate) async fn end(&self, time: Duration) {
        self.ending.cancel();
        self.tasks.close();
        if timeout(time, self.tasks.wait()).await.is_err() {
            let left = self.tasks.len();
            tracing::warn!(left, "cut background work that did not end in time");
        }
    }
}
