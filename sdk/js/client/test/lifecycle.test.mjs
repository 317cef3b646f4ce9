// What runs, and in which order: the real SDK against a gateway that is played.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientOf, eventually, FakeGateway, recorded, reports, settled } from './gateway.mjs';

const chat = { name: 'chat' };
const position = { recoverable: true, positioned: true, epoch: 'e' };

test('the id is there at once, the first onSubscribed is not synced, then messages come', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const { id, seen } = recorded(client, chat);
  assert.equal(typeof id, 'string');
  assert.equal(await id, id);
  assert.equal(seen.length, 0);
  await eventually(() => seen.length === 1);
  gateway.publish('chat', { n: 1 }, { offset: 1 });
  gateway.publish('chat', { n: 2 }, { offset: 2 });
  await eventually(() => seen.length === 3);
  assert.deepEqual([...seen], ['subscribed false', 'message {"n":1}', 'message {"n":2}']);
  const [{ subscribe }] = gateway.commands;
  assert.ok(subscribe.recoverable && subscribe.positioned && !subscribe.recover);
});

test('a message has a payload, a publisher when there is one, and its channel', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const got = [];
  const channel = { name: 'chat', resourceId: 'room 1', appId: 'shop' };
  client.subscribe(channel, (...values) => got.push(values));
  channel.name = 'changed afterwards';
  await settled();
  gateway.publish('shop/chat:room 1', { n: 1 }, { offset: 7, info: { client: '', user: 'ann' } });
  gateway.publish('shop/chat:room 1', { n: 2 }, { offset: 8, info: { client: '', user: '' } });
  gateway.publish('shop/chat:room 1', { n: 3 }, { offset: 9 });
  await eventually(() => got.length === 3);
  const own = { name: 'chat', resourceId: 'room 1', appId: 'shop' };
  assert.deepEqual(got, [
    [{ payload: { n: 1 }, publisher: { id: 'ann' } }, own, { offset: 7, restored: false }],
    [{ payload: { n: 2 } }, own, { offset: 8, restored: false }],
    [{ payload: { n: 3 } }, own, { offset: 9, restored: false }],
  ]);
});

test('subscriptions to one address share one on the network', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const seen = [];
  const first = recorded(client, chat, seen, 'a');
  recorded(client, { ...chat }, seen, 'b');
  await eventually(() => seen.length === 2);
  const third = recorded(client, { ...chat, resourceId: '' }, seen, 'c');
  assert.equal(seen.length, 2, 'nothing runs before the id is returned');
  await eventually(() => seen.length === 3);
  gateway.publish('chat', 1);
  await eventually(() => seen.length === 6);
  assert.deepEqual([...seen], [
    'a subscribed false', 'b subscribed false', 'c subscribed false', 'a message 1', 'b message 1', 'c message 1',
  ]);
  client.unsubscribe({ subscriptionId: first.id });
  gateway.publish('chat', 2);
  await eventually(() => seen.length === 8);
  assert.deepEqual(seen.slice(6), ['b message 2', 'c message 2']);
  assert.equal(new Set([first.id, third.id]).size, 2);
  assert.deepEqual(gateway.joins, ['+chat']);
  assert.equal(gateway.sockets.length, 1);
});

test('restored messages come before the onSubscribed that says so', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const { seen } = recorded(client, chat);
  await settled();
  gateway.publish('chat', 1, { offset: 1 });
  await settled();
  const publications = [2, 3].map((n) => ({ data: n, offset: n }));
  gateway.answers.subscribe = ({ recover, offset, epoch }) => {
    assert.deepEqual({ recover, offset, epoch }, { recover: true, offset: 1, epoch: 'e' });
    gateway.publish('chat', 4, { offset: 4 }); // live, behind the reply
    return { subscribe: { ...position, offset: 1, was_recovering: true, recovered: true, publications } };
  };
  // The reply first: a gateway sends nothing of the address before it.
  const { line } = gateway;
  const later = [];
  gateway.line = (at) => (at.push ? later.push(at) : (line.call(gateway, at), later.splice(0).forEach((held) => line.call(gateway, held))));
  gateway.lose();
  await eventually(() => seen.length === 7);
  assert.deepEqual([...seen], [
    'subscribed false', 'message 1', 'DISCONNECTED true', 'restored 2', 'restored 3', 'subscribed true', 'message 4',
  ]);
});

test('what cannot be restored is said', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const { seen } = recorded(client, chat);
  await settled();
  gateway.answers.subscribe = () => ({ subscribe: { ...position, epoch: 'f', was_recovering: true, recovered: false } });
  gateway.lose(3001, 'shutdown');
  await eventually(() => seen.length === 3);
  assert.deepEqual([...seen], ['subscribed false', 'DISCONNECTED true', 'subscribed false']);
  assert.match(seen.errors[0].message, /shutdown \(3001\)/);
});

test('a subscription that the server starts anew is told, without an error', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const { seen } = recorded(client, chat);
  await settled();
  gateway.unsubscribe('chat', 2500, 'insufficient state');
  await eventually(() => seen.length === 2);
  assert.deepEqual([...seen], ['subscribed false', 'subscribed false']);
  assert.deepEqual(gateway.joins, ['+chat', '+chat']);
});

test('one that joins during a loss has nothing restored to it', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const seen = [];
  recorded(client, chat, seen, 'old');
  await settled();
  gateway.answers.subscribe = () => ({
    subscribe: { ...position, was_recovering: true, recovered: true, publications: [{ data: 1, offset: 1 }] },
  });
  gateway.lose();
  recorded(client, chat, seen, 'new');
  await eventually(() => seen.length === 5);
  gateway.publish('chat', 2, { offset: 2 });
  await eventually(() => seen.length === 7);
  assert.deepEqual([...seen], [
    'old subscribed false', 'old DISCONNECTED true', 'old restored 1', 'old subscribed true', 'new subscribed false',
    'old message 2', 'new message 2',
  ]);
});

test('a handler that fails touches nothing else', async (context) => {
  const gateway = new FakeGateway();
  const reported = reports(context);
  const client = clientOf(context, gateway);
  const broken = (what) => () => {
    throw new Error(what);
  };
  client.subscribe(chat, broken('onMessage'), { onSubscribed: broken('onSubscribed'), onSubscriptionError: broken('onSubscriptionError') });
  client.subscribe(chat, async () => Promise.reject(new Error('later')));
  client.onConnection(broken('onConnection'));
  const { seen } = recorded(client, chat);
  await settled();
  gateway.publish('chat', 1, { offset: 1 });
  await settled();
  gateway.lose();
  await eventually(() => seen.length === 4);
  assert.deepEqual([...seen], ['subscribed false', 'message 1', 'DISCONNECTED true', 'subscribed false']);
  await settled();
  const said = new Set(reported.map((error) => error.message));
  assert.deepEqual(said, new Set(['onMessage', 'onSubscribed', 'onSubscriptionError', 'later', 'onConnection']));
});

test('a refused subscription is final, and can be tried again by the program', async (context) => {
  const gateway = new FakeGateway();
  const reported = reports(context);
  const client = clientOf(context, gateway);
  client.connect();
  gateway.answers.subscribe = () => ({ error: { code: 403, message: 'read permission refused' } });
  const seen = [];
  recorded(client, chat, seen, 'a');
  recorded(client, chat, seen, 'b');
  client.subscribe(chat, () => {}); // without a handler for it
  await eventually(() => seen.length === 2);
  assert.deepEqual([...seen], ['a SUBSCRIPTION_FAILED false', 'b SUBSCRIPTION_FAILED false']);
  const [error] = seen.errors;
  assert.equal(error.status, 403);
  assert.deepEqual(error.channel, chat);
  assert.ok(error instanceof Error);
  assert.match(error.message, /chat was refused: read permission refused \(403\)/);
  assert.equal(reported.length, 1, 'what nobody listens for is reported');
  gateway.lose();
  await eventually(() => gateway.connects.length === 2);
  await settled();
  assert.deepEqual(gateway.joins, ['+chat'], 'not tried again by itself');
  gateway.answers.subscribe = () => ({ subscribe: position });
  recorded(client, chat, seen, 'c');
  await eventually(() => seen.includes('c subscribed false'));
  assert.deepEqual(gateway.joins, ['+chat', '+chat']);
  assert.equal(seen.length, 3);
});

test('each refusal has its status', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  client.connect();
  const statuses = { 400: 400, 404: 404, 503: 503, 101: 401, 103: 403, 105: 409, 106: 429, 107: 400 };
  for (const [code, status] of Object.entries(statuses)) {
    gateway.answers.subscribe = () => ({ error: { code: Number(code), message: 'no' } });
    const { seen } = recorded(client, chat);
    await eventually(() => seen.errors.length === 1);
    assert.deepEqual([...seen], ['SUBSCRIPTION_FAILED false']);
    assert.equal(seen.errors[0].status, status, code);
  }
});

test('a temporary error is told and tried again', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  gateway.answers.subscribe = () => {
    gateway.answers.subscribe = () => ({ subscribe: position });
    return { error: { code: 100, message: 'internal error', temporary: true } };
  };
  const { seen } = recorded(client, chat);
  await eventually(() => seen.length === 2);
  assert.deepEqual([...seen], ['SUBSCRIPTION_FAILED true', 'subscribed false']);
  assert.equal(seen.errors[0].status, 503);
});

test('a subscription that the server ends has failed', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const { seen } = recorded(client, chat);
  await settled();
  gateway.unsubscribe('chat', 2000, 'revoked');
  await eventually(() => seen.length === 2);
  assert.deepEqual([...seen], ['subscribed false', 'SUBSCRIPTION_FAILED false']);
  assert.equal(seen.errors[0].status, 403);
  assert.match(seen.errors[0].message, /was ended: revoked \(2000\)/);
});

test('each end by the server has its status, and is not tried again', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  client.connect();
  const ends = {
    2000: [403, 'server unsubscribe'], 2403: [403, 'read permission refused'], 2410: [403, 'read permission revoked'],
    2453: [503, 'permission handler unavailable'], 2499: [403, 'other'],
  };
  for (const [code, [status, reason]] of Object.entries(ends)) {
    const { seen } = recorded(client, chat);
    await eventually(() => seen.includes('subscribed false'));
    const joins = gateway.joins.length;
    gateway.unsubscribe('chat', Number(code), reason);
    gateway.publish('chat', 'too late');
    await eventually(() => seen.length === 2);
    await settled();
    assert.deepEqual([...seen], ['subscribed false', 'SUBSCRIPTION_FAILED false']);
    assert.equal(seen.errors[0].status, status, code);
    assert.deepEqual(seen.errors[0].channel, chat);
    assert.ok(seen.errors[0].message.endsWith(`was ended: ${reason} (${code})`), seen.errors[0].message);
    assert.equal(gateway.joins.length, joins);
  }
});

test('a permission that nobody can decide now is told each time, and asked for until somebody can', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const { seen } = recorded(client, chat);
  await settled();
  gateway.publish('chat', 1, { offset: 1 });
  await settled();
  // An outage of the handler outlasts a loss of the connection; what was missed comes after it.
  let refusals = 0;
  gateway.answers.subscribe = ({ recover }) => {
    if (++refusals <= 2) return { error: { code: 503, message: 'permission handler unavailable', temporary: true } };
    return { subscribe: { ...position, offset: 1, was_recovering: recover, recovered: recover, publications: [{ data: 2, offset: 2 }] } };
  };
  gateway.lose();
  await eventually(() => seen.at(-1) === 'subscribed true');
  assert.deepEqual([...seen], [
    'subscribed false', 'message 1', 'DISCONNECTED true', 'SUBSCRIPTION_FAILED true', 'SUBSCRIPTION_FAILED true', 'restored 2', 'subscribed true',
  ]);
  assert.deepEqual(seen.errors.map(({ status }) => status), [undefined, 503, 503]);
  assert.match(seen.errors[1].message, /chat has to wait: permission handler unavailable \(503\)/);
});

test('a permission that nobody could decide is refused for good when the gateway says so', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  client.connect();
  gateway.answers.subscribe = () => ({ error: { code: 503, message: 'permission handler unavailable' } });
  const { seen } = recorded(client, chat);
  await eventually(() => seen.length === 1);
  gateway.lose();
  await eventually(() => gateway.connects.length === 2);
  await settled();
  assert.deepEqual([[...seen], seen.errors[0].status, gateway.joins], [['SUBSCRIPTION_FAILED false'], 503, ['+chat']]);
});

test('a handler may subscribe, and unsubscribe any other, at any time', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const seen = [];
  let other;
  client.subscribe(chat, () => {
    client.unsubscribe({ subscriptionId: other.id });
    recorded(client, chat, seen, 'inner');
    recorded(client, { name: 'news' }, seen, 'news');
  });
  other = recorded(client, chat, seen, 'other');
  await settled();
  gateway.publish('chat', 1);
  await eventually(() => seen.includes('news subscribed false'));
  assert.deepEqual([...seen], ['other subscribed false', 'inner subscribed false', 'news subscribed false']);
});

test('a refused program may ask again inside the handler that tells it', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  gateway.answers.subscribe = () => {
    gateway.answers.subscribe = () => ({ subscribe: position });
    return { error: { code: 503, message: 'permission handler unavailable' } };
  };
  const seen = [];
  client.subscribe(chat, () => {}, { onSubscriptionError: () => recorded(client, chat, seen) });
  await eventually(() => seen.length === 1);
  gateway.publish('chat', 1);
  await eventually(() => seen.length === 2);
  assert.deepEqual([...seen], ['subscribed false', 'message 1']);
  assert.deepEqual(gateway.joins, ['+chat', '+chat']);
  assert.equal(gateway.sockets.length, 1);
});

test('what was left out is told before the message behind it', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const seen = [];
  const id = client.subscribe(chat, ({ payload }) => seen.push(payload.n), { onMissed: (...values) => seen.push(values) });
  client.subscribe(chat, () => {}); // one that does not want to know
  await settled();
  gateway.publish('chat', { n: 1 }, { offset: 1 });
  gateway.publish('chat', { n: 5 }, { offset: 5, tags: { missed: '3' } });
  gateway.publish('chat', { n: 6 }, { offset: 6, tags: { missed: 'many' } });
  await eventually(() => seen.length === 4);
  assert.deepEqual(seen, [1, [3, id], 5, 6]);
});

test('one that unsubscribes in onMissed does not get the message behind it', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const seen = [];
  for (const name of ['a', 'b']) {
    const id = client.subscribe(chat, ({ payload }) => seen.push(`${name} ${payload.n}`), {
      onMissed: (count) => {
        seen.push(`${name} missed ${count}`);
        client.unsubscribe(name === 'a' ? { subscriptionId: id } : { channel: chat });
      },
    });
  }
  await settled();
  gateway.publish('chat', { n: 5 }, { offset: 5, tags: { missed: '3' } });
  await eventually(() => seen.length === 2);
  await settled();
  assert.deepEqual(seen, ['a missed 3', 'b missed 3']);
});

test('onMissed is a function', () => {
  const client = clientOf({ after: () => {} }, new FakeGateway());
  assert.throws(() => client.subscribe(chat, () => {}, { onMissed: 3 }), { errorCode: 'BAD_INPUT', message: /onMissed/ });
});
