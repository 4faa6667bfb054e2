//! A backup becomes a folder of data again: another life of the installation.
//!
//! What was written after the backup was made is gone here, but others have seen it. So every number that counts up
//! leaps ahead: no revision, sequence or cursor of the lost time means something else now.
//!
//! The data is made in a folder inside the folder, which no start takes for data, and moved when it is whole.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use engine::id::RunKey;
use rusqlite::Connection;

use super::backup::new_file;
use super::backup::{ABOUT_MAX, About, BackupError, CHUNK, MAGIC, SUM_BYTES, Summing, io_failed};
use super::counters::Counters;
use super::folder::{DATA, Folder, RESTORING};
use super::options::Options;
use super::{Embedded, Handle, inbox, journal, schema};
use crate::Backend;

/// So far the counters leap: more than are given in any life, and 2^21 lives fit into the whole numbers of JSON.
const LEAP: u64 = 1 << 32;
/// What may be in the folder: the root key, which is not in the backup, and what a file system puts there.
const MAY_BE_THERE: [&str; 3] = ["root.key", "lock", "lost+found"];

/// Data out of a backup, open, and not in its place yet: whoever restores parks its open runs first.
pub struct Restoring {
    /// What the backup says of itself.
    pub about: About,
    /// The data.
    pub backend: Backend,
    /// Runs that were damaged already when the backup was made, and how.
    pub damaged: Vec<(RunKey, String)>,
    handle: Handle,
    dir: PathBuf,
    /// Keeps others out of the folder.
    _folder: Folder,
}

impl Restoring {
    /// Checks the backup `file` as a whole, then unpacks it into the folder `dir`, which must be empty or not exist, and
    /// checks what is in it: every checksum and every chain of records.
    ///
    /// # Errors
    /// [`BackupError`]; `dir` is as it was then.
    pub fn begin(file: &Path, dir: &Path, options: Options) -> Result<Self, BackupError> {
        check_empty(dir)?;
        let about = check(file)?;
        let folder = Folder::lock(dir)?;
        let inside = dir.join(RESTORING);
        let opened = open_inside(file, &about, &inside, options);
        if opened.is_err() {
            // The folder is as it was; what cannot be removed keeps every start away.
            let _ = fs::remove_dir_all(&inside);
        }
        let (damaged, (backend, handle)) = opened?;
        Ok(Self {
            about,
            backend,
            damaged,
            handle,
            dir: dir.to_owned(),
            _folder: folder,
        })
    }

    /// Puts the data in its place. From then on the folder can be started.
    ///
    /// # Errors
    /// The operating system's.
    pub fn end(self) -> Result<(), BackupError> {
        self.handle.close();
        let inside = self.dir.join(RESTORING);
        all_folded(&inside)?;
        let put = || {
            File::open(inside.join(DATA))?.sync_all()?;
            fs::rename(inside.join(DATA), self.dir.join(DATA))?;
            File::open(&self.dir)?.sync_all()?;
            fs::remove_dir_all(&inside)?;
            File::open(&self.dir)?.sync_all()
        };
        put().map_err(|e| io_failed(&self.dir, &e))
    }

    /// Gives it up: the folder is as it was before.
    pub fn undo(self) {
        self.handle.close();
        // What cannot be removed keeps every start away.
        let _ = fs::remove_dir_all(self.dir.join(RESTORING));
    }
}

/// The one file is taken away from its log: what is still in there, such as the parked runs, would be gone.
fn all_folded(inside: &Path) -> Result<(), BackupError> {
    let log = inside.join(format!("{DATA}-wal"));
    let left = match fs::metadata(&log) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(io_failed(&log, &error)),
    };
    if left == 0 {
        return Ok(());
    }
    let what = "what was written last could not be folded into the file, perhaps for want of room: \
        empty the folder but for root.key, make room and restore again";
    Err(io_failed(&log, &io::Error::other(what)))
}

impl std::fmt::Debug for Restoring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Restoring");
        shown.field("about", &self.about).finish_non_exhaustive()
    }
}

/// Runs that are damaged, and how.
pub(super) type Damaged = Vec<(RunKey, String)>;

fn open_inside(
    file: &Path,
    about: &About,
    inside: &Path,
    options: Options,
) -> Result<(Damaged, (Backend, Handle)), BackupError> {
    let made = DirBuilder::new().mode(0o700).create(inside);
    made.map_err(|e| io_failed(inside, &e))?;
    let data = inside.join(DATA);
    unpack(file, about, &data)?;
    let damaged = prepare(file, &data)?;
    Ok((damaged, Embedded::open(inside, options)?))
}

fn check_empty(dir: &Path) -> Result<(), BackupError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_failed(dir, &error)),
    };
    for entry in entries {
        let name = entry.map_err(|e| io_failed(dir, &e))?.file_name();
        let found = name.to_string_lossy().into_owned();
        if !MAY_BE_THERE.contains(&found.as_str()) {
            let path = dir.to_owned();
            return Err(BackupError::NotEmpty { path, found });
        }
    }
    Ok(())
}

/// Reads all of the file and compares its checksum, before anything of it is believed.
fn check(file: &Path) -> Result<About, BackupError> {
    let length = fs::metadata(file).map_err(|e| io_failed(file, &e))?.len();
    let mut input = open(file)?;
    let mut magic = vec![0; MAGIC.len()];
    if input.read_exact(&mut magic).is_err() || magic != MAGIC {
        return Err(damaged(
            file,
            "it is not a backup of Mirastack, or of a later version",
        ));
    }
    let body = length.checked_sub(SUM_BYTES);
    let body = body.ok_or_else(|| damaged(file, "it is cut off"))?;
    input.rewind().map_err(|e| io_failed(file, &e))?;
    let mut summing = Summing::new(input.take(body));
    io::copy(&mut summing, &mut io::sink()).map_err(|e| io_failed(file, &e))?;
    let (rest, sum) = summing.end();
    let mut stored = Vec::new();
    let mut rest = rest.into_inner();
    rest.read_to_end(&mut stored)
        .map_err(|e| io_failed(file, &e))?;
    if stored != sum {
        return Err(damaged(
            file,
            "its checksum does not fit: it was changed or cut off",
        ));
    }
    about(file, &mut skipped(file)?)
}

fn open(file: &Path) -> Result<BufReader<File>, BackupError> {
    let opened = File::open(file).map_err(|e| io_failed(file, &e))?;
    Ok(BufReader::with_capacity(CHUNK, opened))
}

/// The file after its first line.
fn skipped(file: &Path) -> Result<BufReader<File>, BackupError> {
    let mut input = open(file)?;
    let start = io::SeekFrom::Start(MAGIC.len() as u64);
    input.seek(start).map_err(|e| io_failed(file, &e))?;
    Ok(input)
}

fn about(file: &Path, input: &mut impl BufRead) -> Result<About, BackupError> {
    let mut line = String::new();
    let read = input.take(ABOUT_MAX).read_line(&mut line);
    read.map_err(|e| io_failed(file, &e))?;
    serde_json::from_str(&line).map_err(|e| damaged(file, &e.to_string()))
}

fn unpack(file: &Path, about: &About, data: &Path) -> Result<(), BackupError> {
    let mut input = skipped(file)?;
    self::about(file, &mut input)?;
    let write = || {
        let body = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
        // One more than there should be tells that there are more.
        let mut body = body.take(about.bytes.saturating_add(1));
        let mut out = BufWriter::with_capacity(CHUNK, new_file(data)?);
        let written = io::copy(&mut body, &mut out)?;
        out.flush()?;
        Ok::<_, io::Error>(written)
    };
    let written = write().map_err(|e| io_failed(data, &e))?;
    if written == about.bytes {
        return Ok(());
    }
    let what = format!(
        "{} bytes of data should be in it, and it has {}",
        about.bytes,
        if written > about.bytes {
            "more"
        } else {
            "fewer"
        }
    );
    Err(damaged(file, &what))
}

/// Makes the database what an open store expects, and looks at every run.
fn prepare(file: &Path, data: &Path) -> Result<Damaged, BackupError> {
    let sql = |error: rusqlite::Error| BackupError::Open(schema::failed(data, &error));
    let conn = schema::connect(Some(data), CHUNK).map_err(sql)?;
    schema::check_version(&conn, data)?;
    conn.pragma_update(None, "journal_mode", "WAL")
        .map_err(sql)?;
    let begun = another_life(&conn).map_err(sql)?;
    begun.ok_or_else(|| damaged(file, "its counters are damaged"))
}

/// Lets every counter leap, drops what nobody may say for this life, and looks at every run; `None`: the counters are
/// damaged.
pub(super) fn another_life(conn: &Connection) -> rusqlite::Result<Option<Damaged>> {
    let Some(counters) = Counters::load(conn)? else {
        return Ok(None);
    };
    leap(counters).store(conn)?;
    inbox::forget_go_on(conn)?;
    look_at_runs(conn).map(Some)
}

fn leap(counters: Counters) -> Counters {
    Counters {
        run: counters.run + LEAP,
        key: counters.key + LEAP,
        inbox: counters.inbox + LEAP,
        registry: counters.registry + LEAP,
        // It is no number that anybody saw.
        shown: counters.shown,
    }
}

fn look_at_runs(conn: &Connection) -> rusqlite::Result<Damaged> {
    let sql = "SELECT tenant, id FROM run UNION ALL SELECT tenant, id FROM archive";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut damaged = Vec::new();
    while let Some(row) = rows.next()? {
        let (tenant, id): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let Some(key) = super::runs::key_of(&tenant, &id) else {
            continue;
        };
        if let Some(what) = journal::damage(conn, &key)? {
            damaged.push((key, what));
        }
    }
    Ok(damaged)
}

fn damaged(file: &Path, what: &str) -> BackupError {
    BackupError::Damaged {
        path: file.to_owned(),
        what: what.to_owned(),
    }
}
