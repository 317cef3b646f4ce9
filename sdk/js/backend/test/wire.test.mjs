// What comes back from the broker, also when it is not what we expect.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode as pack } from '@msgpack/msgpack';
import { connect } from '@millrace/backend';
import * as errors from '../src/errors.js';
import { decode, plain } from '../src/wire.js';

test('integers become numbers where they are exact', () => {
  const reply = decode(pack({ id: 1, offset: 5n, list: [2n ** 53n - 1n, 2n ** 53n, -(2n ** 63n)], deep: { a: 7n } }, { useBigInt64: true }));
  assert.deepEqual(plain(reply), { id: 1, offset: 5, list: [2 ** 53 - 1, 2n ** 53n, -(2n ** 63n)], deep: { a: 7 } });
});

test('a reply that cannot be read still says whose it is', () => {
  const reply = pack({ id: 77, ok: true, publications: [JSON.parse('{"__proto__":1}')] });
  assert.equal(decode(reply).id, 77);
  assert.match(decode(reply).unreadable, /__proto__/);
  assert.equal(decode(Buffer.from([0xc1])).id, null);
  assert.equal(decode(Buffer.alloc(0)).id, null);
  assert.equal(decode(pack({ id: 5, ok: true }).subarray(0, 3)).id, null);
});

test('each status has its class', () => {
  const kinds = { 400: 'BadInputError', 403: 'ForbiddenError', 404: 'NotFoundError', 409: 'ConflictError', 413: 'TooLargeError',
    429: 'OverloadedError', 500: 'MillraceError', 503: 'OverloadedError', 418: 'MillraceError' };
  for (const [status, name] of Object.entries(kinds)) {
    const error = errors.refused({ status: Number(status), code: 'word', message: 'text' });
    assert.deepEqual([error.name, error.status, error.code, error.message, error.outcome, error instanceof errors.MillraceError],
      [name, Number(status), 'word', 'text', 'refused', true]);
  }
});

test('settings are checked', () => {
  const wrong = {
    'a word': [5, /^settings: must be an object/],
    'a mistyped name': [{ timeout: 5 }, /^settings: there is no "timeout", only endpoint, timeoutMs/],
    'an endpoint that is none': [{ endpoint: 'here' }, /^endpoint: ZeroMQ cannot connect to "here"/],
    'a number for an endpoint': [{ endpoint: 5 }, /^endpoint: must be a string/],
    'no time at all': [{ timeoutMs: 0 }, /^timeoutMs: must be an integer from 1 to 60000/],
    'no requests at all': [{ maxPending: 0 }, /^maxPending: must be an integer/],
    'little room': [{ maxQueuedBytes: 1 }, /^maxQueuedBytes: must be an integer/],
  };
  for (const [name, [settings, rule]] of Object.entries(wrong)) {
    assert.throws(() => connect(settings), (error) => error instanceof errors.BadInputError && rule.test(error.message), name);
  }
});

test('a connection that is closed, and options that are wrong, reject', async () => {
  const backend = connect({ endpoint: 'inproc://nobody' });
  const rule = (message) => (error) => error instanceof errors.BadInputError && message.test(error.message);
  await assert.rejects(backend.publish({ name: 'c' }, {}, { idempotencyKey: 'k' }), rule(/^options: there is no "idempotencyKey"/));
  await assert.rejects(backend.publish({ name: 'c' }, {}, { timeoutMs: 1e9 }), rule(/^timeoutMs: must be an integer/));
  await assert.rejects(backend.publishMany('x'), rule(/^items: must be an array/));
  await assert.rejects(backend.publish({ name: 'c' }, { t: 'x'.repeat(2 * 1024 * 1024) }),
    (error) => error instanceof errors.TooLargeError && error.outcome === 'not sent');
  const bad = await backend.publishMany([5, { channel: { name: 'c' } }, { channel: { name: 'c' }, payload: {}, id: 1 }]);
  assert.deepEqual(bad.map(({ error }) => error.message), [
    'items[0]: must be an object, not a number', 'items[1].payload: must be an object, not undefined',
    'items[2]: there is no "id", only channel, payload, publisher, key, view, site, app',
  ]);
  await backend.close();
  await backend.close();
  await assert.rejects(backend.publish({ name: 'c' }, {}),
    (error) => error instanceof errors.ClosedError && error.outcome === 'not sent' && error.code === 'closed');
});
