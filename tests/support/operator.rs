//! The operator as a process of its own, as a cluster runs it.

use std::{thread, time::Duration};

use helmfile_operator::process::{Command, Status};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use super::{control_plane::ControlPlane, processes, server::Server, tools::executable, wait::wait_until};

/// An operator that works on a control plane. When its test fails, the end of its log is shown.
#[derive(Debug)]
pub struct Operator {
    server: Server,
    guard: i32,
}

/// How long it may take to get somewhere. Generous: it ends a test that hangs, and measures nothing.
const DEADLINE: Duration = Duration::from_mins(1);

impl Operator {
    /// Starts our program with these arguments. It finds the plane by KUBECONFIG, the real programs on PATH, and a HOME
    /// of its own; `env` adds to that. Its files go with the plane.
    pub fn start(plane: &ControlPlane, args: &[&str], env: &[(&str, &str)]) -> Self {
        let home = tempfile::Builder::new().prefix("operator-").tempdir_in(plane.dir()).unwrap().keep();
        let command = Command::new(executable().unwrap(), &home)
            .args(args)
            .envs(plane.tools().environment(&home))
            .envs([("KUBECONFIG", plane.kubeconfig())])
            .envs([("HELMFILE_OPERATOR_ADMIN", "127.0.0.1:0")])
            .envs(env.iter().copied());
        let server = Server::start("the operator", &command, home.join("log")).unwrap();
        let guard = i32::try_from(server.running.guard_pid().unwrap()).unwrap();
        Self { server, guard }
    }

    /// SIGKILL to the operator itself. When this returns, nothing of it is left: its guard has done what the end of a
    /// container does to all that is in it.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL).await;
        self.ended().await;
    }

    /// SIGTERM to the operator itself, as a cluster does, and how it ended then.
    pub async fn stop(&mut self) -> Status {
        self.signal(Signal::TERM).await;
        self.ended().await
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> Status {
        let status = timeout(DEADLINE, self.server.running.wait()).await;
        status.unwrap_or_else(|_| panic!("the operator did not end within {DEADLINE:?}")).unwrap()
    }

    /// Sends a signal to the operator itself.
    pub async fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid().await).unwrap(), signal).unwrap();
    }

    /// The process number of the operator itself.
    pub async fn pid(&self) -> i32 {
        wait_until("the operator to run", DEADLINE, async || {
            processes::children(self.guard).first().copied().ok_or_else(|| self.server.log.tail(20))
        })
        .await
    }

    /// The URL of its admin server.
    pub async fn admin(&mut self) -> String {
        self.wait_for_log("the admin server listens").await;
        let log = self.log();
        let address = log.split_once("listens address=\"").and_then(|(_, rest)| rest.split_once('"'));
        format!("http://{}", address.unwrap().0)
    }

    /// All it has logged so far.
    pub fn log(&self) -> String {
        self.server.log.text()
    }

    /// Waits until it has logged `text`.
    ///
    /// # Panics
    /// When it ends before that, or takes too long.
    pub async fn wait_for_log(&mut self, text: &str) {
        let Server { running, log, .. } = &mut self.server;
        let is_logged = async || {
            let log = log.text();
            if log.contains(text) { Ok(()) } else { Err(format!("its log is:\n{log}")) }
        };
        let what = format!("the operator to log `{text}`");
        tokio::select! {
            () = wait_until(&what, DEADLINE, is_logged) => {}
            status = running.wait() => {
                // It may have been its last words.
                assert!(log.text().contains(text), "the operator ended ({}) without logging `{text}`", status.unwrap());
            }
        }
    }
}

impl Drop for Operator {
    #[expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the end of the operator's log:\n{}", self.server.log.tail(50));
        }
    }
}
