import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientOf, eventually, FakeGateway, recorded, reports, settled } from './gateway.mjs';

const chat = { name: 'chat' };
const position = { recoverable: true, positioned: true, epoch: 'e' };

function states(client) {
  const told = [];
  told.off = client.onConnection((connection) => told.push(connection));
  return told;
}

test('without connect() the connection lives from the first subscription to the last', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const told = states(client);
  await settled();
  assert.equal(gateway.sockets.length, 0);
  assert.deepEqual(told.map((at) => at.state), ['closed']);
  const { id } = recorded(client, chat);
  await settled();
  // One address for another: the connection stays.
  client.unsubscribe({ subscriptionId: id });
  const { id: second } = recorded(client, { name: 'news' });
  await settled();
  assert.equal(client.connection.state, 'connected');
  client.unsubscribe({ subscriptionId: second });
  await settled();
  assert.deepEqual(told.map((at) => at.state), ['closed', 'connecting', 'connected', 'closed']);
  assert.equal(client.connection.code, 0);
  const { seen } = recorded(client, chat);
  await eventually(() => seen.includes('subscribed false'));
  assert.equal(gateway.sockets.length, 2);
});

test('connect() opens it and keeps it', async (context) => {
  const gateway = new FakeGateway();
  gateway.answers.connect = () => ({ connect: { client: 'c1', data: { gateway: 'gateway-a' } } });
  const client = clientOf(context, gateway);
  client.connect();
  const told = states(client);
  await eventually(() => client.connection.state === 'connected');
  client.unsubscribe({ subscriptionId: recorded(client, chat).id });
  await settled();
  assert.deepEqual([...told], [
    { state: 'connecting' },
    { state: 'connected', clientId: 'c1', data: { gateway: 'gateway-a' }, transport: 'websocket' },
  ]);
  told.off();
  client.close();
  await settled();
  assert.equal(told.length, 2);
  assert.equal(client.connection.state, 'closed');
});

test('what is subscribed before the connection goes out in one frame with it', async (context) => {
  const gateway = new FakeGateway();
  const frames = [];
  const client = clientOf(context, gateway, {
    websocket: class extends gateway.WebSocket {
      send(text) {
        frames.push(text);
        super.send(text);
      }
    },
  });
  const seen = [];
  for (const name of ['a', 'b', 'c']) recorded(client, { name }, seen, name);
  await eventually(() => seen.length === 3);
  assert.equal(frames[0].split('\n').length, 4);
});

test('a refused connection attempt is told to every subscription, each time', async (context) => {
  const gateway = new FakeGateway();
  gateway.refuse = true;
  const client = clientOf(context, gateway);
  const told = states(client);
  const { seen } = recorded(client, chat);
  await eventually(() => seen.length === 3);
  gateway.refuse = false;
  await eventually(() => seen.at(-1) === 'subscribed false');
  const errors = seen.slice(0, -1);
  assert.ok(errors.every((at) => at === 'CONNECTION_ERROR true'), `${seen}`);
  assert.deepEqual(seen.errors[0].channel, chat);
  assert.ok(!('status' in seen.errors[0]));
  assert.ok(told.some((at) => at.state === 'connecting' && at.reason === 'transport closed'));
});

test('a close for good is told, subscriptions wait, and connect() brings them back', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const { seen } = recorded(client, chat);
  await settled();
  gateway.publish('chat', 1, { offset: 1 });
  await settled();
  gateway.lose(3503, 'force disconnect');
  await eventually(() => seen.length === 3);
  assert.equal(seen[2], 'DISCONNECTED false');
  assert.match(seen.errors[0].message, /force disconnect \(3503\)/);
  assert.deepEqual(client.connection, { state: 'closed', code: 3503, reason: 'force disconnect' });

  // One that is made meanwhile is told the same, and waits too.
  const late = recorded(client, { name: 'news' });
  assert.equal(late.seen.length, 0);
  await settled();
  assert.deepEqual([...late.seen], ['DISCONNECTED false']);
  assert.equal(gateway.sockets.length, 1);

  gateway.answers.subscribe = ({ recover }) => ({ subscribe: { ...position, offset: 1, was_recovering: recover, recovered: recover } });
  client.connect();
  await eventually(() => seen.length === 4 && late.seen.length === 2);
  assert.equal(seen[3], 'subscribed true');
  assert.equal(late.seen[1], 'subscribed false');
});

test('a handler that connects again at the end of a connection does so', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const told = states(client);
  let subscribed = 0;
  client.subscribe(chat, () => {}, {
    onSubscribed: () => void subscribed++,
    onSubscriptionError: ({ recoverable }) => recoverable || client.connect(),
  });
  await settled();
  gateway.lose(3500, 'invalid token');
  await eventually(() => subscribed === 2);
  assert.deepEqual(told.map((at) => at.state), ['connecting', 'connected', 'connecting', 'connected']);
});

test('close() is silent and forgets; the client can be used again', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const { id, seen } = recorded(client, chat);
  recorded(client, { name: 'news' }, seen);
  await settled();
  seen.length = 0;
  gateway.publish('chat', 1);
  client.close();
  client.close();
  await settled();
  assert.equal(seen.length, 0);
  assert.deepEqual(gateway.joins, ['+chat', '+news'], 'closed without a farewell for each');
  client.unsubscribe({ subscriptionId: id });
  const again = recorded(client, chat);
  await eventually(() => again.seen.includes('subscribed false'));
  assert.deepEqual(gateway.joins, ['+chat', '+news', '+chat']);
  assert.equal(seen.length, 0);
});

test('close() undoes connect(), and an end for good', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  client.connect();
  await settled();
  client.close();
  const first = recorded(client, chat);
  await eventually(() => first.seen.includes('subscribed false'));
  client.unsubscribe({ subscriptionId: first.id });
  await settled();
  assert.equal(client.connection.state, 'closed', 'not kept open any more');

  const second = recorded(client, chat);
  await eventually(() => second.seen.includes('subscribed false'));
  gateway.lose(3503, 'force disconnect');
  await eventually(() => second.seen.includes('DISCONNECTED false'));
  client.close();
  const third = recorded(client, chat);
  await eventually(() => third.seen.length === 1);
  assert.deepEqual([...third.seen], ['subscribed false']);
});

test('onConnection() ends before it has begun', async (context) => {
  const client = clientOf(context, new FakeGateway());
  const told = states(client);
  told.off();
  client.connect();
  await settled();
  assert.equal(told.length, 0);
});

test('close() from any handler', async (context) => {
  for (const where of ['message', 'onSubscribed', 'onSubscriptionError', 'onConnection']) {
    const gateway = new FakeGateway();
    const client = clientOf(context, gateway);
    const after = [];
    const end = (at) => {
      after.push(at);
      if (at === where) client.close();
    };
    for (let times = 0; times < 2; times++) {
      client.subscribe(chat, () => end('message'), {
        onSubscribed: () => end('onSubscribed'),
        onSubscriptionError: () => end('onSubscriptionError'),
      });
    }
    if (where === 'onConnection') client.onConnection(({ state }) => state === 'connected' && end('onConnection'));
    await settled();
    gateway.publish('chat', 1);
    await settled();
    if (where === 'onSubscriptionError') gateway.lose();
    await settled();
    assert.equal(after.at(-1), where);
    assert.equal(after.filter((at) => at === where).length, 1, `${after}`);
    assert.equal(client.connection.state, 'closed');
  }
});

test('a bad address is told to its own handler, and nothing is sent', async (context) => {
  const gateway = new FakeGateway();
  const reported = reports(context);
  const client = clientOf(context, gateway);
  const { seen } = recorded(client, { name: 'a b' });
  assert.equal(seen.length, 0, 'not before the id is there');
  client.subscribe({ name: 'c d' }, () => {});
  await settled();
  assert.deepEqual([...seen], ['BAD_INPUT false']);
  assert.deepEqual(seen.errors[0].channel, { name: 'a b' });
  assert.match(reported[0].message, /only letters/);
  assert.equal(gateway.sockets.length, 0);
});

test('handlers that are none are refused at once', (context) => {
  const client = clientOf(context, new FakeGateway());
  const refused = (message, ...values) => assert.throws(() => client.subscribe(...values), (error) => error.errorCode === 'BAD_INPUT' && message.test(error.message));
  refused(/onMessage: a function/, chat);
  refused(/onSubscribed: a function/, chat, () => {}, { onSubscribed: 'no' });
  refused(/onSubscriptionError: a function/, chat, () => {}, { onSubscriptionError: {} });
  assert.throws(() => client.onConnection(), /a function/);
  assert.throws(() => client.setToken(), /a string/);
});

test('options that are none are refused', (context) => {
  const gateway = new FakeGateway();
  const cases = [
    [{ ulr: 'x' }, /'ulr' is no option; there are url, urls/],
    [{ token: 7 }, /token: a string/],
    [{ getToken: 'x' }, /getToken: a function/],
    [{ websocket: 'x' }, /give one as the option websocket/],
    [{ fallback: 'yes' }, /fallback: true or false is needed/],
  ];
  for (const [options, message] of cases) assert.throws(() => clientOf(context, gateway, options), message);
});

// --- tokens ---

test('a token goes along, and setToken() changes the next', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway, { token: 'first' });
  client.connect();
  await settled();
  client.setToken('second');
  gateway.lose();
  await eventually(() => gateway.connects.length === 2);
  assert.deepEqual(gateway.connects.map((at) => at.token), ['first', 'second']);
});

test('getToken is asked for the first token, and for the next when one expires', async (context) => {
  const gateway = new FakeGateway();
  let asked = 0;
  const refreshed = [];
  gateway.answers.connect = () => ({ connect: { client: 'c', expires: true, ttl: 0.01 } });
  gateway.answers.refresh = ({ token }) => {
    refreshed.push(token);
    return { refresh: {} };
  };
  const client = clientOf(context, gateway, { getToken: async () => `token-${++asked}` });
  const { seen } = recorded(client, chat);
  await eventually(() => refreshed.length === 1);
  assert.deepEqual(gateway.connects.map((at) => at.token), ['token-1']);
  assert.deepEqual(refreshed, ['token-2']);
  assert.deepEqual([...seen], ['subscribed false']);
  assert.equal(gateway.sockets.length, 1);
});

test('a refresh that fails for a while is no matter of subscriptions', async (context) => {
  const gateway = new FakeGateway();
  let refreshes = 0;
  gateway.answers.connect = () => ({ connect: { client: 'c', expires: true, ttl: 0.01 } });
  gateway.answers.refresh = () => {
    refreshes++;
    return { error: { code: 100, message: 'internal error', temporary: true } };
  };
  const client = clientOf(context, gateway, { getToken: async () => 'token' });
  const { seen } = recorded(client, chat);
  await eventually(() => refreshes === 1);
  await settled();
  assert.deepEqual([...seen], ['subscribed false']);
  assert.equal(client.connection.state, 'connected');
});

test('a connection closed as expired comes back with a new token', async (context) => {
  const gateway = new FakeGateway();
  let asked = 0;
  const client = clientOf(context, gateway, { token: 'old', getToken: () => `token-${++asked}` });
  const { seen } = recorded(client, chat);
  await settled();
  const { connect } = gateway.answers;
  gateway.answers.connect = () => {
    gateway.answers.connect = connect;
    return { error: { code: 109, message: 'token expired' } };
  };
  gateway.lose(3005, 'connection expired');
  await eventually(() => seen.at(-1) === 'subscribed false' && seen.length > 2);
  assert.deepEqual([...seen], ['subscribed false', 'DISCONNECTED true', 'CONNECTION_ERROR true', 'subscribed false']);
  assert.deepEqual(gateway.connects.map((at) => at.token), ['old', 'old', 'token-1']);
});

test('no token ends the connection, a failing getToken is asked again', async (context) => {
  const gateway = new FakeGateway();
  const answers = [() => Promise.reject(new Error('no network')), () => 7, () => ''];
  const client = clientOf(context, gateway, { getToken: () => answers.shift()() });
  const { seen } = recorded(client, chat);
  await eventually(() => seen.length === 3);
  assert.deepEqual([...seen], ['CONNECTION_ERROR true', 'CONNECTION_ERROR true', 'DISCONNECTED false']);
  assert.match(seen.errors[0].message, /no network/);
  assert.match(seen.errors[1].message, /number, not with a string/);
  assert.match(seen.errors[2].message, /unauthorized/);
  assert.equal(gateway.sockets.length, 0);
});

test('after an end for good connect() asks for a new token', async (context) => {
  const gateway = new FakeGateway();
  let asked = 0;
  const client = clientOf(context, gateway, { getToken: () => `token-${++asked}` });
  const { seen } = recorded(client, chat);
  await settled();
  gateway.lose(3500, 'invalid token');
  await settled();
  client.connect();
  await eventually(() => seen.length === 3);
  assert.deepEqual(gateway.connects.map((at) => at.token), ['token-1', 'token-2']);
});

test('a refused token is an end for good', async (context) => {
  const gateway = new FakeGateway();
  gateway.answers.connect = () => ({ error: { code: 101, message: 'unauthorized' } });
  const client = clientOf(context, gateway, { token: 'bad' });
  const { seen } = recorded(client, chat);
  await eventually(() => seen.length === 1);
  await settled();
  assert.deepEqual([...seen], ['DISCONNECTED false']);
  assert.equal(gateway.sockets.length, 1);
});
