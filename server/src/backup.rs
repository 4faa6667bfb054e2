//! `mirastack backup` and `mirastack restore`.

use std::path::Path;

use anyhow::Context;
use engine::id::Shard;
use engine::registry::INCARNATION;
use store::Backend;
use store::clock::{Clock, ProcessClock};
use store::embedded::{About, Options, Restoring, back_up};

use crate::args::{BackUp, Restore};
use crate::config::ROOT_KEY;
use crate::log::Form;
use crate::{dev, log};

pub(crate) fn make(args: &BackUp) -> anyhow::Result<()> {
    let dir = dev::data_folder(args.data.as_deref())?;
    let about = back_up(&dir, &args.file, ProcessClock::start().now())?;
    log::say(&format!("{}: {}", args.file.display(), shown(&about)));
    log::tell(
        Form::Text,
        "root.key and bootstrap.json are not in it, for whoever has them has everything: keep them elsewhere. \
         Without the root key no secret in this backup can be read. The folders of the agents are not in it either.",
    );
    Ok(())
}

fn shown(about: &About) -> String {
    let mib = about.bytes.div_ceil(1024 * 1024);
    format!("the data as of {}, {mib} MiB unpacked", about.made_at)
}

pub(crate) fn restore(args: &Restore) -> anyhow::Result<()> {
    let dir = dev::data_folder(args.data.as_deref())?;
    let restoring = Restoring::begin(&args.file, &dir, Options::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no threads")?;
    let parked = match runtime.block_on(begin_life(&restoring)) {
        Ok(parked) => parked,
        Err(error) => {
            restoring.undo();
            return Err(error);
        }
    };
    let (about, damaged) = (restoring.about.clone(), restoring.damaged.clone());
    restoring.end()?;
    log::say(&format!("{}: {}", dir.display(), shown(&about)));
    for (key, what) in damaged {
        let told = format!("run {} was damaged before the backup: {what}", key.run);
        log::tell(Form::Text, &told);
    }
    log::tell(Form::Text, &next(&dir, parked));
    Ok(())
}

/// A new name for this life, and no run that goes on by itself.
async fn begin_life(restoring: &Restoring) -> anyhow::Result<usize> {
    let shards: Vec<Shard> = (0..dev::SHARDS).map(Shard).collect();
    let made_at = restoring.about.made_at;
    let begun = scheduler::begin_life(&restoring.backend, &shards, made_at).await;
    begun.context("the open runs could not be parked")
}

/// The name of this life, empty in the first.
pub(crate) async fn life(backend: &Backend) -> anyhow::Result<String> {
    let item = backend.registry.get(INCARNATION).await?;
    let name = item.map(|item| String::from_utf8(item.value)).transpose();
    Ok(name
        .context("the name of this life of the data")?
        .unwrap_or_default())
}

fn next(dir: &Path, parked: usize) -> String {
    let key = if dir.join("root.key").exists() || std::env::var_os(ROOT_KEY).is_some() {
        String::new()
    } else {
        format!(
            "Put root.key into {} before you start: it was not in the backup.\n",
            dir.display()
        )
    };
    format!(
        "{key}Nothing else may still run on the data that was backed up. Runs and changes of after the backup are not \
         known here; tokens of before have ended; API keys and rights are as they were then: revoke again what was \
         revoked since.\n{parked} open runs are parked. A change that may have been made since is looked up or put to \
         you before it is made. Let them go on with\n\n  \
         miractl run list --status parked\n  miractl run resume RUN"
    )
}
