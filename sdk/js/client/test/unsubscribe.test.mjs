import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientOf, eventually, FakeGateway, recorded, settled } from './gateway.mjs';

const addresses = {
  chat: { name: 'chat' },
  room: { name: 'chat', resourceId: 'room' },
  other: { name: 'chat', resourceId: 'other' },
  app: { name: 'chat', appId: 'shop' },
  appRoom: { name: 'chat', resourceId: 'room', appId: 'shop' },
};
const wire = { chat: 'chat', room: 'chat:room', other: 'chat:other', app: 'shop/chat', appRoom: 'shop/chat:room' };

// Two subscriptions to each address; returns {client, ids: {chat: [a, b]}, left()}.
async function everything(context) {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const seen = [];
  const ids = {};
  for (const [key, channel] of Object.entries(addresses)) {
    ids[key] = ['1', '2'].map((number) => recorded(client, channel, seen, key + number).id);
  }
  await eventually(() => seen.length === 10);
  // Who gets what is published to all addresses now.
  const left = async () => {
    await settled();
    seen.length = 0;
    for (const text of Object.values(wire)) gateway.publish(text, 0);
    await settled();
    return seen.map((at) => at.split(' ')[0]);
  };
  return { gateway, client, ids, left };
}

const all = Object.keys(addresses).flatMap((key) => [`${key}1`, `${key}2`]);
const without = (...gone) => all.filter((at) => !gone.includes(at));

test('by channel: all subscriptions to exactly that address', async (context) => {
  const { gateway, client, left } = await everything(context);
  client.unsubscribe({ channel: { name: 'chat' } });
  assert.deepEqual(await left(), without('chat1', 'chat2'));
  client.unsubscribe({ channel: { name: 'chat', resourceId: 'room' } });
  assert.deepEqual(await left(), without('chat1', 'chat2', 'room1', 'room2'));
  client.unsubscribe({ channel: { name: 'chat', resourceId: 'room', appId: 'shop' } });
  assert.deepEqual(await left(), without('chat1', 'chat2', 'room1', 'room2', 'appRoom1', 'appRoom2'));
  assert.deepEqual(gateway.joins.slice(5), ['-chat', '-chat:room', '-shop/chat:room']);
});

test('a channel of another app is only matched with its app id', async (context) => {
  const { client, left } = await everything(context);
  client.unsubscribe({ channel: { name: 'chat' } });
  client.unsubscribe({ channel: { name: 'chat', appId: 'other' } });
  assert.deepEqual(await left(), without('chat1', 'chat2'));
  client.unsubscribe({ channel: { name: 'chat', appId: 'shop' } });
  assert.deepEqual(await left(), without('chat1', 'chat2', 'app1', 'app2'));
});

test('by id: that one, and the address when it was the last', async (context) => {
  const { gateway, client, ids, left } = await everything(context);
  client.unsubscribe({ subscriptionId: ids.room[0] });
  assert.deepEqual(await left(), without('room1'));
  assert.equal(gateway.joins.length, 5);
  client.unsubscribe({ subscriptionId: ids.room[0] });
  client.unsubscribe({ subscriptionId: 'none' });
  assert.deepEqual(await left(), without('room1'));
  client.unsubscribe({ subscriptionId: ids.room[1] });
  assert.deepEqual(await left(), without('room1', 'room2'));
  assert.deepEqual(gateway.joins.slice(5), ['-chat:room']);
});

test('by both: that one, if it listens to that channel', async (context) => {
  const { client, ids, left } = await everything(context);
  const subscriptionId = ids.app[0];
  client.unsubscribe({ channel: addresses.chat, subscriptionId });
  client.unsubscribe({ channel: addresses.appRoom, subscriptionId });
  client.unsubscribe({ channel: { name: 'nobody' }, subscriptionId });
  client.unsubscribe({ channel: addresses.app, subscriptionId: 'none' });
  assert.deepEqual(await left(), all);
  client.unsubscribe({ channel: addresses.app, subscriptionId });
  assert.deepEqual(await left(), without('app1'));
});

test('by neither, or by what cannot be: BAD_INPUT', async (context) => {
  const { client, left } = await everything(context);
  const cases = [
    [undefined, /a channel or a subscriptionId/],
    [null, /a channel or a subscriptionId/],
    [{}, /a channel or a subscriptionId/],
    [{ channel: undefined, subscriptionId: null }, /a channel or a subscriptionId/],
    [{ subscriptionId: 7 }, /subscriptionId: a string/],
    [{ channel: 'chat' }, /an object/],
    [{ channel: { name: 'a b' } }, /only letters/],
    [{ channel: { name: '' }, subscriptionId: 'x' }, /the name is empty/],
  ];
  for (const [options, message] of cases) {
    assert.throws(() => client.unsubscribe(options), (error) => {
      assert.match(error.message, message);
      return error.errorCode === 'BAD_INPUT' && error.recoverable === false;
    });
  }
  assert.deepEqual(await left(), all);
});

test('leaving and coming back in one turn is a new subscription', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const seen = [];
  const first = recorded(client, addresses.chat, seen, 'first');
  await settled();
  gateway.publish('chat', 'for nobody', { offset: 1 }); // on its way when it is left
  client.unsubscribe({ subscriptionId: first.id });
  recorded(client, addresses.chat, seen, 'second');
  await eventually(() => seen.length === 2);
  gateway.publish('chat', 'for the second', { offset: 2 });
  await eventually(() => seen.length === 3);
  assert.deepEqual([...seen], ['first subscribed false', 'second subscribed false', 'second message "for the second"']);
  assert.deepEqual(gateway.joins, ['+chat', '-chat', '+chat']);
  assert.equal(gateway.sockets.length, 1);
});

test('what was left before it was there leaves nothing behind', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  client.connect();
  const seen = [];
  for (let times = 0; times < 3; times++) {
    client.unsubscribe({ subscriptionId: recorded(client, addresses.chat, seen).id });
  }
  await settled();
  assert.deepEqual(gateway.joins, []);
  for (let times = 0; times < 3; times++) {
    client.unsubscribe({ subscriptionId: recorded(client, addresses.chat, seen).id });
  }
  await settled();
  assert.equal(seen.length, 0);
  assert.deepEqual(gateway.joins, ['+chat', '-chat', '+chat', '-chat', '+chat', '-chat']);
});

test('an id that is over does nothing to those who came after it', async (context) => {
  const gateway = new FakeGateway();
  const client = clientOf(context, gateway);
  const seen = [];
  const old = recorded(client, addresses.chat, seen, 'old');
  await settled();
  client.unsubscribe({ channel: addresses.chat });
  recorded(client, addresses.chat, seen, 'new');
  client.unsubscribe({ subscriptionId: old.id });
  recorded(client, addresses.chat, seen, 'newer');
  await settled();
  gateway.publish('chat', 1);
  await settled();
  assert.deepEqual(seen.slice(-2), ['new message 1', 'newer message 1']);
  assert.deepEqual(gateway.joins, ['+chat', '-chat', '+chat']);
});
