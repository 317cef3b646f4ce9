// What backends send wrong: each is answered by its status, and nothing else is affected.
import assert from 'node:assert/strict';
import { decode, encode } from '@msgpack/msgpack';
import * as zmq from 'zeromq';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { atEnd, patience, scenarioWith, sharedCluster, until, within } from './harness.mjs';

const acme = (own) => `ipc://${own.directory}/acme.sock`;
const { cluster, scenario } = sharedCluster({
  'backends "acme"': { bind: acme, site: 'acme', may: 'publish' },
});

function bad(name, body) {
  scenario(name, async () => {
    const good = Backend.open(cluster);
    const witness = await Client.open(cluster);
    await witness.subscribe('witness');
    await body(Backend.open(cluster));
    const { offset } = await good.publish('witness', { name });
    assert.deepEqual(await witness.publication('witness'), { data: { name }, offset });
    assert.deepEqual(witness.pushes, []);
  });
}

// The reply with this id to any bytes; the broker's id is null when it could not read one.
async function answer(backend, bytes, id) {
  const reply = backend.reply(id);
  await backend.raw(bytes);
  return reply;
}

function expectRefusal(reply, status, rule) {
  assert.equal(reply.ok, false, JSON.stringify(reply));
  assert.equal(reply.error.status, status, JSON.stringify(reply));
  assert.equal(typeof reply.error.code, 'string');
  assert.match(reply.error.message, rule);
}

// Payloads as published; the bytes of the JSON text count.
const padded = (bytes) => ({ t: 'x'.repeat(bytes - '{"t":""}'.length) });
const nested = (depth) => (depth === 1 ? {} : { a: nested(depth - 1) });

bad('a payload of 10,240 bytes is good, of 10,241 is not', async (backend) => {
  await backend.publish('size', padded(10240));
  expectRefusal(await backend.request('publish', { channel: 'size', payload: padded(10241) }), 413, /10240/);
  // What counts is the JSON text: escapes make it longer than msgpack.
  expectRefusal(await backend.request('publish', { channel: 'size', payload: { t: '\u0001'.repeat(2000) } }), 413, /10240/);
});

bad('a payload 16 deep is good, 17 deep is not', async (backend) => {
  await backend.publish('depth', nested(16));
  expectRefusal(await backend.request('publish', { channel: 'depth', payload: nested(17) }), 400, /payload|deep/);
});

for (const [name, payload] of Object.entries({ text: 'hello', number: 5, list: [1], null: null, true: true })) {
  bad(`a payload that is ${name}, not a map`, async (backend) => {
    expectRefusal(await backend.request('publish', { channel: 'c', payload }), 400, /payload/);
  });
}

const text = (value) => Buffer.from(encode(value));
const withPayload = (id, bytes) =>
  Buffer.concat([
    Buffer.from([0x84]), text('op'), text('publish'), text('id'), text(id), text('channel'), text('types'),
    text('payload'), Buffer.from(bytes),
  ]);

const types = {
  'binary': [0x81, 0xa1, 0x61, 0xc4, 0x01, 0x00],
  'an extension': [0x81, 0xa1, 0x61, 0xd4, 0x05, 0x00],
  'a timestamp': [0x81, 0xa1, 0x61, 0xd6, 0xff, 0, 0, 0, 1],
  'a key that is a number': [0x81, 0x01, 0x02],
  'NaN': [0x81, 0xa1, 0x61, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
  'infinity': [0x81, 0xa1, 0x61, 0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
  'text that is no UTF-8': [0x81, 0xa1, 0x61, 0xa2, 0xc3, 0x28],
  'an integer above 2^63 - 1': [0x81, 0xa1, 0x61, 0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0],
};
for (const [name, bytes] of Object.entries(types)) {
  bad(`a payload with ${name}`, async (backend) => {
    expectRefusal(await answer(backend, withPayload('t', bytes), 't'), 400, /payload/);
  });
}

const bombs = {
  'a map that announces 4 G pairs': [0xdf, 0xff, 0xff, 0xff, 0xff],
  'an array that announces 4 G items': [0x81, 0xa1, 0x61, 0xdd, 0xff, 0xff, 0xff, 0xff],
  'a text that announces 4 GB': [0x81, 0xa1, 0x61, 0xdb, 0xff, 0xff, 0xff, 0xff],
  'binary that announces 4 GB': [0x81, 0xa1, 0x61, 0xc6, 0xff, 0xff, 0xff, 0xff],
  '30 arrays of 16 M each, one in the other': Array.from({ length: 30 }, () => [0xdd, 1, 0, 0, 0]).flat(),
};
for (const [name, bytes] of Object.entries(bombs)) {
  bad(`msgpack: ${name}`, async (backend) => {
    expectRefusal(await answer(backend, withPayload('b', bytes), null), 400, /./);
  });
}

bad('every truncation of a request, and bytes behind one', async (backend) => {
  const whole = Buffer.from(encode({ op: 'publish', id: 'whole', channel: 'cut', payload: { n: [1, 2, 'three'] } }));
  for (let size = 0; size < whole.length; size++) {
    expectRefusal(await answer(backend, whole.subarray(0, size), null), 400, /./);
  }
  expectRefusal(await answer(backend, Buffer.concat([whole, Buffer.from([0])]), null), 400, /./);
  const good = await answer(backend, whole, 'whole');
  assert.equal(good.offset, 1, 'nothing of the bad ones was published');
});

for (const [name, bytes] of Object.entries({ text: text('hello'), list: text([1]), number: text(5), nil: text(null) })) {
  bad(`a request that is ${name}, not a map`, async (backend) => {
    expectRefusal(await answer(backend, bytes, null), 400, /./);
  });
}

bad('ops', async (backend) => {
  expectRefusal(await backend.request('dance'), 400, /dance|op/);
  expectRefusal(await backend.request(''), 400, /op/);
  expectRefusal(await backend.request(5), 400, /op/);
  assert.equal((await backend.request('ping')).ok, true);
  assert.equal((await backend.request('ping', { unknown: [1, 2] })).ok, true, 'unknown keys are ignored');
});

bad('ids: a text, a number, none, others', async (backend) => {
  for (const id of ['a', 'ä'.repeat(32), 0, 4294967295]) {
    const { instance, ...pong } = await answer(backend, encode({ op: 'ping', id }), id);
    assert.deepEqual(pong, { id, ok: true });
    assert.match(instance, /^[0-9a-f]{16}$/);
  }
  await backend.raw(encode({ op: 'ping' }));
  assert.equal((await backend.request('ping')).ok, true);
  assert.deepEqual(backend.strays, [], 'a request without an id gets no reply');
  for (const id of ['x'.repeat(65), -1, 1.5, [1], { a: 1 }]) {
    expectRefusal(await answer(backend, encode({ op: 'ping', id }), null), 400, /id/);
  }
});

const wrong = {
  'no channel': [{ payload: {} }, /channel/],
  'an empty channel': [{ channel: '', payload: {} }, /channel/],
  'a channel with a space': [{ channel: 'a b', payload: {} }, /channel/],
  'a channel that is a number': [{ channel: 5, payload: {} }, /channel/],
  'an umlaut in the channel': [{ channel: 'ä', payload: {} }, /channel/],
  'a resource in the channel': [{ channel: 'a:b', payload: {} }, /channel/],
  '141 characters': [{ channel: 'a', resource: 'x'.repeat(140), payload: {} }, /140/],
  'U+0000 in the resource': [{ channel: 'a', resource: 'x\u0000', payload: {} }, /resource/],
  'no payload': [{ channel: 'a' }, /payload/],
  'a publisher that is a number': [{ channel: 'a', payload: {}, publisher: 5 }, /publisher/],
  'a publisher of 257 bytes': [{ channel: 'a', payload: {}, publisher: 'x'.repeat(257) }, /publisher/],
  'a key of 65 bytes': [{ channel: 'a', payload: {}, key: 'x'.repeat(65) }, /key/],
  'an unknown view': [{ channel: 'a', payload: {}, view: 'both' }, /view/],
};
for (const [name, [body, rule]] of Object.entries(wrong)) {
  bad(`publish with ${name}`, async (backend) => {
    expectRefusal(await backend.request('publish', body), 400, rule);
  });
}

bad('a key that is there twice', async (backend) => {
  const twice = Buffer.concat([
    Buffer.from([0x83]), text('id'), text('d'), text('op'), text('ping'), text('op'), text('ping'),
  ]);
  const reply = Promise.race([backend.reply('d'), backend.reply(null)]);
  await backend.raw(twice);
  expectRefusal(await reply, 400, /op|twice/);
});

bad('a site, an app and a view that are not the endpoint\'s', async (backend) => {
  const request = { channel: 'rights', payload: {} };
  expectRefusal(await backend.request('publish', { ...request, site: 'acme' }), 403, /site/);
  expectRefusal(await backend.request('publish', { ...request, app: 'some-app' }), 403, /app/);
  assert.equal((await backend.request('publish', { ...request, site: 'default' })).ok, true);
  const other = Backend.open(cluster, { endpoint: acme(cluster) });
  expectRefusal(await other.request('publish', { ...request, site: 'default' }), 403, /site/);
  expectRefusal(await other.request('publish', { ...request, view: 'preview' }), 403, /view|preview/);
  expectRefusal(await other.request('history', { channel: 'rights', limit: 1 }), 403, /history/);
  assert.equal((await other.request('publish', { ...request, site: 'acme' })).ok, true);
});

bad('sites are isolated', async (backend) => {
  const client = await Client.open(cluster);
  await client.subscribe('tenant');
  const other = Backend.open(cluster, { endpoint: acme(cluster) });
  const foreign = await other.request('publish', { channel: 'tenant', payload: { site: 'acme' } });
  const own = await backend.publish('tenant', { site: 'default' });
  assert.notEqual(foreign.epoch, own.epoch);
  assert.deepEqual((await client.publication('tenant')).data, { site: 'default' });
  assert.deepEqual(client.pushes, []);
});

bad('publish_many: each item stands for itself', async (backend) => {
  const items = [{ channel: 'many', payload: { n: 1 } }, { channel: 'a b', payload: {} }, 5,
    { channel: 'many', payload: padded(10241) }, { channel: 'many', payload: { n: 2 } }];
  const { ok, results } = await backend.request('publish_many', { items });
  assert.equal(ok, true);
  assert.deepEqual(results.map((at) => at.offset ?? at.error.status), [1, 400, 400, 413, 2]);
  const tooMany = Array.from({ length: 1025 }, () => ({ channel: 'many', payload: {} }));
  expectRefusal(await backend.request('publish_many', { items: tooMany }), 413, /items.*1024/);
  expectRefusal(await backend.request('publish_many', { items: 'x' }), 400, /items/);
  const tooBig = Array.from({ length: 200 }, () => ({ channel: 'many', payload: padded(10000) }));
  expectRefusal(await backend.request('publish_many', { items: tooBig }), 413, /items|bytes/);
});

bad('a request above 2 MiB is answered, not cut off', async (backend) => {
  const body = { channel: 'big', payload: padded(2 * 1024 * 1024) };
  expectRefusal(await backend.request('publish', body), 413, /request: larger than 2097152 bytes/);
});

bad('both framings, and frames that are neither', async (backend) => {
  const request = Backend.open(cluster, { kind: 'delimited' });
  await request.publish('framing', { by: 'REQ' });
  await backend.publish('framing', { by: 'DEALER' });
  const ping = encode({ op: 'ping', id: 'p' });
  for (const frames of [[ping, ping], ['x', ping], ['', ping, ping], ['', '', ping]]) await backend.frames(frames);
  assert.equal((await backend.request('ping')).ok, true);
});

bad('idempotency keys', async (backend) => {
  const first = await backend.publish('keys', { n: 1 }, { key: 'k' });
  const again = await backend.publish('keys', { n: 1 }, { key: 'k' });
  assert.deepEqual([again.offset, again.epoch, again.duplicate], [first.offset, first.epoch, true]);
  expectRefusal(await backend.request('publish', { channel: 'keys', payload: { n: 2 }, key: 'k' }), 409, /key/);
  assert.equal((await backend.publish('keys', { n: 2 })).offset, 2);
});

bad('history shapes', async (backend) => {
  for (let n = 1; n <= 5; n++) await backend.publish('past', { n }, n === 5 ? { publisher: 'p' } : {});
  const all = await backend.request('history', { channel: 'past', limit: 10 });
  assert.deepEqual(all.publications.map((at) => [at.offset, at.payload.n]), [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]);
  assert.deepEqual(all.publications[4].publisher, { id: 'p' });
  const position = await backend.request('history', { channel: 'past' });
  assert.deepEqual([position.publications, position.offset, position.epoch], [[], 5, all.epoch]);
  const since = await backend.request('history', { channel: 'past', limit: 2, since: { epoch: all.epoch, offset: 3 } });
  assert.deepEqual(since.publications.map((at) => at.offset), [4, 5]);
  for (const body of [{ limit: -1 }, { limit: 'x' }, { since: 5 }, { since: { offset: 'x', epoch: all.epoch } }]) {
    expectRefusal(await backend.request('history', { channel: 'past', ...body }), 400, /limit|since/);
  }
});

scenarioWith('a backend that asks and does not read gets 429, and nobody else notices',
  {}, { timeout: 240000 }, async (own) => {
    const good = Backend.open(own);
    const deaf = new zmq.Dealer({ linger: 0, sendHighWaterMark: 0, receiveHighWaterMark: 1, receiveBufferSize: 65536 });
    deaf.connect(own.endpoint);
    atEnd(() => deaf.close());
    // First the buffers of ZeroMQ and of the kernel fill, only then requests stay unanswered.
    let asked = 0;
    while ((await own.metric('refused_too_many_total', 'broker')) === 0) {
      assert.ok(asked < 400000, 'never refused');
      for (let i = 0; i < 2000; i++) await deaf.send(encode({ op: 'ping', id: `${++asked}`.padEnd(64, '.') }));
      assert.equal((await good.request('ping')).ok, true);
    }
    const statuses = new Map();
    const read = (async () => {
      for await (const [bytes] of deaf) {
        const reply = decode(bytes);
        if (reply.id === 'last') return reply;
        const status = reply.error?.status ?? 0;
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      return null;
    })();
    await until(patience, 'the refusals to arrive', () => (statuses.get(429) ?? 0) > 0);
    await deaf.send(encode({ op: 'ping', id: 'last' }));
    assert.equal((await within(patience, 'the last reply', read)).ok, true);
    assert.deepEqual([...statuses.keys()].sort(), [0, 429]);
  });
