// The functions of the module, which share one connection.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { close, configure, connect, createClient, onConnection, subscribe, subscriber, unsubscribe } from '@millrace/client';
import { eventually, FakeGateway, settled } from './gateway.mjs';

test('without a connection there is a clear error', () => {
  const missing = /call connect\(\{url\}\) or configure\(\{url\}\) first/;
  assert.throws(() => subscribe({ name: 'chat' }, () => {}), missing);
  assert.throws(() => unsubscribe({ channel: { name: 'chat' } }), missing);
  assert.throws(() => onConnection(() => {}), missing);
  close();
});

test('one default connection at a time', async () => {
  const gateway = new FakeGateway();
  const options = { url: 'ws://gateway.test', websocket: gateway.WebSocket };
  connect(options);
  assert.throws(() => connect(options), /close\(\) it first/);
  assert.throws(() => configure(options), /close\(\) it first/);
  close();
  configure(options);
  await settled();
  assert.equal(gateway.connects.length, 0);
  const told = [];
  onConnection(({ state }) => told.push(state));
  const id = subscriber.subscribe({ name: 'chat' }, () => {}, { onSubscribed: () => told.push('subscribed') });
  await eventually(() => told.includes('subscribed'));
  subscriber.unsubscribe({ subscriptionId: id });
  await eventually(() => told.at(-1) === 'closed');
  assert.deepEqual(gateway.joins, ['+chat', '-chat']);
  close();
});

test('further connections are apart', async () => {
  const gateways = [new FakeGateway(), new FakeGateway()];
  const got = [];
  const clients = gateways.map(({ WebSocket }, index) => {
    const client = createClient({ url: 'ws://gateway.test', websocket: WebSocket });
    client.subscribe({ name: 'chat' }, ({ payload }) => got.push([index, payload]));
    return client;
  });
  await settled();
  gateways[1].publish('chat', 'b');
  await settled();
  gateways[0].publish('chat', 'a');
  await settled();
  assert.deepEqual(got, [[1, 'b'], [0, 'a']]);
  clients.forEach((client) => client.close());
});
