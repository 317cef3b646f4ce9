// @millrace/client against the real processes: what a program is told when connections and processes
// come and go.
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { createServer, connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { after } from 'node:test';
import { createClient } from '@millrace/client';
import WebSocket from 'ws';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { atEnd, patience, scenarioWith, sharedCluster, temporaryDirectory, until } from './harness.mjs';
import { makeToken, newKey, nowSeconds, writeKeys } from './tokens.mjs';

const { cluster, scenario } = sharedCluster({ gateway: { subscriptions: 4 } });
const wait = patience;

function open(url, options = {}) {
  const client = createClient({ url, websocket: WebSocket, minReconnectDelay: 20, maxReconnectDelay: 200, ...options });
  atEnd(() => client.close());
  return client;
}

// What failed for the moment and was tried again, how often is a matter of time: no gateway yet, or
// one that has not found its broker yet.
const attempt = /^(CONNECTION_ERROR|SUBSCRIPTION_FAILED) true$/;

// A subscription and what its handlers were told: seen is ['subscribed false', 'restored 3', …].
function watch(client, channel) {
  const seen = [];
  const errors = [];
  const id = client.subscribe(
    channel,
    (message, from, { offset, restored }) => seen.push(`${restored ? 'restored' : 'message'} ${offset} ${JSON.stringify(message)}`),
    {
      onSubscribed: (told, isSynced) => seen.push(`subscribed ${isSynced}`),
      onSubscriptionError: (error) => {
        errors.push(error);
        seen.push(`${error.errorCode} ${error.recoverable}`);
      },
    },
  );
  return {
    id, seen, errors,
    has: (count, text) => until(wait, `${count} times '${text}' in ${JSON.stringify(seen)}`,
      () => seen.filter((at) => at === text).length >= count),
    steady: () => seen.filter((at) => !attempt.test(at)),
  };
}

const message = (offset, payload, kind = 'message') => `${kind} ${offset} ${JSON.stringify({ payload })}`;

// Between client and gateway: a line that can be cut and repaired.
async function proxy(port) {
  const sockets = new Set();
  const line = { whole: true };
  const server = createServer((near) => {
    if (!line.whole) return near.destroy();
    const far = connectTcp(port, '127.0.0.1');
    for (const [socket, other] of [[near, far], [far, near]]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  atEnd(() => {
    line.cut();
    return new Promise((done) => server.close(done));
  });
  line.url = `ws://127.0.0.1:${server.address().port}`;
  line.cut = () => {
    line.whole = false;
    for (const socket of sockets) socket.destroy();
  };
  line.repair = () => void (line.whole = true);
  return line;
}

scenario('messages with publisher and position, each address apart', async () => {
  const backend = Backend.open(cluster);
  const client = open(cluster.url);
  const all = ['talk', 'talk:a'].map((text) => {
    const [name, resourceId] = text.split(':');
    return watch(client, { name, resourceId });
  });
  const twin = watch(client, { name: 'talk', resourceId: 'a' });
  await Promise.all([...all, twin].map((at) => at.has(1, 'subscribed false')));
  assert.equal(await cluster.metric('subscriptions'), 2, 'one for each address');
  await backend.publish('talk', { n: 1 }, { publisher: 'ann' });
  await backend.publish('talk:a', { n: 2 });
  await backend.publish('talk:b', { n: 3 });
  await backend.publish('talk', { n: 4 });
  await backend.publish('talk:a', { n: 5 });
  await Promise.all([all[0].has(1, message(2, { n: 4 })), all[1].has(1, message(2, { n: 5 })), twin.has(1, message(2, { n: 5 }))]);
  assert.deepEqual(all[0].seen, [
    'subscribed false', 'message 1 {"payload":{"n":1},"publisher":{"id":"ann"}}', message(2, { n: 4 }),
  ]);
  assert.deepEqual(all[1].seen, ['subscribed false', message(1, { n: 2 }), message(2, { n: 5 })]);
  assert.deepEqual(twin.seen, all[1].seen);

  client.unsubscribe({ subscriptionId: twin.id });
  client.unsubscribe({ channel: { name: 'talk' } });
  await until(wait, 'one subscription', async () => (await cluster.metric('subscriptions')) === 1);
  client.unsubscribe({ channel: { name: 'talk', resourceId: 'a' } });
  await until(wait, 'no connection', async () => (await cluster.metric('connections')) === 0);
});

scenario('a line that breaks: what was missed comes first, then isSynced true', async () => {
  const backend = Backend.open(cluster);
  const line = await proxy(cluster.clientPort);
  const client = open(line.url);
  const states = [];
  client.onConnection(({ state }) => states.at(-1) === state || states.push(state));
  const it = watch(client, { name: 'broken-line', resourceId: 'ünï 😀' });
  await it.has(1, 'subscribed false');
  await backend.publish('broken-line:ünï 😀', { n: 1 });
  await it.has(1, message(1, { n: 1 }));
  line.cut();
  await it.has(2, 'CONNECTION_ERROR true');
  for (const n of [2, 3, 4]) await backend.publish('broken-line:ünï 😀', { n });
  const late = watch(client, { name: 'broken-line', resourceId: 'ünï 😀' });
  line.repair();
  await it.has(1, 'subscribed true');
  await late.has(1, 'subscribed false');
  await backend.publish('broken-line:ünï 😀', { n: 5 });
  await Promise.all([it, late].map((at) => at.has(1, message(5, { n: 5 }))));
  assert.deepEqual(it.steady(), [
    'subscribed false', message(1, { n: 1 }), 'DISCONNECTED true',
    ...[2, 3, 4].map((n) => message(n, { n }, 'restored')), 'subscribed true', message(5, { n: 5 }),
  ]);
  assert.deepEqual(late.steady(), ['subscribed false', message(5, { n: 5 })]);
  assert.ok(it.errors.every(({ channel, status }) => channel.resourceId === 'ünï 😀' && status === undefined));
  assert.deepEqual(states.slice(-3), ['connected', 'connecting', 'connected']);
});

scenario('more was missed than can be restored: isSynced false', async () => {
  const backend = Backend.open(cluster);
  const line = await proxy(cluster.clientPort);
  const it = watch(open(line.url), { name: 'too-much' });
  await it.has(1, 'subscribed false');
  line.cut();
  await it.has(1, 'DISCONNECTED true');
  await backend.publishMany('too-much', Array.from({ length: 301 }, (_, n) => ({ n })));
  line.repair();
  await it.has(2, 'subscribed false');
  await backend.publish('too-much', { n: 'next' });
  await it.has(1, message(302, { n: 'next' }));
  assert.deepEqual(it.steady(), ['subscribed false', 'DISCONNECTED true', 'subscribed false', message(302, { n: 'next' })]);
});

scenario('refused subscriptions say why, and are not tried again', async () => {
  const client = open(cluster.url);
  const before = await cluster.metric('errors_total');
  const taken = ['one', 'two', 'three', 'four'].map((name) => watch(client, { name }));
  await Promise.all(taken.map((at) => at.has(1, 'subscribed false')));
  const foreign = watch(client, { name: 'quotes', appId: 'not-installed' });
  const fifth = watch(client, { name: 'five' });
  await Promise.all([foreign, fifth].map((at) => at.has(1, 'SUBSCRIPTION_FAILED false')));
  assert.equal(foreign.errors[0].status, 404);
  assert.deepEqual(foreign.errors[0].channel, { name: 'quotes', appId: 'not-installed' });
  assert.equal(fifth.errors[0].status, 429);
  client.unsubscribe({ channel: { name: 'one' } });
  const again = watch(client, { name: 'five' });
  await again.has(1, 'subscribed false');
  assert.equal(await cluster.metric('errors_total'), before + 2);
  assert.deepEqual([...foreign.seen, ...fifth.seen], ['SUBSCRIPTION_FAILED false', 'SUBSCRIPTION_FAILED false']);
});

scenarioWith('the gateway dies and comes back, then the broker forgets', { store: { engine: 'memory' } }, async (own) => {
  const backend = Backend.open(own);
  const client = open(own.url);
  const it = watch(client, { name: 'chat' });
  await it.has(1, 'subscribed false');
  own.gateway.expectedToDie = true;
  own.gateway.signal('SIGKILL');
  await it.has(2, 'CONNECTION_ERROR true');
  await backend.publish('chat', { n: 1 });
  await own.startGateway();
  await it.has(1, 'subscribed true');
  assert.deepEqual(it.steady(), ['subscribed false', 'DISCONNECTED true', message(1, { n: 1 }, 'restored'), 'subscribed true']);

  await own.broker.stop();
  await own.startBroker();
  await it.has(2, 'subscribed false');
  await Backend.open(own).publish('chat', { n: 2 });
  await it.has(1, message(1, { n: 2 }));
  assert.equal(it.seen.filter((at) => at === 'DISCONNECTED true').length, 1, 'the connection stayed');
});

scenarioWith('a client that is there before the gateway waits for it', {}, async (own) => {
  await own.gateway.stop();
  const it = watch(open(own.url), { name: 'chat' });
  await it.has(2, 'CONNECTION_ERROR true');
  await own.startGateway();
  await it.has(1, 'subscribed false');
  assert.deepEqual(it.steady(), ['subscribed false']);
});

// --- tokens ---

const directory = await temporaryDirectory();
after(() => rm(directory, { recursive: true, force: true }));
const key = newKey('HS256', 'default');
const site = { 'site "default"': { keys: await writeKeys(directory, 'default.keys', key) } };

scenarioWith('a bad token ends the connection for good and says why, a better one opens it again', site, async (own) => {
  const boss = makeToken(key, { type: 'BOSS' });
  const rule = 'invalid token: type must be ADMIN, MEMBER or VISITOR';
  const tokens = [boss, makeToken(key)];
  const set = open(own.url, { token: boss });
  const asked = open(own.url, { getToken: async () => tokens.shift() });
  for (const [client, connect] of [[set, () => set.setToken(makeToken(key))], [asked, () => {}]]) {
    const it = watch(client, { name: 'orders' });
    await it.has(1, 'DISCONNECTED false');
    assert.equal(it.errors[0].message, `disconnected for good: ${rule} (3500); connect() opens a new connection`);
    assert.deepEqual(it.errors[0].channel, { name: 'orders' });
    assert.equal(it.errors[0].status, undefined);
    assert.deepEqual(client.connection, { state: 'closed', code: 3500, reason: rule });
    connect();
    client.connect();
    await it.has(1, 'subscribed false');
    assert.deepEqual(it.seen, ['DISCONNECTED false', 'subscribed false']);
  }
  assert.equal(await own.metric('tokens_refused_total'), 2, 'neither was tried twice');
});

scenarioWith('a token that is over, and nobody to ask for another', site, async (own) => {
  const it = watch(open(own.url, { token: makeToken(key, { exp: nowSeconds() - 100 }) }), { name: 'orders' });
  await it.has(1, 'DISCONNECTED false');
  assert.deepEqual(it.seen, ['CONNECTION_ERROR true', 'DISCONNECTED false']);
  assert.deepEqual(it.errors.map((error) => error.message), [
    'connecting failed, trying again: token expired',
    'disconnected for good: unauthorized (1); connect() opens a new connection',
  ]);
});

scenarioWith('a token expires: the next one is asked for, and nobody notices', { ...site, gateway: { expired_seconds: 4 } }, async (own) => {
  const backend = Backend.open(own);
  let asked = 0;
  // The first one is over, but within the leeway: another is needed in a second.
  const getToken = async () => makeToken(key, { exp: nowSeconds() + (asked++ === 0 ? -5 : 3600) });
  const client = open(own.url, { getToken });
  const states = [];
  client.onConnection(({ state }) => states.push(state));
  const it = watch(client, { name: 'orders' });
  await it.has(1, 'subscribed false');
  const end = nowSeconds() + 4;
  await until(wait, 'the second token', () => asked === 2);
  await until(wait, 'the end of the first', () => nowSeconds() > end + 1);
  await backend.publish('orders', { n: 1 });
  await it.has(1, message(1, { n: 1 }));
  assert.deepEqual(it.seen, ['subscribed false', message(1, { n: 1 })]);
  assert.deepEqual(states.slice(-2), ['connecting', 'connected']);
  assert.equal(asked, 2);
});

scenarioWith('no token in time: closed, and back with all that was missed', { ...site, gateway: { expired_seconds: 4 } }, async (own) => {
  const backend = Backend.open(own);
  let isAway = false;
  const getToken = async () => {
    if (isAway) throw new Error('my backend is away');
    return makeToken(key, { exp: nowSeconds() - 50 });
  };
  const client = open(own.url, { getToken });
  const it = watch(client, { name: 'orders' });
  await it.has(1, 'subscribed false');
  isAway = true;
  await it.has(1, 'DISCONNECTED true');
  assert.match(it.errors.find(({ errorCode }) => errorCode === 'DISCONNECTED').message, /connection expired \(3005\)$/);
  await it.has(1, 'CONNECTION_ERROR true');
  for (const n of [1, 2, 3]) await backend.publish('orders', { n });
  isAway = false;
  await it.has(1, message(3, { n: 3 }, 'restored'));
  const restoredAt = it.seen.indexOf(message(3, { n: 3 }, 'restored'));
  await until(wait, 'the word that all is there', () => it.seen.lastIndexOf('subscribed true') > restoredAt);
  // While the clocks' leeway lasts, the old token is good for some seconds more.
  const again = 'DISCONNECTED true\nsubscribed true\n';
  const [first, last] = it.steady().join('\n').replaceAll(again, '').split('DISCONNECTED true\n');
  assert.equal(first, 'subscribed false\n');
  const restored = [1, 2, 3].map((n) => `${message(n, { n }, 'restored')}\n`).join('');
  assert.ok(last.startsWith(`${restored}subscribed true`), last);
});

scenarioWith('who a client is comes from its token', { ...site, 'channel "room"': { presence: 'full' }, broker: { presence_return_ms: 0 } },
  async (own) => {
    const backend = Backend.open(own);
    const raw = await Client.open(own);
    await raw.subscribe('room');
    const who = {};
    const members = ['ann', 'bob'].map((sub) => {
      const client = open(own.url, { getToken: () => makeToken(key, { sub }) });
      client.onConnection(({ clientId }) => clientId && (who[clientId] = sub));
      return watch(client, { name: 'room' });
    });
    const preview = watch(open(own.url, { token: makeToken(key, { sub: 'cid', view: 'preview' }) }), { name: 'room' });
    await Promise.all([...members, preview].map((at) => at.has(1, 'subscribed false')));
    const { presence } = (await raw.command('presence', { channel: 'room' })).presence;
    delete presence[raw.connected.client];
    assert.deepEqual(Object.fromEntries(Object.values(presence).map(({ client, user }) => [client, user])), who);
    assert.equal(Object.keys(who).length, 2);
    await backend.publish('room', { n: 1 }, { publisher: 'ann' });
    const got = 'message 1 {"payload":{"n":1},"publisher":{"id":"ann"}}';
    await Promise.all(members.map((at) => at.has(1, got)));
    assert.deepEqual(preview.seen, ['subscribed false'], 'it is in another world');
  });
