//! News that break a promise.

use std::sync::Arc;

use async_trait::async_trait;
use engine::event::Event;
use engine::id::{Nonce, RunKey, Shard};
use engine::record::Encoded;

use super::{Seen, defects};
use crate::port::{Entry, Journal, Live, NewRun, News, OpenRuns, Subscription, Topic};
use crate::{Backend, Error};

defects![
    a_stored_record_is_told: TellsNoRecords,
    a_record_is_stored_before_it_is_told: TellsBeforeItStores,
    a_refused_record_is_not_told: TellsWhatIsRefused,
    news_reach_those_who_listen_to_their_topic: KnowsOneTopic,
    news_reach_everybody_who_listens: TellsOneListener,
];

struct Wrapper {
    inner: Backend,
    how: How,
    listening: Seen<()>,
}

fn wrap(backend: Backend, how: How) -> Backend {
    let wrapper = Arc::new(Wrapper {
        inner: backend.clone(),
        how,
        listening: Seen::new(),
    });
    let (journal, live) = (Arc::<Wrapper>::clone(&wrapper), wrapper);
    Backend {
        journal,
        live,
        ..backend
    }
}

fn nowhere() -> Topic {
    Topic::Command(Nonce([255; 16]))
}

impl Live for Wrapper {
    fn publish(&self, topic: Topic, news: News) {
        let one = self.how == How::KnowsOneTopic;
        self.inner
            .live
            .publish(if one { nowhere() } else { topic }, news);
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        let first = self.listening.add(());
        let elsewhere = match self.how {
            How::KnowsOneTopic => true,
            How::TellsOneListener => !first,
            How::TellsNoRecords => !matches!(topic, Topic::Command(_)),
            How::TellsBeforeItStores | How::TellsWhatIsRefused => false,
        };
        self.inner
            .live
            .subscribe(if elsewhere { nowhere() } else { topic })
    }
}

impl Wrapper {
    fn tell(&self, record: &Encoded, events: &[Event]) {
        let news = News::Record {
            record: record.clone().into_record().into(),
            events: events.into(),
            hash: record.hash(),
        };
        self.inner
            .live
            .publish(Topic::Run(record.key.clone()), news);
    }
}

#[async_trait]
impl Journal for Wrapper {
    async fn append(&self, record: &Encoded, events: &[Event]) -> Result<(), Error> {
        if self.how == How::TellsBeforeItStores {
            self.tell(record, events);
            tokio::task::yield_now().await;
        }
        let outcome = self.inner.journal.append(record, events).await;
        if outcome.is_err() && self.how == How::TellsWhatIsRefused {
            self.tell(record, events);
        }
        outcome
    }

    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error> {
        self.inner.journal.read(key, after).await
    }

    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error> {
        self.inner.journal.open_runs(shard).await
    }

    async fn new_runs(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<NewRun>, Error> {
        self.inner.journal.new_runs(shard, sequence, max).await
    }
}
