// Who is there: presence and presence_stats across two gateways, asked by the stock SDK and by hand;
// whole answers or an error, whatever happens to a gateway.
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after } from 'node:test';
import { Client, sdkClient, sdkSubscription, sdkVersions } from './client.mjs';
import { Child, freePort, patience, programs, scenarioWith, sharedCluster, temporaryDirectory, until } from './harness.mjs';
import { makeToken, newKey, writeKeys } from './tokens.mjs';

// Another gateway of a cluster. Clients open it as they open the cluster.
async function secondGateway(cluster) {
  const gateway = { clientPort: await freePort(), adminPort: await freePort() };
  gateway.url = `ws://127.0.0.1:${gateway.clientPort}/connection/websocket`;
  gateway.start = async () => {
    gateway.child = new Child('gateway 2', programs.gateway, ['--config', cluster.file], {
      env: {
        MILLRACE_GATEWAY_NAME: 'second',
        MILLRACE_GATEWAY_LISTEN_PORT: `${gateway.clientPort}`,
        MILLRACE_GATEWAY_ADMIN_PORT: `${gateway.adminPort}`,
      },
    });
    cluster.children.push(gateway.child);
    await cluster.ready(gateway.child, `http://127.0.0.1:${gateway.adminPort}`);
  };
  await gateway.start();
  return gateway;
}

const channels = { 'channel "room"': { presence: 'full' }, 'channel "hall"': { presence: 'stats' } };
const { cluster, scenario } = sharedCluster({ broker: { presence_return_ms: 0 }, ...channels });

let shared;
async function both() {
  shared ??= await secondGateway(cluster);
  return [cluster, shared];
}

async function subscribed(gateway, channel) {
  const client = await Client.open(gateway);
  await client.subscribe(channel);
  return client;
}

const anonymous = (...clients) => Object.fromEntries(clients.map(({ connected: { client } }) =>
  [client, { client, user: '' }]));

async function presence(client, channel) {
  const reply = await client.command('presence', { channel });
  assert.ok(reply.presence, JSON.stringify(reply));
  return reply.presence.presence;
}

async function refused(client, method, channel, code) {
  const { error } = await client.command(method, { channel });
  assert.equal(error?.code, code, JSON.stringify(error));
  return error;
}

// Asks until the answer is this one. Before that, nothing but the temporary error may come.
async function untilPresent(ms, client, channel, ...clients) {
  const errors = [];
  await until(ms, `the presence of ${clients.length} clients`, async () => {
    const reply = await client.command('presence', { channel });
    if (reply.presence) {
      assert.deepEqual(reply.presence.presence, anonymous(...clients), 'whole or an error');
      return true;
    }
    assert.deepEqual([reply.error.code, reply.error.temporary], [100, true], JSON.stringify(reply));
    errors.push(reply.error.message);
    return false;
  });
  return errors;
}

scenario('the clients of all gateways are listed, and counted', async () => {
  const [one, two] = await both();
  const clients = [await subscribed(one, 'room:full'), await subscribed(two, 'room:full'), await subscribed(two, 'room:full')];
  for (const client of clients) {
    assert.deepEqual(await presence(client, 'room:full'), anonymous(...clients));
    const { presence_stats: stats } = await client.command('presence_stats', { channel: 'room:full' });
    assert.deepEqual(stats, { num_clients: 3, num_users: 1 }); // anonymous ones are one user
  }
});

const keyDirectory = await temporaryDirectory();
after(() => rm(keyDirectory, { recursive: true, force: true }));
const key = newKey('HS256', 'default');
const withTokens = { 'site "default"': { keys: await writeKeys(keyDirectory, 'default.keys', key) } };

async function member(gateway, sub, channel, more = {}) {
  const client = await Client.open(gateway, { connect: false });
  const { connect } = await client.command('connect', { token: makeToken(key, { sub, ...more }) });
  client.connected = connect;
  await client.subscribe(channel);
  return client;
}

scenarioWith('members are listed by their ids, and each counts once', { broker: { presence_return_ms: 0 }, ...channels, ...withTokens },
  async (own) => {
    const two = await secondGateway(own);
    const channel = 'room:members';
    const ann = await member(own, 'ann', channel);
    const bob = await member(two, 'bob ünï', channel);
    const ids = (...list) => Object.fromEntries(list.map(([{ connected: { client } }, user]) => [client, { client, user }]));
    const stats = async (client) => (await client.command('presence_stats', { channel })).presence_stats;
    for (const client of [ann, bob]) {
      assert.deepEqual(await presence(client, channel), ids([ann, 'ann'], [bob, 'bob ünï']));
      assert.deepEqual(await stats(client), { num_clients: 2, num_users: 2 });
    }
    // The same member elsewhere, a visitor with an id, one without: the preview is another stream.
    const again = await member(two, 'ann', channel);
    const visitor = await member(own, 'v-1', channel, { type: 'VISITOR' });
    const nobody = await subscribed(own, channel);
    const preview = await member(own, 'ann', channel, { view: 'preview' });
    const all = ids([ann, 'ann'], [bob, 'bob ünï'], [again, 'ann'], [visitor, 'v-1'], [nobody, '']);
    for (const client of [ann, bob, again, visitor, nobody]) {
      assert.deepEqual(await presence(client, channel), all);
      assert.deepEqual(await stats(client), { num_clients: 5, num_users: 4 });
    }
    assert.deepEqual(await presence(preview, channel), ids([preview, 'ann']));
    // SDKs show the same.
    const sdk = sdkClient(two, '5.8.0', { token: makeToken(key, { sub: 'dora' }) });
    const subscription = sdkSubscription(sdk, channel);
    subscription.subscribe();
    sdk.connect();
    const { client } = await sdk.expect('connected');
    await subscription.expect('subscribed');
    assert.deepEqual((await subscription.presence()).clients, { ...all, [client]: { client, user: 'dora' } });
    assert.deepEqual(await subscription.presenceStats(), { numClients: 6, numUsers: 5 });
  });

for (const version of Object.keys(sdkVersions)) {
  scenario(`SDK ${version} reads both`, async () => {
    const [one, two] = await both();
    const channel = `room:sdk ${version}`;
    const other = await subscribed(two, channel);
    const sdk = sdkClient(one, version);
    const subscription = sdkSubscription(sdk, channel);
    subscription.subscribe();
    sdk.connect();
    const { client } = await sdk.expect('connected');
    await subscription.expect('subscribed');
    const expected = { clients: { [client]: { client, user: '' }, ...anonymous(other) } };
    assert.deepEqual(await subscription.presence(), expected);
    assert.deepEqual(await sdk.presence(channel), expected);
    assert.deepEqual(await subscription.presenceStats(), { numClients: 2, numUsers: 1 });
    assert.deepEqual(await sdk.presenceStats(channel), { numClients: 2, numUsers: 1 });
    await assert.rejects(sdk.presence('room:not mine'), { code: 103 });
    await other.unsubscribe(channel);
    assert.deepEqual(Object.keys((await subscription.presence()).clients), [client]);
  });
}

scenario('the setting of the channel says what may be asked', async () => {
  const [one] = await both();
  const client = await subscribed(one, 'hall');
  const { message } = await refused(client, 'presence', 'hall', 108);
  assert.match(message, /presence_stats only/);
  const { presence_stats: stats } = await client.command('presence_stats', { channel: 'hall' });
  assert.deepEqual(stats, { num_clients: 1, num_users: 1 });
  await client.subscribe('elsewhere');
  await refused(client, 'presence', 'elsewhere', 108);
  await refused(client, 'presence_stats', 'elsewhere', 108);
});

scenario('only subscribers may ask', async () => {
  const [one, two] = await both();
  await subscribed(two, 'room:private');
  const client = await Client.open(one);
  for (const method of ['presence', 'presence_stats']) {
    const { message } = await refused(client, method, 'room:private', 103);
    assert.equal(message, 'presence is for subscribers');
  }
  await client.subscribe('room:private');
  assert.equal(Object.keys(await presence(client, 'room:private')).length, 2);
  await client.unsubscribe('room:private');
  await refused(client, 'presence', 'room:private', 103);
});

scenario('a channel and its resources have each their own', async () => {
  const [one, two] = await both();
  const channel = await subscribed(one, 'room');
  const a = await subscribed(two, 'room:iso-a');
  const b = await subscribed(one, 'room:iso-b');
  await b.subscribe('room:iso-a');
  assert.deepEqual(await presence(channel, 'room'), anonymous(channel));
  assert.deepEqual(await presence(a, 'room:iso-a'), anonymous(a, b));
  assert.deepEqual(await presence(b, 'room:iso-b'), anonymous(b));
});

scenario('both strings of an address are one address', async () => {
  const [one, two] = await both();
  const a = await subscribed(one, 'room:same');
  const b = await subscribed(two, '/room:same');
  assert.deepEqual(await presence(a, 'room:same'), anonymous(a, b));
  assert.deepEqual(await presence(b, '/room:same'), anonymous(a, b));
});

scenario('who leaves is gone from the answer', async () => {
  const [one, two] = await both();
  const stays = await subscribed(one, 'room:leave');
  for (let round = 0; round < 6; round++) {
    const leaves = await subscribed(two, 'room:leave');
    assert.deepEqual(await presence(stays, 'room:leave'), anonymous(stays, leaves));
    await leaves.unsubscribe('room:leave');
    assert.deepEqual(await presence(stays, 'room:leave'), anonymous(stays), 'at once');
  }
  const cut = await subscribed(two, 'room:leave');
  assert.deepEqual(await presence(stays, 'room:leave'), anonymous(stays, cut));
  cut.cut();
  await until(patience, 'the end of a connection to be seen', async () =>
    Object.keys(await presence(stays, 'room:leave')).length === 1);
});

scenario('an answer is never older than its question', async () => {
  // Others ask all the time, so that there is always a round that a question could wrongly join.
  const [one, two] = await both();
  const askers = await Promise.all([one, one, two, two].map((gateway) => subscribed(gateway, 'room:fresh')));
  let asking = true;
  const others = askers.map(async (client) => {
    while (asking) await presence(client, 'room:fresh');
  });
  const leaves = await Client.open(two);
  const looks = await subscribed(one, 'room:fresh');
  for (let round = 0; round < 12; round++) {
    await leaves.subscribe('room:fresh');
    assert.deepEqual(await presence(looks, 'room:fresh'), anonymous(...askers, looks, leaves));
    await leaves.unsubscribe('room:fresh');
    assert.deepEqual(await presence(looks, 'room:fresh'), anonymous(...askers, looks));
  }
  asking = false;
  await Promise.all(others);
});

scenario('a herd gets the same whole answer', async () => {
  const gateways = await both();
  const clients = await Promise.all(Array.from({ length: 80 }, (_, n) => subscribed(gateways[n % 2], 'room:herd')));
  const before = await cluster.metric('presence_rounds_total', 'broker');
  const answers = await Promise.all(clients.map((client) => presence(client, 'room:herd')));
  const expected = anonymous(...clients);
  for (const answer of answers) assert.deepEqual(answer, expected);
  const rounds = await cluster.metric('presence_rounds_total', 'broker') - before;
  assert.ok(rounds >= 1 && rounds <= 80, `${rounds} rounds`);
  assert.equal(await cluster.metric('presence_waiting', 'broker'), 0);
  assert.equal(await cluster.metric('presence_waiting'), 0);
});

scenarioWith('more clients than may be listed are an error that says so',
  { broker: { presence_return_ms: 0, presence_clients: 2 }, ...channels }, async (own) => {
    const two = await secondGateway(own);
    const a = await subscribed(own, 'room');
    const b = await subscribed(two, 'room');
    assert.deepEqual(await presence(a, 'room'), anonymous(a, b));
    await subscribed(two, 'room');
    const error = await refused(a, 'presence', 'room', 106);
    assert.match(error.message, /more than 2 clients/);
    assert.equal(error.temporary ?? false, false);
    const { presence_stats: stats } = await a.command('presence_stats', { channel: 'room' });
    assert.deepEqual(stats, { num_clients: 3, num_users: 1 });
  });

scenarioWith('a gateway that stands still makes it error 100, until it goes on', { broker: { presence_return_ms: 0 }, ...channels },
  async (own) => {
    const two = await secondGateway(own);
    const a = await subscribed(own, 'room');
    const also = await subscribed(own, 'room');
    const b = await subscribed(two, 'room');
    assert.deepEqual(await presence(a, 'room'), anonymous(a, also, b));
    two.child.signal('SIGSTOP');
    try {
      // Both at once: after some seconds the broker would give up on the gateway.
      const errors = await Promise.all([refused(a, 'presence', 'room', 100), refused(also, 'presence_stats', 'room', 100)]);
      for (const error of errors) {
        // The broker says it in its second, not our gateway after its own four.
        assert.deepEqual([error.temporary, error.message], [true, 'a gateway did not answer in time']);
      }
      const others = await a.command('history', { channel: 'room', limit: 0 });
      assert.ok(others.history, 'nothing else waits for it');
    } finally {
      two.child.signal('SIGCONT');
    }
    await untilPresent(patience, a, 'room', a, also, b);
    assert.deepEqual(await presence(b, 'room'), anonymous(a, also, b));
    assert.ok(await own.metric('presence_failures_total', 'broker') >= 2);
  });

scenarioWith("after the broker's start nobody knows yet who is there", { broker: { presence_return_ms: 60000 }, ...channels },
  async (own) => {
    const client = await subscribed(own, 'room');
    const { message, temporary } = await refused(client, 'presence', 'room', 100);
    assert.equal(temporary, true);
    assert.match(message, /^a gateway is away/);
  });

scenarioWith('after a gateway was killed the answer is right again', { broker: { presence_return_ms: 5000 }, ...channels },
  { timeout: 240000 }, async (own) => {
    const two = await secondGateway(own);
    const a = await subscribed(own, 'room');
    const b = await subscribed(two, 'room');
    await untilPresent(patience, a, 'room', a, b);
    const kill = () => {
      two.child.expectedToDie = true;
      return two.child.stop('SIGKILL');
    };
    // Started anew under its name, it is not waited for: whether the broker hears of it first by a
    // question ...
    await kill();
    assert.equal((await refused(a, 'presence', 'room', 100)).temporary, true);
    await two.start();
    const c = await subscribed(two, 'room');
    const waits = (errors) => errors.filter((error) => /^a gateway is away/.test(error));
    const few = waits(await untilPresent(patience, a, 'room', a, c));
    assert.ok(few.length <= 20, few); // a wait would be told every 20 ms for 5 s
    // ... or by its successor.
    await kill();
    await two.start();
    const d = await subscribed(two, 'room');
    const again = waits(await untilPresent(patience, a, 'room', a, d));
    assert.ok(again.length <= 20, again);
    // Without a successor it is, until it counts as gone.
    await kill();
    const errors = await untilPresent(patience, a, 'room', a);
    assert.ok(errors.length >= 1);
    for (const message of errors) assert.match(message, /^a gateway is away|^a gateway did not/);
  });

scenarioWith('after the broker was killed the answer is whole again', { broker: { presence_return_ms: 3000 }, ...channels },
  { timeout: 240000 }, async (own) => {
    const two = await secondGateway(own);
    const clients = [];
    for (const gateway of [own, two]) {
      const sdk = sdkClient(gateway);
      const subscription = sdkSubscription(sdk, 'room');
      subscription.subscribe();
      sdk.connect();
      const { client } = await sdk.expect('connected');
      await subscription.expect('subscribed');
      clients.push({ sdk, subscription, id: client });
    }
    const [{ subscription }] = clients;
    const ids = clients.map(({ id }) => id).sort();
    const present = () => subscription.presence().then((answer) => Object.keys(answer.clients).sort(), (error) => error);
    const whole = async () => `${await present()}` === `${ids}`;
    await until(patience, 'both clients', whole);
    own.broker.expectedToDie = true;
    await own.broker.stop('SIGKILL');
    const away = await present();
    assert.deepEqual([away.code, away.temporary], [100, true]);
    await own.startBroker();
    await until(patience, 'both clients again', whole);
    for (const client of clients) assert.deepEqual(client.subscription.seen.filter((at) => at.event === 'subscribing' && at.context.code !== 0), []);
    for (const { sdk } of clients) assert.deepEqual(sdk.seen.filter((at) => at.event === 'disconnected'), []);
  });
