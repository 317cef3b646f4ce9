// The Centrifuge client protocol v2: order, codes and shapes, spoken by hand and by the stock SDK.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client, sdkClient, sdkSubscription, sdkVersions } from './client.mjs';
import { patience, scenarioWith, sharedCluster, until } from './harness.mjs';

const { cluster, scenario } = sharedCluster();

const text = (id, method, body) => JSON.stringify({ id, [method]: body });

async function refused(client, method, body, code) {
  const reply = await client.command(method, body);
  assert.equal(reply.error?.code, code, JSON.stringify(reply));
  assert.ok(reply.error.message.length > 0);
  return reply.error;
}

scenario('connect tells the client id, the version and the ping rules', async () => {
  const one = await Client.open(cluster);
  const two = await Client.open(cluster);
  assert.match(one.connected.client, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  assert.notEqual(one.connected.client, two.connected.client);
  assert.equal(typeof one.connected.version, 'string');
  assert.deepEqual([one.connected.ping, one.connected.pong], [25, true]);
});

scenario('the first frame may carry connect and all subscribes', async () => {
  const client = await Client.open(cluster, { connect: false });
  const subscribes = Array.from({ length: 100 }, (_, i) => ['subscribe', { channel: `first-${i}`, flag: 1 }]);
  const [connected, ...replies] = await client.commands([['connect', { name: 'js' }], ...subscribes]);
  assert.ok(connected.connect);
  for (const reply of replies) assert.ok(reply.subscribe, JSON.stringify(reply));
  assert.ok(client.lines[0].connect, 'connect is answered first');
});

scenario('any other command before connect closes with 3501', async () => {
  for (const first of [text(1, 'subscribe', { channel: 'a' }), '{}', text(1, 'send', {})]) {
    const client = await Client.open(cluster, { connect: false });
    client.send(first);
    assert.deepEqual(await client.closing(), { code: 3501, reason: 'bad request' });
  }
});

scenario('a second connect closes with 3501', async () => {
  const client = await Client.open(cluster);
  client.send(text(7, 'connect', {}));
  assert.equal((await client.closing()).code, 3501);
});

scenarioWith('after a refused connect the rest of the frame is ignored, another command closes',
  { gateway: { anonymous: 'no' } }, async (strict) => {
    const client = await Client.open(strict, { connect: false });
    const connect = client.prepare('connect', {});
    client.send(`${connect.text}\n${text(2, 'subscribe', { channel: 'a' })}`);
    const reply = await connect.reply;
    assert.deepEqual([reply.error.code, reply.error.temporary ?? false], [101, false]);
    client.send(text(3, 'subscribe', { channel: 'a' }));
    assert.equal((await client.closing()).code, 3501);
    assert.deepEqual(client.lines, [reply]);
  });

scenario('pipelined subscribe and unsubscribe of one channel are answered in order, never 105', async () => {
  const backend = Backend.open(cluster);
  const client = await Client.open(cluster);
  const loop = [];
  for (let i = 0; i < 60; i++) {
    loop.push(['subscribe', { channel: 'loop' }], ['unsubscribe', { channel: 'loop' }]);
  }
  const publishing = Promise.all(Array.from({ length: 50 }, (_, n) => backend.publish('loop', { n })));
  const replies = await client.commands(loop);
  replies.forEach((reply, i) => {
    assert.ok(reply[i % 2 ? 'unsubscribe' : 'subscribe'], `${i}: ${JSON.stringify(reply)}`);
  });
  const answered = client.lines.filter((line) => line.id > 1).map((line) => line.id);
  assert.deepEqual(answered, Array.from({ length: 120 }, (_, i) => i + 2));
  await publishing;
});

for (const version of Object.keys(sdkVersions)) {
  scenario(`a subscribe/unsubscribe loop of SDK ${version} ends subscribed`, async () => {
    const sdk = sdkClient(cluster, version);
    const subscription = sdkSubscription(sdk, 'sdk-loop');
    sdk.connect();
    await sdk.expect('connected');
    for (let i = 0; i < 20; i++) {
      subscription.subscribe();
      subscription.unsubscribe();
    }
    subscription.subscribe();
    // Commands of one channel are answered in order: behind this one the loop is over. (SDK 5.7.1
    // takes the reply to the first subscribe for that to the last one.)
    await subscription.ready(patience);
    await subscription.history({ limit: 0 });
    await Backend.open(cluster).publish('sdk-loop', { version });
    await subscription.expect('publication', (at) => at.data.version === version);
    assert.deepEqual(subscription.seen.filter((at) => at.event === 'error'), []);
    assert.deepEqual(sdk.seen.filter((at) => at.event === 'disconnected'), []);
  });
}

scenario('the subscribe reply comes before any push, nothing after the unsubscribe reply', async () => {
  const backend = Backend.open(cluster);
  const client = await Client.open(cluster);
  let publishing = true;
  const flood = (async () => {
    for (let n = 0; publishing; n++) await backend.publish('flood', { n });
  })();
  for (let round = 0; round < 30; round++) {
    const from = client.lines.length;
    await client.subscribe('flood');
    await client.publications('flood', 3);
    await client.unsubscribe('flood');
    const lines = client.lines.slice(from);
    assert.ok(lines[0].subscribe, `round ${round}: ${JSON.stringify(lines[0])}`);
    assert.ok(lines.at(-1).unsubscribe);
    client.pushes.length = 0;
    await client.command('rpc', {}); // a round trip in which a late push would show
    assert.deepEqual(client.pushes, []);
  }
  publishing = false;
  await flood;
});

scenario('the reply object is there even when it is empty', async () => {
  const client = await Client.open(cluster);
  assert.deepEqual((await client.command('unsubscribe', { channel: 'never' })).unsubscribe, {});
  const plain = await client.command('subscribe', { channel: 'plain' });
  assert.equal(typeof plain.subscribe, 'object');
});

scenario('what clients may not do is refused by its code', async () => {
  const client = await Client.open(cluster);
  await client.subscribe('codes');
  await refused(client, 'publish', { channel: 'codes', data: {} }, 103);
  await refused(client, 'rpc', { method: 'm', data: {} }, 108);
  await refused(client, 'presence', { channel: 'codes' }, 108);
  await refused(client, 'presence', { channel: 'not-subscribed' }, 103);
  await refused(client, 'presence_stats', { channel: 'codes' }, 108);
  await refused(client, 'sub_refresh', { channel: 'codes', token: 't' }, 103);
  await refused(client, 'history', { channel: 'not-subscribed', limit: 1 }, 103);
  await refused(client, 'subscribe', { channel: 'map', type: 1 }, 108);
  await refused(client, 'subscribe', { channel: 'filter', tf: { op: 'eq', key: 'k', val: 'v' } }, 107);
  client.send(JSON.stringify({ send: { data: {} } }));
  assert.deepEqual(await client.closing(), { code: 3508, reason: 'not available' });
});

scenario('an unknown delta closes with 3501, fossil is quietly not used', async () => {
  const good = await Client.open(cluster);
  const reply = await good.subscribe('delta', { delta: 'fossil' });
  assert.equal(reply.delta ?? false, false);
  const bad = await Client.open(cluster);
  bad.send(text(5, 'subscribe', { channel: 'delta', delta: 'other' }));
  assert.equal((await bad.closing()).code, 3501);
});

scenario('a token is refused while there is no key to verify it with', async () => {
  const client = await Client.open(cluster, { connect: false });
  client.send(text(1, 'connect', { token: 'a.b.c' }));
  assert.deepEqual(await client.closing(), { code: 3500, reason: 'invalid token: no site has keys to verify tokens with' });
});

scenario('the same address again is 105, also by another string', async () => {
  const client = await Client.open(cluster);
  await client.subscribe('twice:r');
  await refused(client, 'subscribe', { channel: 'twice:r' }, 105);
  await refused(client, 'subscribe', { channel: '/twice:r' }, 105);
  await client.subscribe('twice');
  await client.unsubscribe('twice:r');
  await client.subscribe('/twice:r');
  await Backend.open(cluster).publish('twice:r', { n: 1 });
  assert.equal((await client.publication('/twice:r')).data.n, 1);
});

scenario('the 129th subscription is 106, and room again after an unsubscribe', async () => {
  const client = await Client.open(cluster);
  const replies = await client.commands(
    Array.from({ length: 129 }, (_, i) => ['subscribe', { channel: `many-${i}` }]));
  assert.ok(replies.slice(0, 128).every((reply) => reply.subscribe));
  assert.equal(replies[128].error.code, 106);
  await client.unsubscribe('many-0');
  await client.subscribe('many-128');
});

scenario('history: shapes, limits, directions, a wrong epoch', async () => {
  const backend = Backend.open(cluster);
  const client = await Client.open(cluster);
  const empty = await client.subscribe('story');
  assert.match(empty.epoch, /^[0-9a-f]{16}$/);
  const history = async (body) => (await client.command('history', { channel: 'story', ...body })).history;
  assert.deepEqual(await history({}), { publications: [], epoch: empty.epoch, offset: 0 });
  for (let n = 1; n <= 400; n++) await backend.publish('story', { n }, n === 400 ? { publisher: 'p' } : {});

  assert.deepEqual(await history({ limit: 0 }), { publications: [], epoch: empty.epoch, offset: 400 });
  const offsets = (reply) => reply.publications.map((at) => at.offset);
  assert.deepEqual(offsets(await history({ limit: 2 })), [1, 2]);
  assert.deepEqual(offsets(await history({ limit: 2, reverse: true })), [400, 399]);
  const most = offsets(await history({ limit: -1 }));
  assert.equal(most.length, 300);
  assert.deepEqual(offsets(await history({ limit: 2, since: { offset: 398, epoch: empty.epoch } })), [399, 400]);
  assert.deepEqual(offsets(await history({ limit: 5, since: { offset: 3, epoch: empty.epoch }, reverse: true })), [2, 1]);
  const last = await history({ limit: 1, reverse: true });
  assert.deepEqual(last.publications, [{ data: { n: 400 }, info: { client: '', user: 'p' }, offset: 400 }]);
  await refused(client, 'history', { channel: 'story', limit: 1, since: { offset: 1, epoch: 'ffffffffffffffff' } }, 112);
  await refused(client, 'history', { channel: 'story', limit: 1, since: { offset: 1, epoch: '_' } }, 112);
});

scenario('recovery: all or nothing, by position', async () => {
  const backend = Backend.open(cluster);
  const client = await Client.open(cluster);
  const { epoch } = await client.subscribe('recover');
  for (let n = 1; n <= 10; n++) await backend.publish('recover', { n });
  await client.unsubscribe('recover');
  const again = async (more) => {
    const reply = await client.subscribe('recover', { recover: true, ...more });
    await client.unsubscribe('recover');
    assert.equal(reply.was_recovering, true);
    return [reply.recovered ?? false, reply.offset ?? 0, (reply.publications ?? []).map((at) => at.offset)];
  };
  assert.deepEqual(await again({ epoch, offset: 7 }), [true, 7, [8, 9, 10]]);
  assert.deepEqual(await again({ epoch, offset: 10 }), [true, 10, []]);
  assert.deepEqual(await again({ offset: 8 }), [true, 8, [9, 10]]);
  assert.deepEqual((await again({ epoch }))[0], true);
  assert.deepEqual(await again({ epoch, offset: 11 }), [false, 10, []], 'beyond the position');
  assert.deepEqual(await again({ epoch: '0123456789abcdef', offset: 7 }), [false, 10, []]);
  assert.deepEqual(await again({ epoch: '_', offset: 7 }), [false, 10, []]);
  await refused(client, 'subscribe', { channel: 'recover', recover: true, epoch: '_', offset: 7, flag: 2 }, 112);
});

scenarioWith('a channel can keep its history from clients',
  { 'channel "secret"': { client_history: 'no' } }, async (own) => {
    const backend = Backend.open(own);
    const client = await Client.open(own);
    const { epoch } = await client.subscribe('secret');
    for (let n = 1; n <= 3; n++) await backend.publish('secret:room', { n });
    for (let n = 1; n <= 3; n++) await backend.publish('secret', { n });
    await refused(client, 'history', { channel: 'secret', limit: 1 }, 108);
    await client.unsubscribe('secret');
    const blind = await client.subscribe('secret', { recover: true, offset: 0 });
    assert.deepEqual([blind.recovered ?? false, blind.publications ?? []], [false, []]);
    await client.unsubscribe('secret');
    const known = await client.subscribe('secret', { recover: true, epoch, offset: 1 });
    assert.deepEqual(known.publications.map((at) => at.offset), [2, 3]);
    await client.subscribe('secret:room');
    await refused(client, 'history', { channel: 'secret:room', limit: 1 }, 108);
  });

scenario('a pong without a ping closes with 3501', async () => {
  const eager = await Client.open(cluster);
  eager.send('{}');
  assert.equal((await eager.closing()).code, 3501);
});

scenarioWith('pings, pongs and their absence', { gateway: { ping_seconds: 1, pong_seconds: 5 } }, async (fast) => {
  const good = await Client.open(fast);
  const mute = await Client.open(fast);
  mute.answerPings = false;
  assert.deepEqual(await mute.closing(), { code: 3012, reason: 'no pong' });
  assert.equal(mute.pings, 1);
  const sdk = sdkClient(fast, '5.8.0', { maxServerPingDelay: 5000 });
  sdk.connect();
  await sdk.expect('connected');
  const before = good.pings;
  while (good.pings < before + 8) await new Promise((done) => good.socket.once('text', done));
  assert.ok(!good.socket.isClosed);
  assert.deepEqual(sdk.seen.map((at) => at.event), ['connecting']);
});

scenarioWith('without connect the connection is stale', { gateway: { connect_seconds: 1 } }, async (fast) => {
  const good = await Client.open(fast);
  const silent = await Client.open(fast, { connect: false });
  assert.deepEqual(await silent.closing(), { code: 3502, reason: 'stale' });
  await good.subscribe('alive');
});

scenarioWith('too many unanswered commands close with 3013', { gateway: { pending_commands: 50 } }, async (small) => {
  const client = await Client.open(small);
  const flood = Array.from({ length: 120 }, (_, i) =>
    text(i + 2, i % 2 ? 'unsubscribe' : 'subscribe', { channel: 'one' }));
  client.send(flood.join('\n'));
  assert.equal((await client.closing()).code, 3013);
});

scenarioWith('SIGTERM closes clients with 3001 and ends with status 0', {}, async (own) => {
  const clients = await Promise.all(Array.from({ length: 20 }, () => Client.open(own)));
  const ending = own.gateway.stop();
  for (const client of clients) {
    assert.deepEqual(await client.closing(), { code: 3001, reason: 'shutdown' });
  }
  assert.equal((await ending).code, 0);
});

scenarioWith('while the broker is away subscriptions get a temporary error, then all goes on', { store: { engine: 'memory' } }, async (own) => {
  const client = await Client.open(own);
  await client.subscribe('stay');
  await own.broker.stop();
  await own.gateway.event('broker_lost');
  const error = await refused(client, 'subscribe', { channel: 'later' }, 100);
  assert.equal(error.temporary, true);
  await own.startBroker();
  // The memory store has forgotten: the client is told, and what it resumes cannot be recovered.
  const told = await client.push((push) => push.channel === 'stay' && push.unsubscribe);
  assert.equal(told.unsubscribe.code, 2500);
  const { recovered, epoch } = await client.subscribe('stay', { recover: true, epoch: 'f', offset: 0 });
  assert.equal(recovered ?? false, false);
  await client.subscribe('later');
  const published = await Backend.open(own).publish('stay', { n: 1 });
  assert.equal(published.epoch, epoch);
  assert.equal((await client.publication('stay')).data.n, 1);
});

scenarioWith('with a durable store the broker may come and go: subscriptions go on where they were', {}, async (own) => {
  const client = await Client.open(own);
  const quiet = await client.subscribe('quiet');
  const { epoch } = await client.subscribe('stay');
  await Backend.open(own).publish('stay', { n: 1 });
  await client.publication('stay');
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    own.broker.expectedToDie = true;
    await own.broker.stop(signal);
    await own.gateway.event('broker_lost');
    await own.startBroker();
    await until(patience, 'the gateway to be ready', async () => (await own.metric('broker_up')) === 1);
  }
  const second = await Backend.open(own).publish('stay', { n: 2 });
  assert.deepEqual([second.epoch, second.offset], [epoch, 2]);
  assert.equal((await client.publication('stay')).data.n, 2);
  assert.deepEqual(await Backend.open(own).publish('quiet', { n: 1 }).then((at) => [at.epoch, at.offset]), [quiet.epoch, 1]);
  assert.equal((await client.publication('quiet')).data.n, 1);
  assert.deepEqual(client.pushes, [], 'nobody was told of a loss');
  const again = await Client.open(own);
  const { recovered, publications } = await again.subscribe('stay', { recover: true, epoch, offset: 0 });
  assert.equal(recovered, true);
  assert.deepEqual(publications.map((at) => at.data.n), [1, 2]);
});
