//! A chart repository that asks for a login.

use std::{fs, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use helmfile_operator::process::Command;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::tools::{Tools, guard};

/// A server with one chart, `stock` 1.0.0, whose ConfigMap is called as its release. Ends when dropped.
pub struct Charts {
    /// `http://HOST:PORT`
    pub url: String,
    _tasks: JoinSet<()>,
}

impl Charts {
    /// Starts one for this user and password.
    pub async fn start(tools: &Tools, user: &str, password: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let chart = folder.path().join("stock");
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(chart.join("Chart.yaml"), "{apiVersion: v2, name: stock, version: 1.0.0}\n").unwrap();
        let map =
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: {{ .Release.Name }}}, data: {from: stock}}\n";
        fs::write(chart.join("templates/map.yaml"), map).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        helm(tools, folder.path(), &["package", "stock"]).await;
        helm(tools, folder.path(), &["repo", "index", ".", "--url", &url]).await;
        let login = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, folder, login));
        Self { url, _tasks: tasks }
    }
}

async fn helm(tools: &Tools, folder: &Path, args: &[&str]) {
    let command = Command::new(tools.path("helm"), folder).args(args).envs(tools.environment(folder));
    let finished = command.run(&guard(), &CancellationToken::new(), &mut |_| {}).await.unwrap();
    assert!(finished.status.success(), "helm {args:?}: {}", finished.stderr);
}

async fn accept(listener: TcpListener, folder: TempDir, login: String) {
    while let Ok((stream, _)) = listener.accept().await {
        // One after the other is enough for one helm. A client that hangs up is its own business.
        let _closed = answer(stream, folder.path(), &login).await;
    }
}

async fn answer(mut stream: TcpStream, folder: &Path, login: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
    let knows = request
        .lines()
        .filter_map(|line| line.split_once(": "))
        .any(|(name, value)| name.eq_ignore_ascii_case("authorization") && value == login);
    let (status, body) = match fs::read(folder.join(path)) {
        _ if !knows => ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"charts\"", Vec::new()),
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}
