use std::os::unix::fs::symlink;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

/// Ends a test that hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// A watch over a file in a folder of its own, with nothing left to tell.
async fn watched(file: &str) -> (TempDir, ConfigWatch) {
    let folder = tempfile::tempdir().unwrap();
    let watch = watch_over(&[folder.path().join(file)]).await;
    (folder, watch)
}

async fn watch_over(paths: &[PathBuf]) -> ConfigWatch {
    let mut watch = ConfigWatch::new(paths.iter().cloned().collect());
    assert!(matches!(watch.eyes, Eyes::Kernel(_)));
    told(&mut watch).await;
    watch
}

async fn told(watch: &mut ConfigWatch) {
    timeout(DEADLINE, watch.changed()).await.expect("no change is told");
}

#[tokio::test]
async fn a_file_that_is_written_replaced_removed_or_made_is_a_change() {
    let (folder, mut watch) = watched("config.yaml").await;
    let file = folder.path().join("config.yaml");
    fs::write(&file, "1").unwrap();
    told(&mut watch).await;
    fs::write(&file, "2").unwrap();
    told(&mut watch).await;
    let other = folder.path().join("config.yaml.new");
    fs::write(&other, "3").unwrap();
    fs::rename(&other, &file).unwrap();
    told(&mut watch).await;
    fs::remove_file(&file).unwrap();
    told(&mut watch).await;
    fs::write(&file, "3").unwrap();
    told(&mut watch).await;
}

#[test]
fn reading_and_other_files_are_no_change() {
    use notify::event::{AccessKind, Flag, ModifyKind};
    let names = BTreeSet::from([PathBuf::from("/a/config.yaml")]);
    let event = |kind, path: &str| Event::new(kind).add_path(path.into());
    let modify = EventKind::Modify(ModifyKind::Any);
    assert!(counts(&event(modify, "/a/config.yaml"), &names));
    assert!(!counts(&event(modify, "/a/other"), &names));
    assert!(!counts(&event(EventKind::Access(AccessKind::Any), "/a/config.yaml"), &names));
    // More has happened than the kernel could remember.
    assert!(counts(&Event::new(EventKind::Other).set_flag(Flag::Rescan), &names));
}

#[tokio::test]
async fn many_changes_are_told_once_they_are_over() {
    let (folder, mut watch) = watched("config.yaml").await;
    for number in 0..100 {
        fs::write(folder.path().join("config.yaml"), number.to_string()).unwrap();
    }
    told(&mut watch).await;
    assert!(watch.untold.is_none());
    // As whoever was told will do.
    fs::read(folder.path().join("config.yaml")).unwrap();
    assert!(timeout(QUIET * 2, watch.changed()).await.is_err(), "told twice");
}

#[tokio::test]
async fn a_config_map_whose_data_link_is_swapped_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let version = |name: &str| {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("config.yaml"), name).unwrap();
    };
    version("..1");
    symlink("..1", root.join("..data")).unwrap();
    symlink("..data/config.yaml", root.join("config.yaml")).unwrap();
    let mut watch = watch_over(&[root.join("config.yaml")]).await;
    for (old, new) in [("..1", "..2"), ("..2", "..3")] {
        version(new);
        symlink(new, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        told(&mut watch).await;
        assert_eq!(fs::read_to_string(root.join("config.yaml")).unwrap(), new);
        fs::remove_dir_all(root.join(old)).unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_goes_and_comes_back_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("a/b");
    let file = below.join("config.yaml");
    let mut watch = watch_over(std::slice::from_ref(&file)).await;
    for _ in 0..2 {
        fs::create_dir_all(&below).unwrap();
        fs::write(&file, "1").unwrap();
        told(&mut watch).await;
        fs::write(&file, "2").unwrap();
        told(&mut watch).await;
        fs::remove_dir_all(folder.path().join("a")).unwrap();
        told(&mut watch).await;
    }
    // Another folder in its place, complete at once.
    let other = folder.path().join("other");
    fs::create_dir_all(other.join("b")).unwrap();
    fs::write(other.join("b/config.yaml"), "3").unwrap();
    fs::rename(&other, folder.path().join("a")).unwrap();
    told(&mut watch).await;
    fs::write(&file, "4").unwrap();
    told(&mut watch).await;
}

#[tokio::test]
async fn new_paths_are_watched_and_count_as_changed_once() {
    let (folder, mut watch) = watched("config.yaml").await;
    let (config, hook) = (folder.path().join("config.yaml"), folder.path().join("hooks/hook.sh"));
    fs::create_dir(folder.path().join("hooks")).unwrap();
    fs::write(&hook, "1").unwrap();
    watch.set_paths([config.clone(), hook.clone()].into());
    told(&mut watch).await;
    fs::write(&hook, "2").unwrap();
    told(&mut watch).await;
    watch.set_paths([config].into());
    assert!(watch.untold.is_none());
}

#[tokio::test]
async fn a_change_is_not_lost_when_the_wait_is_given_up() {
    let (folder, mut watch) = watched("config.yaml").await;
    fs::write(folder.path().join("config.yaml"), "1").unwrap();
    while watch.untold.is_none() {
        let given_up = timeout(QUIET / 10, watch.changed()).await;
        assert!(given_up.is_err(), "it was told before it was quiet");
    }
    told(&mut watch).await;
}

#[tokio::test]
async fn without_the_kernel_files_are_read_from_time_to_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let eyes = Eyes::Polling(Polling::new(Duration::from_millis(5)));
    let mut watch = ConfigWatch::with(eyes, BTreeSet::from([file.clone()]));
    told(&mut watch).await;
    for text in ["1", "2"] {
        fs::write(&file, text).unwrap();
        told(&mut watch).await;
    }
    fs::remove_file(&file).unwrap();
    told(&mut watch).await;
}
