// Where no WebSocket opens: plain HTTP, played in this process.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { transportsFor } from '../src/endpoints.js';
import { clientOf, eventually, FakeGateway, recorded } from './gateway.mjs';

const path = '/connection/websocket';
class NoWebSocket {}

function endpoints(urls, options) {
  return transportsFor(urls, { websocket: NoWebSocket, ...options }).transports;
}

// The global `name` for the length of a test.
function replaced(context, name, value) {
  const before = Object.getOwnPropertyDescriptor(globalThis, name);
  context.after(() => (before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]));
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

function connected(first) {
  const { id } = JSON.parse(first);
  return { id, connect: { client: 'c1', ping: 25, pong: true, session: 's1', node: 'n1' } };
}

// A gateway without WebSocket: `requests` are all that came, streams answer the connect command.
function httpGateway(context, { status = 200 } = {}) {
  const gateway = { requests: [], streams: [], status };
  const line = (stream, message) => stream.enqueue(new TextEncoder().encode(`${JSON.stringify(message)}\n`));
  const open = (first) => new ReadableStream({
    start: (stream) => {
      gateway.streams.push(stream);
      line(stream, connected(first));
    },
  });
  replaced(context, 'fetch', async (url, { body }) => {
    gateway.requests.push({ url, body });
    if (gateway.status !== 200) return new Response('no', { status: gateway.status });
    if (!url.endsWith('/emulation')) return new Response(open(body));
    const { data } = JSON.parse(body);
    for (const command of data.split('\n').map((text) => JSON.parse(text))) {
      if (command.subscribe) line(gateway.streams.at(-1), { id: command.id, subscribe: {} });
    }
    return new Response(null, { status: 204 });
  });
  gateway.say = (message) => line(gateway.streams.at(-1), message);
  return gateway;
}

function withoutWebSocket(context, options) {
  const gateway = new FakeGateway();
  gateway.refuse = true;
  return clientOf(context, gateway, { fallback: true, ...options });
}

test('the fallback is beside the WebSocket', (context) => {
  replaced(context, 'EventSource', undefined);
  assert.deepEqual(endpoints([`ws://a.test${path}`]).map(({ transport }) => transport), ['websocket', 'http_stream']);
  replaced(context, 'EventSource', class {});
  assert.deepEqual(endpoints([`wss://a.test:8000/chat${path}?x=1`]), [
    { transport: 'websocket', endpoint: `wss://a.test:8000/chat${path}?x=1` },
    { transport: 'http_stream', endpoint: 'https://a.test:8000/chat/connection/http_stream?x=1' },
    { transport: 'sse', endpoint: 'https://a.test:8000/chat/connection/sse?x=1' },
  ]);
});

test('there is none when it is not wanted, or not known where', () => {
  assert.equal(endpoints([`ws://a.test${path}`], { fallback: false }).length, 1);
  assert.equal(endpoints(['ws://a.test/else/where']).length, 1);
  assert.equal(endpoints([`ws://a.test${path}`, 'ws://b.test/else/where']).length, 1);
});

test('where no WebSocket opens, a stream and requests do the same', async (context) => {
  const http = httpGateway(context);
  const client = withoutWebSocket(context);
  const { seen } = recorded(client, { name: 'chat' });
  await eventually(() => seen.includes('subscribed false'));
  assert.deepEqual([...seen], ['subscribed false'], 'that no WebSocket opened is no failure');
  assert.equal(client.connection.transport, 'http_stream');
  assert.deepEqual(http.requests.map(({ url }) => url), [
    'http://gateway.test/connection/http_stream',
    'http://gateway.test/emulation',
  ]);
  assert.deepEqual({ ...JSON.parse(http.requests[1].body), data: null }, { session: 's1', node: 'n1', data: null });
  http.say({ push: { channel: 'chat', pub: { data: { text: 'hello' }, offset: 1 } } });
  await eventually(() => seen.includes('message {"text":"hello"}'));
});

test('an attempt has failed when no way is left, and each one after a connection was there', async (context) => {
  const http = httpGateway(context, { status: 503 });
  const told = [];
  const client = withoutWebSocket(context);
  const { seen } = recorded(client, { name: 'chat' });
  client.onConnection((connection) => told.push(connection.state));
  await eventually(() => http.requests.length >= 3);
  http.status = 200;
  await eventually(() => seen.includes('subscribed false'));
  const failures = seen.filter((at) => at.startsWith('CONNECTION_ERROR')).length;
  const refused = http.requests.filter(({ url }) => url.endsWith('http_stream')).length - 1;
  assert.equal(failures, refused, 'one for each stream that was refused, none for a WebSocket');
  http.status = 503;
  http.streams.at(-1).close();
  await eventually(() => seen.filter((at) => at.startsWith('CONNECTION_ERROR')).length >= failures + 2);
  assert.ok(seen.some((at) => at.startsWith('DISCONNECTED')));
});

test('each attempt goes to the next gateway, and commands follow their stream', async (context) => {
  const http = httpGateway(context, { status: 503 });
  const urls = ['ws://a.test', 'ws://b.test', 'ws://c.test'];
  const client = withoutWebSocket(context, { url: undefined, urls });
  const { seen } = recorded(client, { name: 'chat' });
  await eventually(() => http.requests.length >= 4);
  const hosts = new Set(http.requests.map(({ url }) => new URL(url).host));
  assert.ok(hosts.size > 1, [...hosts].join());
  http.status = 200;
  await eventually(() => seen.includes('subscribed false'));
  const [stream, commands] = http.requests.slice(-2).map(({ url }) => new URL(url));
  assert.equal(stream.pathname, '/connection/http_stream');
  assert.equal(commands.pathname, '/emulation');
  assert.equal(stream.host, commands.host);
});

for (const count of [2, 3]) {
  test(`each transport meets each of ${count} gateways, whatever the others do`, async (context) => {
    const met = { websocket: new Set(), http_stream: new Set(), sse: new Set() };
    replaced(context, 'fetch', async (url) => {
      met.http_stream.add(new URL(url).host);
      return new Response('no', { status: 503 });
    });
    replaced(context, 'EventSource', class {
      constructor(url) {
        met.sse.add(url.host);
        queueMicrotask(() => this.onerror?.({}));
      }

      close() {}
    });
    const gateway = new FakeGateway();
    gateway.refuse = true;
    const urls = Array.from({ length: count }, (_, i) => `ws://${i}.test`);
    const client = clientOf(context, gateway, { url: undefined, urls, fallback: true });
    client.connect();
    await eventually(() => gateway.sockets.length >= count + 1);
    for (const { url } of gateway.sockets) met.websocket.add(new URL(url).host);
    for (const [transport, hosts] of Object.entries(met)) assert.equal(hosts.size, count, transport);
  });
}

test('server-sent events do where a proxy refuses the stream', async (context) => {
  const opened = [];
  httpGateway(context, { status: 502 });
  replaced(context, 'EventSource', class {
    constructor(url) {
      opened.push(url);
      queueMicrotask(() => {
        this.onopen?.();
        this.onmessage?.({ data: JSON.stringify(connected(url.searchParams.get('cf_connect'))) });
      });
    }

    close() {}
  });
  const client = withoutWebSocket(context);
  client.connect();
  await eventually(() => client.connection.state === 'connected');
  assert.equal(client.connection.transport, 'sse');
  assert.equal(`${opened[0].origin}${opened[0].pathname}`, 'http://gateway.test/connection/sse');
  assert.ok(JSON.parse(opened[0].searchParams.get('cf_connect')).connect);
});
