//! The private folder of one run: a home, a copy of the source, plugins, a kubeconfig and values, gone afterwards.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use kube::config::Kubeconfig;
use rustix::io::{FdFlags, fcntl_setfd};

use super::{
    plugins::{self, PluginError},
    source_files::{self, SourceFileError},
    tree,
    values::{self, Layer},
};

use crate::{causes, environment::Environment, helmfile::helm::front};

/// Where things are in a workspace.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    downloads: PathBuf,
}

impl Layout {
    /// A workspace in `root`, with downloads kept in `downloads`.
    pub(crate) fn new(root: impl Into<PathBuf>, downloads: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), downloads: downloads.into() }
    }

    /// The folder that everything of the run is in.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Home directory of the tools.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Temporary files of the tools.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The copy of the source: helm and helm-secrets write next to the files they read.
    pub(crate) fn source(&self) -> PathBuf {
        self.root.join("source")
    }

    /// Helm's plugins.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.root.join("plugins")
    }

    /// The kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// What helmfile takes for helm.
    pub(crate) fn front(&self) -> PathBuf {
        self.root.join("bin").join(front::NAME)
    }

    /// Credentials of OCI registries.
    pub(crate) fn registries(&self) -> PathBuf {
        self.home().join(".config/helm/registry/config.json")
    }

    /// Inline values.
    pub(crate) fn values(&self) -> PathBuf {
        self.root.join("values")
    }

    /// What helm and helmfile have downloaded for this object; survives the run.
    pub(crate) fn downloads(&self) -> &Path {
        &self.downloads
    }
}

/// Why there is no workspace.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The file system failed.
    #[error("failed to {action} `{}`", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Another process delivers the same object.
    #[error("another delivery of the same helmfile is running on this machine")]
    Busy,
    /// The kubeconfig has no context to narrow it down to.
    #[error("the kubeconfig has no current context")]
    NoContext,
    /// A values file of the source.
    #[error(transparent)]
    SourceFile(#[from] SourceFileError),
    /// The plugins.
    #[error(transparent)]
    Plugins(#[from] PluginError),
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WorkspaceError {
    move |source| WorkspaceError::Io { action, path: path.to_owned(), source }
}

/// What a workspace is filled with.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    /// The source, which stays as it is.
    pub source: Source,
    /// Files of values from sources of their own, by their place in the spec's list.
    pub elsewhere: Vec<Option<PathBuf>>,
    /// Credentials of OCI registries, as Helm reads them.
    pub registries: Option<serde_json::Value>,
    /// A kubeconfig with one context.
    pub kubeconfig: Kubeconfig,
    /// The namespace of that context.
    pub namespace: String,
    /// Values.
    pub layers: Vec<Layer>,
    /// This program, which is also helm's diff plugin.
    pub executable: PathBuf,
    /// The environment of the applier, for the plugins of the image.
    pub ambient: Environment,
}

/// Where the helmfile is.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// In a folder.
    Folder(PathBuf),
    /// In the spec. It is a template, as the values that go with it are there to be used.
    Inline(String),
}

/// The name of a helmfile that is in the spec.
const INLINE: &str = "helmfile.yaml.gotmpl";

/// A private folder. Dropping it removes the folder; one of somebody who was killed is swept away by the next run.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    path: PathBuf,
    /// Held while the folder is in use, so that nobody sweeps it away.
    _lock: File,
}

impl PrivateFolder {
    /// Makes an empty one in the folder `cache`.
    ///
    /// # Errors
    /// When the cache can't be written.
    pub(crate) fn make(cache: &Path) -> Result<Self, WorkspaceError> {
        Ok(Self::make_after(cache, |_| ())?.0)
    }

    /// The same, once `look` has seen the folder that all of them are in.
    fn make_after<T>(cache: &Path, look: impl FnOnce(&Path) -> T) -> Result<(Self, T), WorkspaceError> {
        let runs = cache.join("runs");
        make_folder(&runs)?;
        // Under this lock no folder of a run is without its own lock.
        let sweeping = lock_file(&runs.join("lock"))?;
        sweeping.lock().map_err(io("lock", &runs))?;
        let seen = look(&runs);
        let path = private_folder(&runs).map_err(io("make a folder in", &runs))?;
        let own = lock_file(&path.join("lock"))?;
        own.lock().map_err(io("lock", &path))?;
        Ok((Self { path, _lock: own }, seen))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        tree::remove(&self.path);
    }
}

/// The folder of a run. Dropping it removes the folder.
#[derive(Debug)]
pub(crate) struct Workspace {
    layout: Layout,
    _run: PrivateFolder,
    /// Held while the object's downloads, and what is remembered of it, are in use.
    _held: Vec<File>,
}

impl Workspace {
    /// Makes an empty workspace for the object `key` in the folder `cache`, and sweeps away those that killed processes
    /// have left there. `memory` is a folder in which its deliveries are remembered.
    ///
    /// # Errors
    /// When the cache or `memory` can't be written, or another process delivers the same object.
    pub(crate) fn open(cache: &Path, key: &str, memory: Option<&Path>) -> Result<Self, WorkspaceError> {
        let object = cache.join("objects").join(key);
        let held = memory.into_iter().chain([object.as_path()]).map(hold).collect::<Result<_, _>>()?;
        let (run, abandoned) = PrivateFolder::make_after(cache, abandoned)?;
        for folder in abandoned {
            tree::remove(&folder);
        }
        let lock = object.join("lock");
        for unused in unused(&cache.join("objects"), &lock) {
            if let Err(error) = Self::forget(cache, &unused) {
                tracing::warn!("an old folder stays in the cache: {}", causes::in_one_line(&error));
            }
        }
        Ok(Self { layout: Layout::new(run.path(), object), _run: run, _held: held })
    }

    /// Removes what is kept of the object `key` between its runs: the downloads, the key. While a run of it is under way, or
    /// programs of one that was killed are left, it stays.
    ///
    /// # Errors
    /// When the cache can't be written.
    pub(crate) fn forget(cache: &Path, key: &str) -> Result<(), WorkspaceError> {
        let object = cache.join("objects").join(key);
        if !object.is_dir() {
            return Ok(());
        }
        let lock = lock_file(&object.join("lock"))?;
        if lock.try_lock().is_err() {
            return Ok(());
        }
        // Out of the way at once: whoever comes now begins with an empty one.
        let aside = PrivateFolder::make(cache)?;
        fs::rename(&object, aside.path().join("object")).map_err(io("remove", &object))
    }

    /// Where things are.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Puts everything in its place. Gives the files of values, the lowest layer first.
    ///
    /// # Errors
    /// When a file cannot be written or is not in the source.
    pub(crate) fn fill(&self, contents: &Contents) -> Result<Vec<PathBuf>, WorkspaceError> {
        let layout = &self.layout;
        for folder in [layout.home(), layout.tmp(), layout.values(), layout.plugins()] {
            make_folder(&folder)?;
        }
        let source = layout.source();
        match &contents.source {
            Source::Folder(folder) => {
                tree::copy(folder, &source).map_err(io("copy the source to", &source))?;
            }
            Source::Inline(text) => {
                make_folder(&source)?;
                write_private(&source.join(INLINE), text.as_bytes())?;
            }
        }
        let front = layout.front();
        make_folder(&layout.root().join("bin"))?;
        symlink(&contents.executable, &front).map_err(io("make", &front))?;
        if let Some(registries) = &contents.registries {
            let file = layout.registries();
            make_folder(file.parent().unwrap_or(layout.root()))?;
            write_private(&file, registries.to_string().as_bytes())?;
        }
        plugins::gather(&layout.plugins(), &contents.executable, &contents.ambient)?;
        let kubeconfig = narrow(contents.kubeconfig.clone(), &contents.namespace)?;
        write_private(&layout.kubeconfig(), &kubeconfig)?;
        let place = |(index, layer)| self.place(index, layer, &contents.elsewhere);
        contents.layers.iter().enumerate().map(place).collect()
    }

    fn place(
        &self,
        index: usize,
        layer: &Layer,
        elsewhere: &[Option<PathBuf>],
    ) -> Result<PathBuf, WorkspaceError> {
        match layer {
            Layer::Elsewhere(number) => {
                let file = elsewhere.get(*number).cloned().flatten();
                file.ok_or_else(|| {
                    WorkspaceError::SourceFile(SourceFileError::Missing {
                        field: "valuesFiles",
                        path: format!("[{number}]"),
                    })
                })
            }
            Layer::Source(path) => Ok(source_files::find_values(&self.layout.source(), path)?),
            Layer::Inline(values) => {
                let file = values::inline_file(&self.layout.values(), index);
                // JSON is YAML.
                write_private(&file, &serde_json::to_vec(values).unwrap_or_default())?;
                Ok(file)
            }
            Layer::Machine(path) => path.canonicalize().map_err(io("read the values file", path)),
        }
    }
}

/// Start of the name of a run's folder.
const RUN: &str = "run-";

/// Folders of runs whose owner is gone. They are renamed, so that they are seen once only.
fn abandoned(runs: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(runs).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let path = entry.path();
            if name.starts_with("dead-") {
                return Some(path);
            }
            name.starts_with(RUN).then_some(())?;
            // A folder without a lock was made by somebody who died before he could lock it.
            let in_use = File::open(path.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
            let dead = runs.join(format!("dead-{name}"));
            (!in_use && fs::rename(&path, &dead).is_ok()).then_some(dead)
        })
        .collect()
}

/// After this time without use, what is kept of an object is not worth its place: it can all be had again. Nobody tells us
/// that an object is gone that nothing was to be done for.
const WORTH: Duration = Duration::from_hours(30 * 24);

/// The objects that nothing was done for in a long time when this file was written.
fn unused(objects: &Path, now: &Path) -> Vec<String> {
    let modified = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    let Some(now) = modified(now) else { return Vec::new() };
    let is_unused = |object: &Path| {
        let last = ["lock", "looked"].iter().filter_map(|file| modified(&object.join(file))).max();
        last.and_then(|last| now.duration_since(last).ok()).is_some_and(|age| age > WORTH)
    };
    let entries = fs::read_dir(objects).into_iter().flatten().flatten();
    entries
        .filter(|entry| is_unused(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// One context, in a namespace of our choice.
fn narrow(mut kubeconfig: Kubeconfig, namespace: &str) -> Result<Vec<u8>, WorkspaceError> {
    let current = kubeconfig.current_context.clone().unwrap_or_default();
    kubeconfig.contexts.retain(|named| named.name == current);
    let context = kubeconfig.contexts.first_mut().and_then(|named| named.context.as_mut());
    context.ok_or(WorkspaceError::NoContext)?.namespace = Some(namespace.to_owned());
    Ok(serde_json::to_vec(&kubeconfig).unwrap_or_default())
}

fn private_folder(parent: &Path) -> io::Result<PathBuf> {
    let mode = Permissions::from_mode(0o700);
    Ok(tempfile::Builder::new().prefix(RUN).permissions(mode).tempdir_in(parent)?.keep())
}

fn make_folder(path: &Path) -> Result<(), WorkspaceError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make the folder", path))
}

fn write_private(path: &Path, content: &[u8]) -> Result<(), WorkspaceError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io("write", path))?;
    file.write_all(content).map_err(io("write", path))
}

/// Takes the lock of a folder, which is made when it is not there. Every program of the run holds it as well: who gets it next
/// knows that none of them is left.
fn hold(folder: &Path) -> Result<File, WorkspaceError> {
    make_folder(folder)?;
    let path = folder.join("lock");
    let mut lock = lock_file(&path)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => WorkspaceError::Busy,
        TryLockError::Error(source) => io("lock", folder)(source),
    })?;
    // Somebody may just have forgotten the object: what is locked then is not there any more.
    if !is_at(&lock, &path) {
        return Err(WorkspaceError::Busy);
    }
    fcntl_setfd(&lock, FdFlags::empty()).map_err(|error| io("lock", folder)(error.into()))?;
    // The time of the file system, which all these folders have in common.
    lock.write_all(b"\n").map_err(io("write", &path))?;
    Ok(lock)
}

/// Whether an open file is still the one at this path.
fn is_at(file: &File, path: &Path) -> bool {
    let place = |found: io::Result<Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
    let held = place(file.metadata());
    held.is_some() && held == place(fs::metadata(path))
}

fn lock_file(path: &Path) -> Result<File, WorkspaceError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(io("open", path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contents(source: &Path) -> Contents {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u", "namespace": "other"}},
                         {"name": "b", "context": {"cluster": "d", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://c"}}],
            "users": [{"name": "u", "user": {"token": "t0ken"}}],
        });
        Contents {
            source: Source::Folder(source.to_owned()),
            elsewhere: Vec::new(),
            registries: None,
            kubeconfig: serde_json::from_value(kubeconfig).unwrap(),
            namespace: "shop".into(),
            layers: vec![
                Layer::Source("v.yaml".into()),
                Layer::Inline(json!({"a": {"b": 12_345_678_901_234_567_u64}}).as_object().unwrap().clone()),
            ],
            executable: "/bin/true".into(),
            ambient: Environment::new(),
        }
    }

    fn source() -> tempfile::TempDir {
        let source = tempfile::tempdir().unwrap();
        fs::write(source.path().join("v.yaml"), "a: 1\n").unwrap();
        source
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn everything_secret_is_private_and_gone_afterwards() {
        let (cache, source) = (tempfile::tempdir().unwrap(), source());
        let workspace = Workspace::open(cache.path(), "x", None).unwrap();
        let values = workspace.fill(&contents(source.path())).unwrap();
        let layout = workspace.layout().clone();
        assert_eq!(values[0], layout.source().join("v.yaml").canonicalize().unwrap());
        assert_eq!(fs::read_to_string(&values[1]).unwrap(), r#"{"a":{"b":12345678901234567}}"#);
        assert_eq!((mode(&values[1]), mode(&layout.kubeconfig()), mode(&layout.root)), (0o600, 0o600, 0o700));
        let kubeconfig: Kubeconfig = serde_json::from_slice(&fs::read(layout.kubeconfig()).unwrap()).unwrap();
        assert_eq!(kubeconfig.contexts.len(), 1);
        assert_eq!(kubeconfig.contexts[0].context.as_ref().unwrap().namespace.as_deref(), Some("shop"));
        // The copy can be written, and the source does not change by it.
        fs::write(layout.source().join("v.yaml"), "a: 2\n").unwrap();
        assert_eq!(fs::read_to_string(source.path().join("v.yaml")).unwrap(), "a: 1\n");
        drop(workspace);
        assert!(!layout.root.exists());
        assert!(layout.downloads().exists());
    }

    #[test]
    fn two_runs_of_one_object_exclude_each_other_and_two_objects_do_not() {
        let cache = tempfile::tempdir().unwrap();
        let first = Workspace::open(cache.path(), "x", None).unwrap();
        assert!(matches!(Workspace::open(cache.path(), "x", None), Err(WorkspaceError::Busy)));
        let memory = tempfile::tempdir().unwrap();
        let one = Workspace::open(cache.path(), "a", Some(memory.path())).unwrap();
        assert!(matches!(Workspace::open(cache.path(), "b", Some(memory.path())), Err(WorkspaceError::Busy)));
        drop(one);
        Workspace::open(cache.path(), "y", None).unwrap();
        drop(first);
        Workspace::open(cache.path(), "x", None).unwrap();
    }

    #[test]
    fn an_object_is_forgotten_unless_it_is_at_work() {
        let cache = tempfile::tempdir().unwrap();
        let object = cache.path().join("objects/x");
        let running = Workspace::open(cache.path(), "x", None).unwrap();
        fs::write(object.join("key"), "key").unwrap();
        Workspace::forget(cache.path(), "x").unwrap();
        assert!(object.join("key").exists(), "it is in use");
        drop(running);
        let waiting = lock_file(&object.join("lock")).unwrap();
        assert!(is_at(&waiting, &object.join("lock")));
        Workspace::forget(cache.path(), "x").unwrap();
        assert!(!object.exists());
        let next = Workspace::open(cache.path(), "x", None).unwrap();
        assert!(!is_at(&waiting, &object.join("lock")), "that lock keeps nobody away any more");
        drop(next);
        Workspace::forget(cache.path(), "x").unwrap();
        Workspace::forget(cache.path(), "x").unwrap();
        let left: Vec<_> = fs::read_dir(cache.path().join("runs")).unwrap().collect();
        assert_eq!(left.len(), 1, "only the lock: {left:?}");
    }

    #[test]
    fn objects_that_nobody_has_asked_for_in_a_long_time_are_forgotten() {
        let cache = tempfile::tempdir().unwrap();
        let object = |name: &str| cache.path().join("objects").join(name);
        let age = |name: &str, file: &str, age: Duration| {
            let now = object("new/lock").metadata().unwrap().modified().unwrap();
            let file =
                OpenOptions::new().write(true).create(true).truncate(true).open(object(name).join(file));
            file.unwrap().set_modified(now - age).unwrap();
        };
        for name in ["new", "old", "watched", "younger", "running"] {
            drop(Workspace::open(cache.path(), name, None).unwrap());
        }
        let running = Workspace::open(cache.path(), "running", None).unwrap();
        let day = Duration::from_hours(24);
        for name in ["old", "watched", "running"] {
            age(name, "lock", 31 * day);
        }
        age("watched", "looked", day);
        age("younger", "lock", 29 * day);
        drop(Workspace::open(cache.path(), "new", None).unwrap());
        assert!(!object("old").exists());
        assert!(["new", "watched", "younger", "running"].iter().all(|name| object(name).exists()));
        drop(running);
        // To be used again is to be young again.
        drop(Workspace::open(cache.path(), "running", None).unwrap());
        drop(Workspace::open(cache.path(), "new", None).unwrap());
        assert!(object("running").exists());
    }

    #[test]
    fn a_private_folder_is_swept_when_its_owner_was_killed() {
        let cache = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::make(cache.path()).unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("x.agekey"), "key").unwrap();
        drop(Workspace::open(cache.path(), "x", None).unwrap());
        assert!(path.exists() && mode(&path) == 0o700, "it is in use");
        // As the kernel does it for a process that is killed: the lock goes, the files stay.
        let PrivateFolder { _lock: lock, .. } = &*std::mem::ManuallyDrop::new(folder);
        lock.unlock().unwrap();
        drop(Workspace::open(cache.path(), "x", None).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn leftovers_of_killed_runs_are_swept_and_running_ones_are_not() {
        let cache = tempfile::tempdir().unwrap();
        let running = Workspace::open(cache.path(), "x", None).unwrap();
        let runs = cache.path().join("runs");
        for left in ["run-killed/home", "run-locked/home", "dead-run-half/home"] {
            fs::create_dir_all(runs.join(left)).unwrap();
        }
        fs::write(runs.join("run-locked/lock"), "").unwrap();
        let next = Workspace::open(cache.path(), "y", None).unwrap();
        let mut left: Vec<_> = fs::read_dir(&runs).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        let mut expected = vec![runs.join("lock"), running.layout.root.clone(), next.layout.root.clone()];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_kubeconfig_without_a_context_is_refused() {
        assert!(matches!(narrow(Kubeconfig::default(), "n"), Err(WorkspaceError::NoContext)));
    }
}
