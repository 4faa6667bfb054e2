//! Promises of the inbox.

use engine::id::{Nonce, Shard};

use super::sample::{Birth, Sample};
use super::{Verdict, World, cases, must, same, soon};
use crate::port::Message;
use crate::{Backend, Error};

cases![
    messages_come_in_order,
    messages_come_in_parts,
    a_message_comes_to_its_shard,
    a_message_sent_twice_comes_once,
    a_settled_message_comes_no_more,
    settling_settles_no_other,
    a_new_owner_begins_at_the_first_unsettled,
    a_message_wakes_who_waits,
    a_sequence_is_never_used_twice,
    messages_survive_a_restart,
    settling_survives_a_restart,
];

const SHARD: Shard = Shard(0);

fn message(number: u8) -> Message {
    Message {
        id: Nonce([number; 16]),
        key: Sample::born(&Birth::number(1)).key,
        body: vec![number; 3],
    }
}

async fn send(backend: &Backend, numbers: &[u8]) -> Result<(), Error> {
    for number in numbers {
        backend.inbox.send(SHARD, &message(*number)).await?;
    }
    Ok(())
}

async fn receive(backend: &Backend, after: u64) -> Result<Vec<(u64, Message)>, super::Broken> {
    let received = backend.inbox.receive(SHARD, after, 100);
    Ok(soon("a message", received).await??)
}

fn messages(received: &[(u64, Message)]) -> Vec<Message> {
    received
        .iter()
        .map(|(_, message)| message.clone())
        .collect()
}

async fn messages_come_in_order(world: World) -> Verdict {
    send(&world.backend, &[3, 1, 2]).await?;
    let received = receive(&world.backend, 0).await?;
    same!(messages(&received), [message(3), message(1), message(2)]);
    must!(
        received.is_sorted_by(|a, b| a.0 < b.0),
        "sequences do not rise: {received:?}"
    );
    let later = receive(&world.backend, received[0].0).await?;
    same!(later, received[1..]);
    Ok(())
}

async fn messages_come_in_parts(world: World) -> Verdict {
    send(&world.backend, &[1, 2, 3]).await?;
    let part = soon("a part", world.backend.inbox.receive(SHARD, 0, 2)).await??;
    same!(messages(&part), [message(1), message(2)]);
    Ok(())
}

async fn a_message_comes_to_its_shard(world: World) -> Verdict {
    send(&world.backend, &[1]).await?;
    world.backend.inbox.send(Shard(1), &message(2)).await?;
    same!(messages(&receive(&world.backend, 0).await?), [message(1)]);
    let other = soon("a message", world.backend.inbox.receive(Shard(1), 0, 9)).await??;
    same!(messages(&other), [message(2)]);
    Ok(())
}

async fn a_message_sent_twice_comes_once(world: World) -> Verdict {
    send(&world.backend, &[1, 1, 2, 1]).await?;
    same!(
        messages(&receive(&world.backend, 0).await?),
        [message(1), message(2)]
    );
    Ok(())
}

async fn a_settled_message_comes_no_more(world: World) -> Verdict {
    send(&world.backend, &[1, 2]).await?;
    let received = receive(&world.backend, 0).await?;
    world.backend.inbox.settle(SHARD, &[received[0].0]).await?;
    same!(receive(&world.backend, 0).await?, received[1..]);
    Ok(())
}

async fn settling_settles_no_other(world: World) -> Verdict {
    send(&world.backend, &[1, 2, 3]).await?;
    let received = receive(&world.backend, 0).await?;
    let inbox = &world.backend.inbox;
    inbox.settle(SHARD, &[received[1].0]).await?;
    // Another shard's owner cannot settle it, and settling twice is harmless.
    inbox.settle(Shard(1), &[received[0].0]).await?;
    inbox.settle(SHARD, &[received[1].0]).await?;
    same!(
        messages(&receive(&world.backend, 0).await?),
        [message(1), message(3)]
    );
    Ok(())
}

async fn a_new_owner_begins_at_the_first_unsettled(world: World) -> Verdict {
    send(&world.backend, &[1, 2]).await?;
    let received = receive(&world.backend, 0).await?;
    receive(&world.backend, 0).await?;
    same!(receive(&world.backend, 0).await?, received);
    Ok(())
}

async fn a_message_wakes_who_waits(world: World) -> Verdict {
    send(&world.backend, &[1]).await?;
    let last = receive(&world.backend, 0).await?[0].0;
    let mut waits = Box::pin(world.backend.inbox.receive(SHARD, last, 10));
    must!(futures::poll!(&mut waits).is_pending(), "it did not wait");
    send(&world.backend, &[2]).await?;
    same!(messages(&soon("the message", waits).await??), [message(2)]);
    Ok(())
}

async fn a_sequence_is_never_used_twice(mut world: World) -> Verdict {
    send(&world.backend, &[1]).await?;
    let first = receive(&world.backend, 0).await?[0].0;
    world.backend.inbox.settle(SHARD, &[first]).await?;
    world.restart().await;
    send(&world.backend, &[2]).await?;
    same!(
        messages(&receive(&world.backend, first).await?),
        [message(2)]
    );
    Ok(())
}

async fn messages_survive_a_restart(mut world: World) -> Verdict {
    send(&world.backend, &[1, 2]).await?;
    let before = receive(&world.backend, 0).await?;
    world.restart().await;
    same!(receive(&world.backend, 0).await?, before);
    send(&world.backend, &[1]).await?;
    same!(receive(&world.backend, 0).await?, before);
    Ok(())
}

async fn settling_survives_a_restart(mut world: World) -> Verdict {
    send(&world.backend, &[1, 2]).await?;
    let before = receive(&world.backend, 0).await?;
    world.backend.inbox.settle(SHARD, &[before[0].0]).await?;
    world.restart().await;
    same!(receive(&world.backend, 0).await?, before[1..]);
    Ok(())
}
