// Clients that stop reading channels with slow_reader = latest or drop_oldest: they stay, get the newest
// message, and are told how many they missed; nobody else notices. And what waits for too long.
import assert from 'node:assert/strict';
import { createClient } from '@millrace/client';
import WebSocket from 'ws';
import { Backend } from './backend.mjs';
import { Client, sdkClient, sdkSubscription } from './client.mjs';
import { streamClient } from './fallback.mjs';
import { atEnd, Child, patience, programs, scenarioWith, until } from './harness.mjs';

const settings = (gateway = {}) => ({
  gateway: { queue_bytes: 262144, send_buffer_bytes: 16384, ...gateway },
  'channel "newest"': { slow_reader: 'latest' },
  'channel "recent"': { slow_reader: 'drop_oldest' },
});
const byTime = settings({ queue_ms: 400, queue_bytes: 67108864 });
const policies = [['latest', 'newest'], ['drop_oldest', 'recent']];
const ways = [
  ['WebSocket', (cluster) => Client.open(cluster)],
  ['http_stream', (cluster) => streamClient(cluster)],
  ['sse', (cluster) => streamClient(cluster, { form: 'sse', method: 'GET' })],
];
const payload = (n, bytes = 10000) => ({ n, t: 'x'.repeat(bytes) });
const numbers = (count) => Array.from({ length: count }, (_, i) => i + 1);

// A backend, and a client that always reads.
async function start(cluster, channel, bytes) {
  const backend = Backend.open(cluster);
  const good = await Client.open(cluster);
  await good.subscribe(channel);
  let count = 0;
  const publish = async (more) => {
    for (const end = count + more; count < end; ) await backend.publish(channel, payload(++count, bytes));
    // This process is both of them: what is published next must find it reading.
    await until(patience, 'the good client to have them', () => good.pushes.length >= count);
    return count;
  };
  return {
    backend, good, publish,
    // Twenty at a time, until `enough` says so; the last number.
    publishUntil: (what, enough) => until(patience, what, async () => {
      await publish(20);
      return (await enough()) && count;
    }),
    others: () => assert.deepEqual(good.pushes.map((push) => push.pub.offset), numbers(count)),
  };
}

const missedBefore = (publication) => Number(publication.tags?.missed ?? 0);

// What was heard and what was told to be missing is all there was, in order.
function account(publications, count) {
  let offset = 0;
  let missed = 0;
  for (const publication of publications) {
    assert.equal(publication.offset, offset + 1 + missedBefore(publication), 'a hole that nobody told');
    if (publication.data) assert.equal(publication.data.n, publication.offset);
    offset = publication.offset;
    missed += missedBefore(publication);
  }
  assert.equal(offset, count, 'the newest one came');
  return missed;
}

const lastOffset = (client) => client.pushes.at(-1)?.pub.offset;

async function nothingWaits(cluster) {
  for (const name of ['bytes_queued', 'lagging', 'queue_oldest_ms']) {
    await until(patience, `${name} to be 0`, async () => (await cluster.metric(name)) === 0);
  }
}

for (const [way, open] of ways) {
  for (const [policy, channel] of policies) {
    scenarioWith(`${policy}, ${way}: who stalls is told how many are missing, and has the newest`, settings(), async (cluster) => {
      const { publish, publishUntil, others } = await start(cluster, channel);
      const stalled = await open(cluster);
      await stalled.subscribe(channel);
      stalled.socket.socket.pause();
      await publishUntil('many to be left out', async () => (await cluster.metric(`dropped_${policy.replace('drop_', '')}_total`)) > 100);
      assert.equal(await cluster.metric('lagging'), 1);
      assert.ok((await cluster.metric('bytes_queued')) <= 262144);
      stalled.socket.socket.resume();
      const count = await publish(1);
      await until(patience, 'the newest one', () => lastOffset(stalled) === count);
      const missed = account(stalled.pushes.map((push) => push.pub), count);
      assert.ok(missed > 100);
      assert.equal(missed, await cluster.metric(`dropped_${policy.replace('drop_', '')}_total`));
      others();
      assert.equal(await cluster.metric('closed_slow_total'), 0);
      await nothingWaits(cluster);
      // The connection is as good as ever.
      await publish(3);
      await until(patience, 'three more', () => lastOffset(stalled) === count + 3);
      assert.equal(account(stalled.pushes.map((push) => push.pub), count + 3), missed);
    });

    scenarioWith(`${policy}, ${way}: what has waited too long goes`, byTime, async (cluster) => {
      const { publish, publishUntil, others } = await start(cluster, channel);
      const stalled = await open(cluster);
      await stalled.subscribe(channel);
      stalled.socket.socket.pause();
      await publishUntil('some to be left out', async () => {
        return (await cluster.metric(`dropped_${policy.replace('drop_', '')}_total`)) >= 8;
      });
      stalled.socket.socket.resume();
      const count = await publish(1);
      await until(patience, 'the newest one', () => lastOffset(stalled) === count);
      assert.ok(account(stalled.pushes.map((push) => push.pub), count) >= 8);
      others();
      assert.equal(await cluster.metric('closed_slow_total'), 0);
      await nothingWaits(cluster);
    });
  }

  scenarioWith(`disconnect, ${way}: something that waits too long ends the connection`, byTime, async (cluster) => {
    const { publishUntil, others } = await start(cluster, 'all');
    const stalled = await open(cluster);
    await stalled.subscribe('all');
    stalled.socket.socket.pause();
    await publishUntil('it to be closed', async () => (await cluster.metric('closed_slow_late_total')) === 1);
    assert.equal(await cluster.metric('closed_slow_total'), 1);
    stalled.socket.socket.resume();
    const { code } = await stalled.closing();
    assert.ok(code === 3008 || (way !== 'WebSocket' && code === 1006), `${code}`);
    const late = stalled.pushes.map((push) => push.pub.offset);
    assert.deepEqual(late, numbers(late.length));
    others();
    await nothingWaits(cluster);
  });
}

scenarioWith('a slow client is cut off for the channel that wants all, whatever the others want', settings(), async (cluster) => {
  const { backend, publishUntil, others } = await start(cluster, 'all');
  const stalled = await Client.open(cluster);
  await stalled.subscribe('all');
  await stalled.subscribe('newest');
  stalled.socket.socket.pause();
  for (let n = 1; n <= 20; n++) await backend.publish('newest', payload(n));
  await publishUntil('it to be closed', async () => (await cluster.metric('closed_slow_total')) === 1);
  stalled.socket.socket.resume();
  assert.deepEqual(await stalled.closing(), { code: 3008, reason: 'slow' });
  others();
});

// --- programs ---

// A WebSocket class whose last instance can be stopped from reading.
function pausable() {
  return class extends WebSocket {
    static last;

    constructor(...values) {
      super(...values);
      this.constructor.last = this;
    }
  };
}

scenarioWith('@millrace/client tells onMissed, and its position goes on behind it', settings(), async (cluster) => {
  const { publish, publishUntil } = await start(cluster, 'newest');
  const Socket = pausable();
  const client = createClient({ url: cluster.url, websocket: Socket, minReconnectDelay: 20, maxReconnectDelay: 200 });
  atEnd(() => client.close());
  const seen = [];
  const synced = [];
  let missed = 0;
  client.subscribe({ name: 'newest' }, ({ payload: { n } }, channel, { offset }) => {
    seen.push({ offset, data: { n }, tags: missed > 0 ? { missed: `${missed}` } : undefined });
    missed = 0;
  }, {
    onMissed: (count) => (missed += count),
    onSubscribed: (id, isSynced) => synced.push(isSynced),
  });
  await until(patience, 'the subscription', () => synced.length === 1);
  Socket.last.pause();
  await publishUntil('many to be left out', async () => (await cluster.metric('dropped_latest_total')) > 100);
  Socket.last.resume();
  let count = await publish(1);
  await until(patience, 'the newest one', () => seen.at(-1)?.offset === count);
  const told = account(seen, count);
  assert.equal(told, await cluster.metric('dropped_latest_total'));

  // What was told is over: nothing of it is asked for again.
  Socket.last.terminate();
  await until(patience, 'the connection to be back', () => synced.length === 2);
  count = await publish(1);
  await until(patience, 'the newest one', () => seen.at(-1)?.offset === count);
  assert.deepEqual(synced, [false, true]);
  assert.equal(account(seen, count), told);
});

// Few and small enough for a recovery.
scenarioWith('what was left out and not told is recovered after a reconnect', settings({ queue_bytes: 65536 }), async (cluster) => {
  const { publish, publishUntil } = await start(cluster, 'newest', 1500);
  const Socket = pausable();
  const client = sdkClient(cluster, '5.8.0', { websocket: Socket });
  const subscription = sdkSubscription(client, 'newest', { recoverable: true, positioned: true });
  subscription.subscribe();
  client.connect();
  await subscription.expect('subscribed');
  Socket.last.pause();
  await publishUntil('some to be left out', async () => (await cluster.metric('dropped_latest_total')) > 0);
  Socket.last.terminate();
  await subscription.expect('subscribed', ({ recovered }) => recovered);
  const count = await publish(1);
  await subscription.expect('publication', ({ offset }) => offset === count);
  const offsets = subscription.seen.filter(({ event }) => event === 'publication').map(({ context }) => context);
  assert.ok(offsets.every(({ tags }) => !tags?.missed));
  assert.deepEqual(offsets.map(({ offset }) => offset), numbers(count - 1));
});

scenarioWith('the stock SDK passes on what is told', settings(), async (cluster) => {
  const { publish, publishUntil } = await start(cluster, 'recent');
  const Socket = pausable();
  const client = sdkClient(cluster, '5.7.1', { websocket: Socket });
  const subscription = sdkSubscription(client, 'recent', { recoverable: true, positioned: true });
  const seen = [];
  subscription.on('publication', (publication) => seen.push(publication));
  subscription.subscribe();
  client.connect();
  await subscription.expect('subscribed');
  Socket.last.pause();
  await publishUntil('some to be left out', async () => (await cluster.metric('dropped_oldest_total')) > 20);
  Socket.last.resume();
  const count = await publish(1);
  await until(patience, 'the newest one', () => seen.at(-1)?.offset === count);
  assert.ok(account(seen, count) > 20);
});

scenarioWith('millrace subscribe says what it missed', settings(), async (cluster) => {
  const { publish, publishUntil } = await start(cluster, 'newest');
  const child = new Child('subscribe', programs.cli, ['subscribe', 'newest', '--json', '--config', cluster.file]);
  await child.line('stdout', (line) => line.includes('"subscribed"'));
  child.signal('SIGSTOP');
  await publishUntil('many to be left out', async () => (await cluster.metric('dropped_latest_total')) > 100);
  child.signal('SIGCONT');
  const count = await publish(1);
  await child.line('stdout', (line) => line.startsWith('{"type":"message"') && JSON.parse(line).offset === count);
  const lines = child.stdout.map((line) => JSON.parse(line));
  assert.equal(lines.filter(({ type }) => type === 'hole').length, 0);
  const missed = lines.filter(({ type }) => type === 'missed').reduce((sum, line) => sum + line.count, 0);
  assert.equal(missed, await cluster.metric('dropped_latest_total'));
  assert.equal(lines.filter(({ type }) => type === 'message').length + missed, count);
  assert.equal((await child.stop('SIGINT')).code, 0);
});
