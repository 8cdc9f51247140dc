//! Programs that stand before the real ones, and write down how they were called.

use std::{ffi::OsStr, fs, path::PathBuf};

use helmfile_operator::process::resolve;

use super::scene::Scene;

/// A PATH on which some programs are scripts of ours.
pub struct Shims {
    folder: PathBuf,
    real: String,
}

impl Shims {
    /// None yet.
    pub fn new(scene: &Scene<'_>) -> Self {
        let folder = scene.folder().join("shims");
        fs::create_dir_all(&folder).unwrap();
        let real = scene.plane.tools().environment(scene.plane.dir())[OsStr::new("PATH")].clone();
        Self { folder, real: real.into_string().unwrap() }
    }

    /// The value of the variable PATH.
    pub fn path(&self) -> String {
        format!("{}:{}", self.folder.display(), self.real)
    }

    /// Puts a script before `program`, in one step; in it, `REAL` is the real one.
    pub fn add(&self, scene: &Scene<'_>, program: &str, script: &str) {
        let real = resolve(program, Some(OsStr::new(&self.real)), scene.plane.dir()).unwrap();
        let script = scene.hook(program, &script.replace("REAL", &real.display().to_string()));
        fs::rename(script, self.folder.join(program)).unwrap();
    }

    /// Puts a script before `program` that writes each call down in the file `program.calls`, and "overlap" into
    /// `program.overlaps` when another call, or anything that it has started, is still there. The lock is the kernel's, so
    /// that it ends with the last process that holds it.
    pub fn watch(&self, scene: &Scene<'_>, program: &str, only: &str) {
        let file = |what: &str| scene.folder().join(format!("{program}.{what}")).display().to_string();
        let (calls, overlaps, lock) = (file("calls"), file("overlaps"), file("lock"));
        self.add(
            scene,
            program,
            &format!(
                "echo \"$*\" >> {calls}\ncase \"$1\" in {only})\n  exec 9>>{lock}\n  flock -n 9 || echo \"overlap $*\" >> {overlaps};;\n\
                 esac\nexec REAL \"$@\"\n"
            ),
        );
    }
}
