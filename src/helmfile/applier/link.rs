//! Connections of one pass, made when they are needed: a pass that changes nothing mostly needs none.

use kube::config::Kubeconfig;
use tokio::sync::OnceCell;

use crate::cluster::client::{self, ConnectError, Connection, Target};

/// The cluster that the Helmfile is in.
pub(crate) struct Link<'a> {
    target: &'a Target,
    home: OnceCell<Connection>,
}

impl<'a> Link<'a> {
    /// Not connected yet.
    pub(crate) fn new(target: &'a Target) -> Self {
        Self { target, home: OnceCell::new() }
    }

    /// The cluster that the Helmfile is in.
    ///
    /// # Errors
    /// When there is no usable configuration.
    pub(crate) async fn home(&self) -> Result<&Connection, ConnectError> {
        self.home.get_or_try_init(|| client::connect(self.target)).await
    }

    /// The cluster that the releases are in: the same, unless the spec names another.
    ///
    /// # Errors
    /// When there is no usable configuration.
    pub(crate) async fn releases(&self, other: Option<&Kubeconfig>) -> Result<Connection, ConnectError> {
        match other {
            Some(kubeconfig) => client::connect_by(kubeconfig).await,
            None => self.home().await.cloned(),
        }
    }
}
