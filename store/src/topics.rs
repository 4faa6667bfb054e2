//! News for those who listen right now, in this process.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::digest::Digest;
use engine::event::Event;
use engine::id::RunKey;
use engine::record::Record;
use tokio::sync::broadcast;

use crate::lock;
use crate::port::{Live, News, Subscription, Topic};

/// News that a slow listener may be behind; over it, it misses the oldest. There is room for all of them from the start,
/// so where many listen, each to a run of its own, there are few.
fn kept(topic: &Topic) -> usize {
    match topic {
        Topic::Tenant(_) => 256,
        Topic::Run(_) => 32,
        Topic::Command(_) => 2,
    }
}

/// A channel for each topic that somebody listens to.
#[derive(Default)]
pub(crate) struct Topics {
    channels: Mutex<Channels>,
    /// How many there are, to be asked without the lock.
    count: AtomicUsize,
}

#[derive(Default)]
struct Channels {
    open: HashMap<Topic, broadcast::Sender<News>>,
    /// At this many, those that nobody listens to are dropped.
    prune_at: usize,
}

impl Live for Topics {
    fn publish(&self, topic: Topic, news: News) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut channels = lock(&self.channels);
        let Some(channel) = channels.open.get(&topic) else {
            return;
        };
        if channel.send(news).is_err() {
            channels.open.remove(&topic);
            self.count.store(channels.open.len(), Ordering::Release);
        }
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        let mut channels = lock(&self.channels);
        if channels.open.len() >= channels.prune_at {
            channels
                .open
                .retain(|_, channel| channel.receiver_count() > 0);
            channels.prune_at = 2 * channels.open.len() + 64;
        }
        let room = kept(&topic);
        let new = || broadcast::channel(room).0;
        let subscription = channels.open.entry(topic).or_insert_with(new).subscribe();
        self.count.store(channels.open.len(), Ordering::Release);
        subscription
    }
}

impl Topics {
    /// What is told of a record, if somebody listens to it now.
    pub(crate) fn wanted(&self, record: &Record, events: &[Event], hash: Digest) -> Option<News> {
        let wanted = !self.listened(&record.key).is_empty();
        wanted.then(|| News::Record {
            record: record.clone().into(),
            events: events.into(),
            hash,
        })
    }

    /// Tells of a record that was stored. For those who came meanwhile, when nobody `wanted` it before, it is read from
    /// its bytes.
    pub(crate) fn tell(&self, key: &RunKey, bytes: &[u8], hash: Digest, wanted: Option<News>) {
        let listened = self.listened(key);
        if listened.is_empty() {
            return;
        }
        let Some(news) = wanted.or_else(|| read(bytes, hash)) else {
            return;
        };
        for topic in listened {
            self.publish(topic, news.clone());
        }
    }

    /// The topics of a record that somebody listens to.
    fn listened(&self, key: &RunKey) -> Vec<Topic> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let topics = [Topic::Run(key.clone()), Topic::Tenant(key.tenant.clone())];
        let channels = lock(&self.channels);
        let mut listened = Vec::from(topics);
        listened.retain(|topic| channels.open.contains_key(topic));
        listened
    }
}

fn read(bytes: &[u8], hash: Digest) -> Option<News> {
    let record = Record::decode(bytes).ok()?;
    let events = record.events().ok()?.into();
    Some(News::Record {
        record: record.into(),
        events,
        hash,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::id::{Nonce, RunId, Shard, Tenant};
    use engine::time::Timestamp;

    fn answer() -> News {
        let (n, already, refused) = (1, false, None);
        News::Answered {
            n,
            already,
            refused,
        }
    }

    #[test]
    fn topics_that_nobody_listens_to_are_dropped() {
        let live = Topics::default();
        for i in 0..10_000_u128 {
            drop(live.subscribe(Topic::Command(Nonce(i.to_be_bytes()))));
        }
        assert!(live.count.load(Ordering::Relaxed) <= 64);
        let topic = Topic::Command(Nonce([9; 16]));
        let listener = live.subscribe(topic.clone());
        live.publish(topic.clone(), answer());
        assert_eq!(listener.len(), 1);
        drop(listener);
        let before = live.count.load(Ordering::Relaxed);
        live.publish(topic, answer());
        assert_eq!(live.count.load(Ordering::Relaxed), before - 1);
    }

    #[test]
    fn a_slow_listener_loses_the_oldest_and_holds_nobody_up() {
        let live = Topics::default();
        let topic = Topic::Run(RunKey {
            tenant: Tenant::default(),
            run: RunId::new(Timestamp::from_millis(1), Shard(0), 1),
        });
        let mut listener = live.subscribe(topic.clone());
        for _ in 0..kept(&topic) + 10 {
            live.publish(topic.clone(), answer());
        }
        let lagged = listener.try_recv().expect_err("it lost some");
        assert_eq!(lagged, broadcast::error::TryRecvError::Lagged(10));
    }
}
