// A broker that is told to stop finishes what it has accepted, tells everybody else to ask the next one, and
// ends in time, whatever hangs.
import assert from 'node:assert/strict';
import { encode } from '@msgpack/msgpack';
import { Dealer } from 'zeromq';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { hang } from './hung.mjs';
import { atEnd, delay, patience, scenarioWith, until, within } from './harness.mjs';
import { kinds } from './packages.mjs';

const MOST = 300; // in one history

// Publishes {n} to a channel of its own, `width` at a time, until the broker is no more: what became of each.
function pump(cluster, channel, width) {
  const backend = Backend.open(cluster);
  const ends = new Map();
  let sent = 0;
  const one = async () => {
    while (sent < MOST && !cluster.broker.end) {
      const n = ++sent;
      const request = backend.request('publish', { channel, payload: { n } });
      request.catch(() => {});
      const reply = await Promise.race([request, cluster.broker.exited.then(() => delay(100))]);
      ends.set(n, reply ?? 'unknown');
      if (!reply?.ok) return;
    }
  };
  const done = Promise.all(Array.from({ length: width }, one));
  return { channel, ends, done, acknowledged: () => [...ends].filter(([, end]) => end.ok).length };
}

async function stored(cluster, channel) {
  const { publications } = await Backend.open(cluster).request('history', { channel, limit: MOST });
  return new Map(publications.map(({ offset, payload }) => [payload.n, offset]));
}

scenarioWith('SIGTERM under load: what is acknowledged is stored, what is delivered is stored, what is refused is not', {},
  async (cluster) => {
    const reader = await Client.open(cluster);
    const channels = ['a', 'b', 'c', 'd'];
    for (const channel of channels) await reader.subscribe(channel);
    const delivered = new Map(channels.map((channel) => [channel, []]));
    const pumps = channels.map((channel) => pump(cluster, channel, 8));
    await until(patience, 'publications', () => pumps.every((at) => at.acknowledged() > 10));
    const began = performance.now();
    cluster.broker.signal('SIGTERM');
    assert.deepEqual(await cluster.broker.exited, { code: 0, signal: null });
    assert.ok(performance.now() - began < 10000);
    assert.equal((await cluster.broker.event('stopped')).settled, true);
    await Promise.all(pumps.map((at) => at.done));
    await cluster.startBroker();

    for (const push of reader.pushes) if (push.pub) delivered.get(push.channel).push(push.pub);
    let refused = 0;
    for (const { channel, ends } of pumps) {
      const kept = await stored(cluster, channel);
      for (const [n, end] of ends) {
        if (end.ok) assert.equal(kept.get(n), end.offset, `${channel} ${n} was acknowledged`);
        else if (end !== 'unknown') {
          assert.deepEqual([end.error.status, end.error.code], [503, 'stopping']);
          assert.ok(!kept.has(n), `${channel} ${n} was refused`);
          refused++;
        }
      }
      for (const { data, offset } of delivered.get(channel)) assert.equal(kept.get(data.n), offset, `${channel} ${data.n} was delivered`);
    }
    assert.ok(refused > 0, 'those who asked too late were told');
  });

// Asks for much and never reads an answer.
async function deafBackend(cluster) {
  const socket = new Dealer({ linger: 0, receiveHighWaterMark: 1 });
  socket.connect(cluster.endpoint);
  atEnd(() => socket.close());
  for (let id = 1; id <= 2000; id++) await socket.send(encode({ op: 'history', id, channel: 'much', limit: MOST }));
}

scenarioWith('SIGTERM while a gateway and a backend hang: in time, with status 0', {}, async (cluster) => {
  const backend = Backend.open(cluster);
  for (let n = 1; n <= MOST; n++) await backend.publish('much', { n, text: 'x'.repeat(1000) });
  await deafBackend(cluster);
  cluster.gateway.signal('SIGSTOP');
  atEnd(() => cluster.gateway.signal('SIGCONT'));
  const { offset } = await backend.publish('much', { last: true });
  const began = performance.now();
  cluster.broker.signal('SIGTERM');
  assert.deepEqual(await within(patience, 'its end', cluster.broker.exited), { code: 0, signal: null });
  assert.ok(performance.now() - began < 10000);
  cluster.gateway.signal('SIGCONT');
  await cluster.startBroker();
  assert.equal((await Backend.open(cluster).request('history', { channel: 'much', limit: 1 })).offset, offset);
});

// Resolves when a publication is stuck in it; false where we may not do that.
async function stuck(cluster, backend) {
  const release = await hang(cluster.broker, 'writer');
  if (!release) return false;
  const waiting = backend.request('publish', { channel: 'chat', payload: { n: 2 } });
  waiting.catch(() => {});
  await until(patience, 'it to be accepted', async () => (await cluster.metric('appends_pending', 'broker')) === 1);
  return true;
}

scenarioWith('SIGTERM while the disk hangs: after stop_seconds, with status 1, and nothing that was acknowledged is lost',
  { broker: { stop_seconds: 2 } }, async (cluster, context) => {
    const backend = Backend.open(cluster);
    await backend.publish('chat', { n: 1 });
    if (!(await stuck(cluster, backend))) return context.skip('no process may stop a thread of another here');
    cluster.broker.expectedToDie = true;
    const began = performance.now();
    cluster.broker.signal('SIGTERM');
    await cluster.broker.event('stopping');
    const late = await backend.request('publish', { channel: 'chat', payload: { n: 3 } });
    assert.equal(late.error.code, 'stopping');
    assert.deepEqual(await within(patience, 'its end', cluster.broker.exited), { code: 1, signal: null });
    assert.ok(performance.now() - began < 10000);
    assert.equal((await cluster.broker.event('stopped')).settled, false);
    await cluster.startBroker();
    const kept = await stored(cluster, 'chat');
    assert.equal(kept.get(1), 1);
    assert.ok(!kept.has(3));
  });

scenarioWith('a second SIGTERM ends it at once', { broker: { stop_seconds: 600 } }, async (cluster, context) => {
  const backend = Backend.open(cluster);
  await backend.publish('chat', { n: 1 });
  if (!(await stuck(cluster, backend))) return context.skip('no process may stop a thread of another here');
  cluster.broker.expectedToDie = true;
  cluster.broker.signal('SIGTERM');
  assert.equal((await cluster.broker.event('stopping')).stop_seconds, 600);
  await until(patience, 'it to say so', async () => (await fetch(`${cluster.brokerAdmin}/readyz`)).status === 503);
  cluster.broker.signal('SIGTERM');
  assert.deepEqual(await within(patience, 'its end', cluster.broker.exited), { code: 143, signal: null });
  await cluster.broker.event('stopping_at_once');
});

for (const [kind, open] of Object.entries(kinds)) {
  scenarioWith(`${kind}: a broker that is replaced is not noticed, keys or not`, {}, async (cluster) => {
    const backend = await open({ endpoint: cluster.endpoint, timeoutMs: 60000 });
    const offsets = new Map();
    let sent = 0, over = false;
    const one = async () => {
      while (!over && sent < MOST) {
        const n = ++sent;
        offsets.set(n, (await backend.publish({ name: 'chat' }, { n })).offset);
      }
    };
    const done = Promise.all(Array.from({ length: 8 }, one));
    await until(patience, 'publications', () => offsets.size > 20);
    await cluster.broker.stop();
    await cluster.startBroker();
    over = true;
    await done;
    assert.deepEqual(await stored(cluster, 'chat'), new Map([...offsets].sort(([, a], [, b]) => a - b)));
  });
}
