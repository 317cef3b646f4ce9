// A client that stops reading: it is closed as slow (3008) within its bound, nobody else notices.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { delay, patience, scenarioWith, until } from './harness.mjs';
import { seeded } from './random.mjs';

const settings = { gateway: { queue_bytes: 262144, send_buffer_bytes: 16384 } };
const payload = (n) => ({ n, t: 'x'.repeat(10000) });
const numbers = (count) => Array.from({ length: count }, (_, i) => i + 1);

// Publishes numbered messages, twenty at a time, until `enough` says so; the last number.
async function publishUntil(backend, channel, enough) {
  for (let n = 1; n <= 5000; n++) {
    await backend.publish(channel, payload(n));
    if (n % 20 === 0 && (await enough())) return n;
  }
  throw new Error('5000 messages were not enough');
}

scenarioWith('a stalled client is closed with 3008, the others get everything', settings, async (cluster) => {
  const backend = Backend.open(cluster);
  const good = await Promise.all(Array.from({ length: 3 }, () => Client.open(cluster)));
  const got = good.map(() => []);
  for (const client of good) await client.subscribe('slow');
  const stalled = await Client.open(cluster);
  await stalled.subscribe('slow');
  stalled.socket.socket.pause();

  // The good ones keep up: this process is theirs, too, so they read before more is published.
  const count = await publishUntil(backend, 'slow', async () => {
    for (const [i, client] of good.entries()) got[i].push(...(await client.publications('slow', 20)));
    return (await cluster.metric('closed_slow_total')) > 0;
  });
  for (const [i, client] of good.entries()) {
    assert.deepEqual(got[i].map((at) => at.offset), numbers(count));
    assert.ok(!client.socket.isClosed);
  }
  assert.equal(await cluster.metric('closed_slow_total'), 1);

  // What it still reads is in order, without a hole, and then the reason.
  stalled.socket.socket.resume();
  assert.deepEqual(await stalled.closing(), { code: 3008, reason: 'slow' });
  const late = stalled.pushes.map((push) => push.pub.offset);
  assert.deepEqual(late, numbers(late.length));
  assert.ok(late.length < count);
  await until(patience, 'the queue to be given back', async () => (await cluster.metric('bytes_queued')) === 0);
});

scenarioWith('a stalled client that never reads again is evicted', settings, async (cluster) => {
  const backend = Backend.open(cluster);
  const stalled = await Client.open(cluster);
  await stalled.subscribe('dead');
  stalled.socket.socket.pause();
  await publishUntil(backend, 'dead', async () => (await cluster.metric('closed_slow_total')) > 0);
  await until(patience, 'its connection to be gone', async () => (await cluster.metric('connections')) === 0);
});

scenarioWith('a pause that fits into the queue loses nothing, and what was queued goes out by itself', {}, async (cluster) => {
  // Often, because the socket may become writable at any moment of the gateway's own writing.
  const backend = Backend.open(cluster);
  const random = seeded('pause');
  for (let round = 0; round < 30; round++) {
    const client = await Client.open(cluster);
    await client.subscribe(`pause:${round}`);
    client.socket.socket.pause();
    for (let n = 1; n <= 60; n++) await backend.publish(`pause:${round}`, payload(n));
    await delay(random.below(100));
    client.socket.socket.resume();
    const got = await client.publications(`pause:${round}`, 60);
    assert.deepEqual(got.map((at) => at.data.n), numbers(60));
    client.cut();
  }
  assert.equal(await cluster.metric('closed_slow_total'), 0);
});
