// The exact join: whatever the interleaving of subscribe and publish, the first live message that a
// client sees is its position + 1, and from there nothing is missing or doubled.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { scenarioWith, within } from './harness.mjs';
import { seed, seeded } from './random.mjs';

const connections = 50;

function turns(random, most) {
  return (async () => {
    for (let left = random.below(most + 1); left > 0; left--) await new Promise(setImmediate);
  })();
}

// One interleaving: publications before, during and after the subscribe, at random distances.
async function interleave(client, backend, channel, random) {
  const published = [];
  const burst = async (most) => {
    for (let left = random.below(most + 1); left > 0; left--) {
      published.push(backend.publish(channel, { seed }));
      await turns(random, 3);
    }
  };
  await burst(2);
  const subscribing = client.subscribe(channel);
  if (random.next() < 0.5) {
    await burst(4);
  } else { // without a pause for as long as it takes
    let answered = false;
    subscribing.then(() => { answered = true; }, () => { answered = true; });
    while (!answered) {
      published.push(backend.publish(channel, { seed }));
      await turns(random, 1);
    }
  }
  const { offset: position = 0, epoch } = await subscribing;
  await burst(2);
  published.push(backend.publish(channel, { last: true }));
  const replies = await Promise.all(published);
  const top = Math.max(...replies.map((reply) => reply.offset));
  assert.ok(replies.every((reply) => reply.epoch === epoch), 'one epoch');

  const got = [];
  while ((got.at(-1) ?? position) < top) got.push((await client.publication(channel)).offset);
  const expected = Array.from({ length: top - position }, (_, i) => position + 1 + i);
  assert.deepEqual(got, expected, `${channel}: position ${position}, top ${top}, seed ${seed}`);
  await client.unsubscribe(channel);
  assert.deepEqual(client.pushes, [], 'nothing else came');
  return position;
}

// `channelOf(worker, round)`; several workers may share a channel, then others publish there as well.
async function interleavings(cluster, total, channelOf) {
  let done = 0;
  let joinedLater = 0;
  const worker = async (number) => {
    const random = seeded(`join ${number}`);
    const client = await Client.open(cluster);
    const backend = Backend.open(cluster);
    for (let round = 0; done < total; round++) {
      done++;
      const position = await interleave(client, backend, channelOf(number, round), random);
      if (position > 0) joinedLater++;
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, number) => worker(number)));
  // Both kinds of interleaving happened, or the test would prove nothing.
  assert.ok(joinedLater > 0 && joinedLater < done);
  return done;
}

scenarioWith('7,000 interleavings on fresh addresses', { gateway: { linger_ms: 0 } }, { timeout: 240000 },
  async (cluster) => {
    const done = await interleavings(cluster, 7000, (number, round) => `fresh:${number}-${round}`);
    assert.ok(done >= 7000);
    assert.equal(await cluster.metric('lost_told_total'), 0);
  });

scenarioWith('3,000 interleavings on addresses that come and go', { gateway: { linger_ms: 0 } }, { timeout: 240000 },
  async (cluster) => {
    // Each worker's own few addresses, listened to again and again while they live on.
    await interleavings(cluster, 3000, (number, round) => `again:${number}-${round % 3}`);
    assert.equal(await cluster.metric('lost_told_total'), 0);
  });

scenarioWith('many clients join one busy address', {}, { timeout: 120000 }, async (cluster) => {
  const backend = Backend.open(cluster);
  let publishing = true;
  const flood = (async () => {
    for (let n = 0; publishing; n++) await backend.publish('busy', { n });
  })();
  const random = seeded('busy');
  for (let round = 0; round < 10; round++) {
    const clients = await Promise.all(Array.from({ length: 30 }, () => Client.open(cluster)));
    await Promise.all(clients.map(async (client) => {
      await turns(random, 20);
      const { offset } = await client.subscribe('busy');
      const got = await client.publications('busy', 5);
      assert.deepEqual(got.map((at) => at.offset), [1, 2, 3, 4, 5].map((n) => offset + n), `seed ${seed}`);
    }));
    for (const client of clients) client.cut();
  }
  publishing = false;
  await within(5000, 'the last publication', flood);
});
