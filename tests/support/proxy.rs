//! A road to a server that can be closed.

use std::sync::Arc;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Hands connections on to a port of this machine, until it is cut.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    cut: Arc<CancellationToken>,
    _running: JoinSet<()>,
}

impl Proxy {
    /// Hands on to `port`.
    pub async fn start(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let cut = Arc::new(CancellationToken::new());
        let mut running = JoinSet::new();
        let is_cut = Arc::clone(&cut);
        running.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let is_cut = Arc::clone(&is_cut);
                open.spawn(async move {
                    if !is_cut.is_cancelled()
                        && let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await
                    {
                        let _cut = is_cut.run_until_cancelled(copy_bidirectional(&mut near, &mut far)).await;
                    }
                    // From now on nothing is said, as when a cable is cut: whoever asks waits.
                    is_cut.cancelled().await;
                    std::future::pending::<()>().await;
                });
            }
        });
        Self { port: own, cut, _running: running }
    }

    /// Cuts it: connections stay open, and nothing goes through them any more.
    pub fn cut(&self) {
        self.cut.cancel();
    }
}
