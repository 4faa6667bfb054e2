//! A disk of its own for a data folder: its power can be cut, and it can be full.
//!
//! It is an ext4 file system on an image, which lies on an XFS file system on another image. XFS copies a file by
//! sharing its blocks, in no time and between two writes: such a copy is what the disk holds at one instant, also while
//! somebody writes. The block device takes every write at once and in order; what the file system on it keeps to itself
//! until somebody syncs is not in the copy, as it is not on a disk.

use crate::{program, wait};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{
    CWD, FallocateFlags, Mode, OFlags, fallocate, ioctl_ficlone, openat, statvfs, syncfs,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Of the file system that holds the images: XFS wants no less. Nothing is taken that is not written.
const HOLDER_MIB: u64 = 1_536;
/// Nothing becomes durable by itself while a test takes: the journal is committed by those who sync.
const OPTIONS: &str = "loop,commit=300";
/// After an error nothing more is written.
const FAILS: &str = "remount,errors=remount-ro";
/// It leaves an unclean file system as it is, and says so.
const CLEAN: [&str; 2] = ["-f", "-n"];

/// The mounted file system. Dropping it takes everything away.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    cuts: usize,
    /// Before what it lies on.
    data: Mount,
    holder: Mount,
    _folder: TempDir,
}

/// What the disk held at an instant.
#[derive(Debug)]
pub struct Cut(PathBuf);

impl Disk {
    /// Makes one of this size.
    ///
    /// # Errors
    /// The caller may not mount, or a program is missing.
    pub fn new(mib: u64) -> Result<Self> {
        // In memory where that is possible: what is tested is what the system hands to the disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        let holder = folder.path().join("holder");
        empty(&holder, HOLDER_MIB)?;
        run("mkfs.xfs", &[&"-q", &"-m", &"reflink=1", &holder])?;
        let holder = Mount::new(&holder, folder.path().join("images"), "loop")?;
        let image = holder.0.join("0");
        empty(&image, mib)?;
        let whole = "lazy_itable_init=0,lazy_journal_init=0";
        run(
            "mkfs.ext4",
            &[&"-q", &"-F", &"-m", &"0", &"-E", &whole, &image],
        )?;
        let data = Mount::new(&image, folder.path().join("disk"), OPTIONS)?;
        Ok(Self {
            image,
            cuts: 0,
            data,
            holder,
            _folder: folder,
        })
    }

    /// A folder on it for data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.0.join("data")
    }

    /// Makes everything durable that was written so far.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&self) -> Result<()> {
        let root = openat(CWD, &self.data.0, OFlags::RDONLY, Mode::empty())?;
        syncfs(root).context("syncing the disk")
    }

    /// What would be left if the power were cut now.
    ///
    /// # Errors
    /// The file system with the images is full.
    pub fn cut(&mut self) -> Result<Cut> {
        self.cuts += 1;
        let copy = self.holder.0.join(self.cuts.to_string());
        let to = File::create_new(&copy)?;
        ioctl_ficlone(to, File::open(&self.image)?).context("copying the image")?;
        Ok(Cut(copy))
    }

    /// Puts what was left in the place of what is there, as the next start of the machine would find it. Nobody may
    /// use the disk.
    ///
    /// # Errors
    /// Somebody uses it, or what was left is no whole file system once its journal is carried out.
    pub async fn start_from(&mut self, Cut(copy): Cut) -> Result<()> {
        // Those who were killed may be a moment yet.
        wait::until("an unused disk", async || self.data.unmount()).await?;
        fs::remove_file(&self.image)?;
        self.image = copy;
        self.data.mount(&self.image, OPTIONS)?;
        self.data.unmount()?;
        run("e2fsck", &[&CLEAN[0], &CLEAN[1], &self.image])?;
        self.data.mount(&self.image, OPTIONS)
    }

    /// Becomes read-only while it is used, as after an error of the device (ext4(5), `errors=remount-ro`).
    ///
    /// # Errors
    /// The system does not let it fail.
    pub fn fail(&self) -> Result<()> {
        run("mount", &[&"-o", &FAILS, &self.data.0])?;
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let folder = self.data.0.to_str().context("no UTF-8")?;
        let mut fields = mounts.lines().map(|line| line.split(' '));
        let its =
            fields.find_map(|mut of| Some((of.next()?, of.next()?)).filter(|at| at.1 == folder));
        let (device, _) = its.context("it is mounted nowhere")?;
        let name = device.rsplit('/').next().unwrap_or_default();
        let tell = Path::new("/sys/fs/ext4")
            .join(name)
            .join("trigger_fs_error");
        fs::write(&tell, "a test").with_context(|| tell.display().to_string())
    }

    /// Puts it right after it has failed. Nobody may use the disk.
    ///
    /// # Errors
    /// Somebody uses it, or it cannot be put right.
    pub async fn mend(&mut self) -> Result<()> {
        wait::until("an unused disk", async || self.data.unmount()).await?;
        let mended = Command::new(program::on_path(&["e2fsck"])?)
            .args(["-f", "-y"])
            .arg(&self.image)
            .output()?;
        // 1: something was put right (e2fsck(8)).
        ensure!(
            mended.status.code().is_some_and(|code| code <= 1),
            "{mended:?}"
        );
        self.data.mount(&self.image, OPTIONS)
    }

    /// Takes all the room that there is, in a file beside the data.
    ///
    /// # Errors
    /// The disk fails.
    pub fn fill(&self) -> Result<()> {
        let file = File::create(self.data.0.join("ballast"))?;
        let room = statvfs(&self.data.0)?;
        let bytes = room.f_bavail * room.f_frsize;
        match fallocate(&file, FallocateFlags::empty(), 0, bytes.max(1)) {
            // Somebody was faster, and has the rest.
            Ok(()) | Err(Errno::NOSPC) => Ok(()),
            Err(errno) => Err(errno).context("filling the disk"),
        }
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// It was not taken away.
    pub fn empty(&self) -> Result<()> {
        fs::remove_file(self.data.0.join("ballast")).context("emptying the disk")
    }
}

/// A folder where an image is mounted.
#[derive(Debug)]
struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, folder: PathBuf, options: &str) -> Result<Self> {
        fs::create_dir(&folder)?;
        let mut mount = Self(folder);
        mount.mount(image, options)?;
        Ok(mount)
    }

    fn mount(&mut self, image: &Path, options: &str) -> Result<()> {
        let mounted = run("mount", &[&"-o", &options, &image, &self.0]);
        mounted
            .context("such a disk needs root and loop devices")
            .map(drop)
    }

    fn unmount(&mut self) -> Result<()> {
        run("umount", &[&self.0]).map(drop)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whoever uses it still is being killed; nobody hears of a failure here.
        let _ = run("umount", &[&"--lazy", &self.0]);
    }
}

/// A file of zeros that takes no room.
fn empty(path: &Path, mib: u64) -> Result<()> {
    File::create_new(path)?.set_len(mib * 1024 * 1024)?;
    Ok(())
}

fn run(name: &str, args: &[&dyn AsRef<OsStr>]) -> Result<Output> {
    let program = program::on_path(&[name])?;
    let mut command = Command::new(program);
    command.args(args.iter().map(AsRef::as_ref));
    let output = command.output()?;
    if !output.status.success() {
        let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        bail!("{name}: {}: {}", output.status, said.concat());
    }
    Ok(output)
}
