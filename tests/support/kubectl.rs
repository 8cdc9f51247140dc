//! The real kubectl, as a user at a terminal has it.

use std::time::Duration;

use helmfile_operator::process::Command;
use tokio_util::sync::CancellationToken;

use super::{control_plane::ControlPlane, tools::guard};

impl ControlPlane {
    /// Runs kubectl and returns what it printed on stdout.
    ///
    /// # Panics
    /// With its stderr, when it fails.
    pub async fn kubectl(&self, args: &[&str]) -> String {
        self.kubectl_with(args, "").await
    }

    /// The same with an input, for `-f -`.
    pub async fn kubectl_with(&self, args: &[&str], input: &str) -> String {
        let home = self.dir().join("kubectl");
        let command = Command {
            input: input.into(),
            timeout: Some(Duration::from_mins(1)),
            ..Command::new(self.tools().path("kubectl"), self.dir())
        };
        let command = command
            .args(args)
            .envs(self.tools().environment(&home))
            .envs([("KUBECONFIG", self.kubeconfig())]);
        let finished = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
        let shown = args.join(" ");
        assert!(finished.status.success(), "kubectl {shown}: {}\n{}", finished.status, finished.stderr);
        String::from_utf8(finished.stdout).unwrap()
    }
}
