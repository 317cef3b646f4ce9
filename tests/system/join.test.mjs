// The exact join: whatever the interleaving of subscribe and publish, the first live message that a
// client sees is its position + 1, and from there nothing is missing or doubled.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { patience, scenarioWith, skipLarge, within } from './harness.mjs';
import { seed, seeded } from './random.mjs';

const connections = 50;

function turns(random, most) {
  return (async () => {
    for (let left = random.below(most + 1); left > 0; left--) await new Promise(setImmediate);
  })();
}

// What is published while a client subscribes, besides what comes after it.
const kinds = {
  nothing: async () => {},
  acknowledged: async (publish) => { await publish(); }, // before the subscribe is sent
  some: async (publish, random) => {
    for (let left = random.below(5); left > 0; left--) {
      publish();
      await turns(random, 3);
    }
  },
  incessant: async (publish, random, isAnswered) => {
    while (!isAnswered()) {
      publish();
      await turns(random, 1);
    }
  },
};

// One interleaving: publications before, during and after the subscribe, at random distances.
async function interleave(client, backend, channel, kind, random) {
  const published = [];
  const publish = () => {
    published.push(backend.publish(channel, { seed }));
    return published.at(-1);
  };
  if (kind === 'acknowledged') await kinds.acknowledged(publish);
  else if (kind !== 'nothing') await kinds.some(publish, random);
  const subscribing = client.subscribe(channel);
  let answered = false;
  subscribing.then(() => { answered = true; }, () => { answered = true; });
  await kinds[kind](publish, random, () => answered);
  const { offset: position = 0, epoch } = await subscribing;
  await kinds.some(publish, random);
  publish();
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
  const kindOf = (number, round, random) => { // the first two rounds: joined at once, joined later
    if (round < 2) return ['nothing', 'acknowledged'][round];
    return Object.keys(kinds)[random.below(4)];
  };
  const worker = async (number) => {
    const random = seeded(`join ${number}`);
    const client = await Client.open(cluster);
    const backend = Backend.open(cluster);
    for (let round = 0; done < total; round++) {
      done++;
      const position = await interleave(client, backend, channelOf(number, round), kindOf(number, round, random),
        random);
      if (position > 0) joinedLater++;
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, number) => worker(number)));
  // Both kinds of interleaving happened, or the test would prove nothing.
  assert.ok(joinedLater > 0 && joinedLater < done);
  return done;
}

const [fresh, again] = skipLarge ? [2000, 1000] : [7000, 3000];

scenarioWith(`${fresh} interleavings on fresh addresses`, { gateway: { linger_ms: 0 } }, { timeout: 240000 },
  async (cluster) => {
    const done = await interleavings(cluster, fresh, (number, round) => `fresh:${number}-${round}`);
    assert.ok(done >= fresh);
    assert.equal(await cluster.metric('lost_told_total'), 0);
  });

scenarioWith(`${again} interleavings on addresses that come and go`, { gateway: { linger_ms: 0 } }, { timeout: 240000 },
  async (cluster) => {
    // Each worker's own few addresses, listened to again and again while they live on.
    await interleavings(cluster, again, (number, round) => `again:${number}-${round % 3}`);
    assert.equal(await cluster.metric('lost_told_total'), 0);
  });

scenarioWith('many clients join one busy address', {}, { timeout: 240000 }, async (cluster) => {
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
  await within(patience, 'the last publication', flood);
});
