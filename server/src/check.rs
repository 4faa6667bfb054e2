//! `mirastack check`: whether the servers and the settings are as they must be. A role looks at the same when it starts.

use anyhow::bail;
use store::cluster::broker::Role;
use store::cluster::{self, Finding, Verdict};

use crate::args::Check;
use crate::safety::Exposed;
use crate::settings::Servers;
use crate::{log, roles};

pub(crate) fn run(args: &Check) -> anyhow::Result<()> {
    let dev = &args.dev;
    let mut all = Exposed::of(&dev.place)
        .servers(&args.servers)
        .web(&dev.web, &dev.tls)
        .agents(&dev.agents, &dev.tls)
        .judged();
    let role = role(&args.servers);
    if role != Role::Scheduler
        && let Err(missing) = roles::root_key(&dev.place)
    {
        all.push(Finding::of(
            "root_key",
            false,
            "no key that can be used",
            &format!("{missing:#}"),
        ));
    }
    let options = roles::options(&args.servers, role, None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    all.extend(runtime.block_on(cluster::check(&options)));
    for finding in &all {
        log::say(&line(finding));
    }
    let is_unsafe = |finding: &&Finding| matches!(finding.verdict, Verdict::Unsafe(_));
    match all.iter().filter(is_unsafe).count() {
        0 => {
            log::say(&format!("{} looked at, nothing is unsafe", all.len()));
            Ok(())
        }
        bad => bail!(
            "{bad} of {} are unsafe: no role starts like this",
            all.len()
        ),
    }
}

/// As whom it looks: the user says that.
fn role(servers: &Servers) -> Role {
    let user = servers.nats.first().and_then(|url| {
        let (_, rest) = url.split_once("://")?;
        let (user, _) = rest.rsplit_once('@')?.0.split_once(':')?;
        Some(user.to_owned())
    });
    match user.as_deref() {
        Some("gateway") => Role::Gateway,
        Some("worker") => Role::Worker,
        _ => Role::Scheduler,
    }
}

fn line(finding: &Finding) -> String {
    let Finding { name, is, verdict } = finding;
    match verdict {
        Verdict::Good => format!("good    {name:<20} {is}"),
        Verdict::Weak(mend) => format!("weak    {name:<20} {is}\n        → {mend}"),
        Verdict::Unsafe(mend) => format!("UNSAFE  {name:<20} {is}\n        → {mend}"),
    }
}
