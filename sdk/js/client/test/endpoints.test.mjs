import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpointsOf, transportsFor } from '../src/endpoints.js';
import { clientOf, eventually, FakeGateway, recorded } from './gateway.mjs';

const path = '/connection/websocket';

test('an origin stands for the path of a gateway', () => {
  const cases = [
    ['ws://a.test', `ws://a.test${path}`],
    ['https://a.test/', `wss://a.test${path}`],
    ['http://a.test:8000', `ws://a.test:8000${path}`],
    ['wss://a.test?x=1', `wss://a.test${path}?x=1`],
    ['wss://a.test/else/where?x=1#y', 'wss://a.test/else/where?x=1'],
    [`ws://[::1]:8000${path}`, `ws://[::1]:8000${path}`],
  ];
  for (const [url, endpoint] of cases) assert.deepEqual(endpointsOf({ url }), [endpoint]);
  assert.deepEqual(endpointsOf({ urls: ['ws://a.test', 'ws://b.test'] }), [`ws://a.test${path}`, `ws://b.test${path}`]);
});

test('a page may leave its own origin out', () => {
  globalThis.location = { href: 'https://page.test/shop/' };
  try {
    assert.deepEqual(endpointsOf({ url: path }), [`wss://page.test${path}`]);
  } finally {
    delete globalThis.location;
  }
});

test('what is no way to a gateway is refused', () => {
  const cases = [
    [{}, /one of the options url and urls/],
    [{ url: 'ws://a.test', urls: ['ws://b.test'] }, /one of the options/],
    [{ urls: [] }, /at least one/],
    [{ urls: 'ws://a.test' }, /an array/],
    [{ url: 'a.test' }, /'a\.test' is no URL/],
    [{ urls: ['ws://a.test', 'ftp://b.test'] }, /begins with ftp:/],
  ];
  for (const [options, message] of cases) assert.throws(() => endpointsOf(options), message);
});

test('without a WebSocket the option is asked for', (context) => {
  const { WebSocket } = globalThis;
  context.after(() => void (globalThis.WebSocket = WebSocket));
  globalThis.WebSocket = undefined;
  assert.throws(() => transportsFor([`ws://a.test${path}`]), /give one as the option websocket/);
});

test('several gateways are tried in turn', async (context) => {
  const gateway = new FakeGateway();
  const urls = ['ws://a.test', 'ws://b.test', 'ws://c.test'];
  gateway.refuse = true;
  const client = clientOf(context, gateway, { url: undefined, urls });
  const { seen } = recorded(client, { name: 'chat' });
  await eventually(() => gateway.sockets.length >= 7);
  gateway.refuse = false;
  await eventually(() => seen.includes('subscribed false'));
  const tried = gateway.sockets.map(({ url }) => endpointsOf({ urls }).indexOf(url));
  tried.forEach((at, index) => assert.equal(at, (tried[0] + index) % 3));
});
