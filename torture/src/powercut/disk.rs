//! A disk whose power can be cut: an ext4 file system in a file, mounted through a loop device.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::AnyError;

/// More than any load writes; the file has holes where nothing was written.
const BYTES: u64 = 8 << 30;
const IMAGE: &str = "disk.ext4";
const MOUNTED: &str = "disk";
const LOCK: &str = "lock";
const PREFIX: &str = "durable-powercut-";

/// A directory for disks, known to be in use as long as this process lives.
#[derive(Debug)]
pub(super) struct Workshop {
    dir: tempfile::TempDir,
    _lock: File,
}

impl Workshop {
    /// Makes one, and removes those that killed processes have left, with their mounts.
    pub(super) fn open() -> Result<Self, AnyError> {
        remove_leftovers(&std::env::temp_dir())?;
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let lock = File::create(dir.path().join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { dir, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves everything where it is, also at the next start.
    pub(super) fn keep(self) -> PathBuf {
        // Without its lock it is nobody's.
        drop(fs::remove_file(self.dir.path().join(LOCK)));
        self.dir.keep()
    }
}

fn remove_leftovers(temp: &Path) -> io::Result<()> {
    for entry in fs::read_dir(temp)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Without a lock it is being made just now, or is somebody else's.
        if name.starts_with(PREFIX)
            && let Ok(lock) = File::open(path.join(LOCK))
            && lock.try_lock().is_ok()
        {
            drop(unmount(&path.join(MOUNTED)));
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// A file system in a file. Dropping it unmounts it.
#[derive(Debug)]
pub(super) struct Disk {
    image: PathBuf,
    mounted: PathBuf,
    is_mounted: bool,
}

impl Disk {
    /// Makes an empty one, in place of the one before, and mounts it.
    pub(super) fn create(workshop: &Workshop) -> Result<Self, AnyError> {
        let image = workshop.path().join(IMAGE);
        File::create(&image)?.set_len(BYTES)?;
        // Few files are made, and nothing is written later that is not asked for.
        let made = ["-q", "-F", "-N", "4096", "-E", "lazy_itable_init=0"];
        tool(Command::new("mkfs.ext4").args(made).arg(&image))?;
        let mounted = workshop.path().join(MOUNTED);
        fs::create_dir_all(&mounted)?;
        let mut disk = Self {
            image,
            mounted,
            is_mounted: false,
        };
        disk.mount()?;
        Ok(disk)
    }

    pub(super) fn path(&self) -> &Path {
        &self.mounted
    }

    /// The power is back: what is read from now on is what was durable.
    pub(super) fn remount(&mut self) -> Result<(), AnyError> {
        self.unmount()?;
        self.mount()
    }

    /// What is ready to cut its power.
    pub(super) fn switch(&self) -> Result<Switch, AnyError> {
        Switch::ready(&self.mounted)
    }

    fn mount(&mut self) -> Result<(), AnyError> {
        // The loop device goes with the mount.
        let mut mount = Command::new("mount");
        mount.args(["-t", "ext4", "-o", "loop,noatime"]);
        tool(mount.arg(&self.image).arg(&self.mounted))?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), AnyError> {
        unmount(&self.mounted)?;
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            // What cannot be helped now is helped at the next start.
            drop(self.unmount());
        }
    }
}

/// Does `EXT4_IOC_SHUTDOWN` without flushing the journal once it is told to. It is ready before it
/// is needed, so that the moment is not its own.
const CUT: &str = "
import fcntl, os, struct, sys
try:
    disk = os.open(sys.argv[1], os.O_RDONLY)
    print('ready', flush=True)
    if sys.stdin.readline():
        fcntl.ioctl(disk, 0x8004587d, struct.pack('I', 2))
        print('cut', flush=True)
except OSError as error:
    print(error, flush=True)
";

/// A process that waits to cut a disk's power. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Switch {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Switch {
    fn ready(disk: &Path) -> Result<Self, AnyError> {
        let mut process = Command::new("python3")
            .args(["-c", CUT])
            .arg(disk)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // It has nothing to say once nobody listens.
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("python3: {error}"))?;
        let input = process.stdin.take().ok_or("python3 has no input")?;
        let output = process.stdout.take().ok_or("python3 has no output")?;
        let mut switch = Self {
            process,
            input,
            output: BufReader::new(output),
        };
        switch.hear("ready")?;
        Ok(switch)
    }

    /// Nothing that was not durable by now ever will be.
    pub(super) fn cut(mut self) -> Result<(), AnyError> {
        self.input.write_all(b"now\n")?;
        self.hear("cut")
    }

    fn hear(&mut self, word: &str) -> Result<(), AnyError> {
        let mut said = String::new();
        self.output.read_line(&mut said)?;
        if said.trim_end() == word {
            return Ok(());
        }
        Err(format!(
            "the power cannot be cut: python3 says `{}`",
            said.trim_end()
        )
        .into())
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn unmount(mounted: &Path) -> Result<(), AnyError> {
    tool(Command::new("umount").arg(mounted))
}

/// Runs a program of the system to its end, out of reach of Ctrl-C.
fn tool(command: &mut Command) -> Result<(), AnyError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}, {}", output.status, said.trim()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_has_left_is_removed_and_what_is_in_use_is_not() {
        let used = Workshop::open().unwrap();
        let left = Workshop::open().unwrap();
        match Disk::create(&left) {
            // As if it had not been dropped.
            Ok(disk) => std::mem::forget(disk),
            Err(reason) => println!("without a mount: {reason}"),
        }
        // As if the process had been killed.
        let Workshop { dir, _lock: lock } = left;
        drop(lock);
        let left = dir.keep();
        assert!(left.exists());

        remove_leftovers(&std::env::temp_dir()).unwrap();
        assert!(!left.exists(), "{}", left.display());
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        assert!(!mounts.contains(&*left.to_string_lossy()), "{mounts}");
        assert!(used.path().exists());
        let kept = used.keep();
        remove_leftovers(&std::env::temp_dir()).unwrap();
        assert!(kept.exists());
        fs::remove_dir_all(kept).unwrap();
    }
}
