//! Promises to those who watch.

use engine::digest::Digest;
use engine::id::{Nonce, Tenant};

use super::sample::{Birth, Sample};
use super::{Broken, Verdict, World, cases, must, same, soon, store};
use crate::port::{News, Subscription, Topic};

cases![
    a_stored_record_is_told,
    a_record_is_stored_before_it_is_told,
    a_refused_record_is_not_told,
    news_reach_those_who_listen_to_their_topic,
    news_reach_everybody_who_listens,
];

/// The next record that is told.
async fn told(listener: &mut Subscription) -> Result<(u64, usize), Broken> {
    match soon("the news", listener.recv()).await? {
        Ok(News::Record {
            record,
            events,
            hash,
        }) => {
            same!(hash, Digest::of(&record.encode()));
            Ok((record.n, events.len()))
        }
        other => Err(Broken(format!("{other:?} is no record"))),
    }
}

async fn a_stored_record_is_told(world: World) -> Verdict {
    let live = &world.backend.live;
    let run = Sample::whole(&Birth::number(1));
    let mut by_run = live.subscribe(Topic::Run(run.key.clone()));
    let mut by_tenant = live.subscribe(Topic::Tenant(Tenant::default()));
    store(&world.backend, &run).await?;
    for n in 1..=3 {
        same!(told(&mut by_run).await?, (n, 1));
        same!(told(&mut by_tenant).await?, (n, 1));
    }
    Ok(())
}

async fn a_record_is_stored_before_it_is_told(world: World) -> Verdict {
    let run = Sample::born(&Birth::number(1));
    let mut listener = world.backend.live.subscribe(Topic::Run(run.key.clone()));
    let (record, events) = run.last();
    let append = world.backend.journal.append(record, events);
    let read = async {
        told(&mut listener).await?;
        Ok::<_, Broken>(world.backend.journal.read(&run.key, 0).await?.len())
    };
    let (appended, read) = futures::join!(append, read);
    appended?;
    same!(read?, 1);
    Ok(())
}

async fn a_refused_record_is_not_told(world: World) -> Verdict {
    let run = Sample::whole(&Birth::number(1));
    let mut listener = world.backend.live.subscribe(Topic::Run(run.key.clone()));
    let (record, events) = run.last();
    let _ = world.backend.journal.append(record, events).await;
    store(&world.backend, &run).await?;
    same!(told(&mut listener).await?, (1, 1));
    Ok(())
}

fn answer(n: u64) -> News {
    let (already, refused) = (false, None);
    News::Answered {
        n,
        already,
        refused,
    }
}

fn topic(number: u8) -> Topic {
    Topic::Command(Nonce([number; 16]))
}

async fn answered(listener: &mut Subscription) -> Result<u64, Broken> {
    match soon("the news", listener.recv()).await? {
        Ok(News::Answered { n, .. }) => Ok(n),
        other => Err(Broken(format!("{other:?} is no answer"))),
    }
}

async fn news_reach_those_who_listen_to_their_topic(world: World) -> Verdict {
    let live = &world.backend.live;
    let (mut first, mut second) = (live.subscribe(topic(1)), live.subscribe(topic(2)));
    live.publish(topic(2), answer(2));
    live.publish(topic(3), answer(3));
    live.publish(topic(1), answer(1));
    same!(answered(&mut first).await?, 1);
    same!(answered(&mut second).await?, 2);
    must!(
        first.is_empty() && second.is_empty(),
        "news of another topic came"
    );
    Ok(())
}

async fn news_reach_everybody_who_listens(world: World) -> Verdict {
    let live = &world.backend.live;
    let mut listeners: Vec<Subscription> = (0..3).map(|_| live.subscribe(topic(1))).collect();
    live.publish(topic(1), answer(5));
    for listener in &mut listeners {
        same!(answered(listener).await?, 5);
    }
    Ok(())
}
