// What is refused before it is sent, and what is sent in the place of what has no JSON form of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode } from '@msgpack/msgpack';
import { BadInputError } from '../src/errors.js';
import { historyRequest, mustKnow, publication } from '../src/rules.js';
import { encode } from '../src/wire.js';

const request = (channel, payload = {}, options = {}) => publication(channel, payload, options)[0];

// The payload as it is after a journey through msgpack.
const journey = (payload) => decode(encode(request({ name: 'c' }, payload)), { useBigInt64: true }).payload;

function refuses(rule, action) {
  assert.throws(action, (error) => {
    assert.ok(error instanceof BadInputError, `${error.stack}`);
    assert.deepEqual([error.name, error.status, error.code, error.outcome], ['BadInputError', 400, 'bad_input', 'refused']);
    assert.match(error.message, rule);
    return true;
  });
}

test('addresses', () => {
  assert.deepEqual(request({ name: 'chat' }), { channel: 'chat', payload: {} });
  assert.deepEqual(request({ name: '@a_-9', resourceId: 'room 1/2: ä' }), { channel: '@a_-9', resource: 'room 1/2: ä', payload: {} });
  for (const none of ['', null, undefined]) {
    assert.deepEqual(request({ name: 'chat', resourceId: none }), { channel: 'chat', payload: {} });
  }
  request({ name: 'x'.repeat(140) });
  request({ name: 'x', resourceId: '😀'.repeat(139) });
});

const channels = {
  'no channel': [undefined, /^channel: must be an object, not undefined/],
  'a string': ['chat', /^channel: must be an object, not a string/],
  'no name': [{}, /^channel\.name: must be a string, not undefined/],
  'a number': [{ name: 5 }, /^channel\.name: must be a string, not a number/],
  'an empty name': [{ name: '' }, /^channel\.name: the name is empty/],
  'only @': [{ name: '@' }, /^channel\.name: the name is empty/],
  'a space': [{ name: 'a b' }, /^channel\.name: only letters/],
  'a newline at the end': [{ name: 'a\n' }, /^channel\.name: only letters/],
  'an umlaut': [{ name: 'ä' }, /^channel\.name: only letters/],
  'a resource in the name': [{ name: 'a:b' }, /^channel\.name: only letters/],
  '141 characters of name': [{ name: 'x'.repeat(141) }, /exceed 140 Unicode code points/],
  '141 characters': [{ name: 'a', resourceId: 'x'.repeat(140) }, /exceed 140 Unicode code points/],
  '141 code points': [{ name: 'a', resourceId: '😀'.repeat(140) }, /exceed 140 Unicode code points/],
  'U+0000': [{ name: 'a', resourceId: 'x\0' }, /^channel\.resourceId: the id contains U\+0000/],
  'half a surrogate pair': [{ name: 'a', resourceId: '\ud800' }, /^channel\.resourceId: not valid Unicode/],
  'a resource that is a number': [{ name: 'a', resourceId: 5 }, /^channel\.resourceId: must be a string, not a number/],
  'a member that is mistyped': [{ name: 'a', resource: 'x' }, /^channel: there is no "resource", only name, resourceId/],
};
for (const [name, [channel, rule]] of Object.entries(channels)) {
  test(`a channel with ${name}`, () => refuses(rule, () => request(channel)));
}

test('options', () => {
  const all = { publisher: 'u', key: 'k', view: 'preview', site: 'a.b', app: 'c-d' };
  assert.deepEqual(request({ name: 'c' }, {}, all), { channel: 'c', payload: {}, ...all });
  assert.deepEqual(request({ name: 'c' }, {}, { key: null, view: undefined }), { channel: 'c', payload: {} });
});

const options = {
  'an unknown view': [{ view: 'both' }, /^view: must be "live" or "preview"/],
  'an empty key': [{ key: '' }, /^key: must not be empty/],
  'a key of 65 bytes': [{ key: `${'ä'.repeat(32)}x` }, /^key: longer than 64 bytes/],
  'a key that is a number': [{ key: 7 }, /^key: must be a string, not a number/],
  'a publisher of 257 bytes': [{ publisher: 'x'.repeat(257) }, /^publisher: longer than 256 bytes/],
  'a publisher that is an object': [{ publisher: { id: 'x' } }, /^publisher: must be a string, not an Object/],
  'a site with a space': [{ site: 'a b' }, /^site: must be 1 to 64/],
  'an empty app': [{ app: '' }, /^app: must be 1 to 64/],
};
for (const [name, [bad, rule]] of Object.entries(options)) {
  test(`options with ${name}`, () => refuses(rule, () => request({ name: 'c' }, {}, bad)));
}

test('options that are not known', () => {
  refuses(/^options: there is no "idempotencyKey", only key/, () => mustKnow({ idempotencyKey: 'k' }, ['key'], 'options'));
  refuses(/^options: must be an object, not null/, () => mustKnow(null, [], 'options'));
});

for (const payload of [undefined, null, 'hello', 5, true, 5n, [1], new Map(), new Date(), Promise.resolve(), new Uint8Array(1), Buffer.from('x'), () => {}, Symbol('s')]) {
  test(`a payload that is ${Object.prototype.toString.call(payload)}`, () => {
    refuses(/^payload: must be an object, not /, () => publication({ name: 'c' }, payload, {}));
  });
}

test('what JSON has arrives as it is', () => {
  const payload = { n: null, t: true, f: false, i: -5, d: 1.5, s: 'ä😀', a: [1, [2, {}]], o: { 'a b': { c: [] } } };
  assert.deepEqual(journey(payload), payload);
  assert.equal(request({ name: 'c' }, payload).payload, payload, 'without a copy');
});

test('integers keep all their digits', () => {
  const payload = { now: 1_700_000_000_000, a: [2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 32, -(2 ** 31) - 1], max: 2n ** 63n - 1n, min: -(2n ** 63n) };
  assert.deepEqual(journey(payload), {
    now: 1_700_000_000_000n, a: [2n ** 53n - 1n, -(2n ** 53n - 1n), 2n ** 32n, -(2n ** 31n) - 1n], max: 2n ** 63n - 1n, min: -(2n ** 63n),
  });
  assert.deepEqual(journey({ a: [2 ** 32 - 1, -(2 ** 31), 1e300, -0.5] }), { a: [2 ** 32 - 1, -(2 ** 31), 1e300, -0.5] });
  assert.equal(payload.now, 1_700_000_000_000, 'the caller\'s object is untouched');
});

test('toJSON is asked, undefined members are left out', () => {
  class Room {
    constructor() {
      this.name = 'r';
      this.gone = undefined;
    }
  }
  const payload = { at: new Date(0), list: [new Date(1)], url: new URL('http://a/'), room: new Room(), gone: undefined, date: 2 ** 40 };
  assert.deepEqual(journey(payload), {
    at: '1970-01-01T00:00:00.000Z', list: ['1970-01-01T00:00:00.001Z'], url: 'http://a/', room: { name: 'r' }, date: 2n ** 40n,
  });
  assert.deepEqual(journey({ toJSON: () => ({ a: 1 }) }), { a: 1 });
  assert.deepEqual(journey({ a: { toJSON: (key) => `was ${key}` } }), { a: 'was a' });
  refuses(/^payload: must be an object, not an array/, () => request({ name: 'c' }, { toJSON: () => [1] }));
});

test('a member called __proto__ is a member', () => {
  const payload = JSON.parse('{"__proto__":{"at":0},"big":4294967296}');
  const sent = request({ name: 'c' }, payload).payload;
  assert.deepEqual(Object.keys(sent), ['__proto__', 'big']);
  assert.equal({}.at, undefined);
});

const cycle = {};
cycle.self = [cycle];
const nested = (depth) => (depth === 1 ? {} : { a: nested(depth - 1) });
const values = {
  'NaN': [{ a: [1, NaN] }, /^payload\.a\[1\]: NaN and infinities have no JSON form/],
  'infinity': [{ 'a b': -Infinity }, /^payload\["a b"\]: NaN and infinities/],
  'undefined in an array': [{ a: [undefined] }, /^payload\.a\[0\]: undefined has no JSON form/],
  'a hole in an array': [{ a: [, 1] }, /^payload\.a\[0\]: undefined has no JSON form/],
  'a function': [{ a: () => {} }, /^payload\.a: a function has no JSON form/],
  'a symbol': [{ a: Symbol('x') }, /^payload\.a: a symbol has no JSON form/],
  'bytes': [{ a: { b: new Uint8Array(2) } }, /^payload\.a\.b: a Uint8Array has no JSON form/],
  'an ArrayBuffer': [{ a: new ArrayBuffer(2) }, /^payload\.a: an ArrayBuffer has no JSON form/],
  'a Buffer': [{ a: Buffer.from('x') }, /^payload\.a: a Uint8Array has no JSON form/],
  'a map': [{ a: new Map() }, /^payload\.a: a Map has no JSON form/],
  'a set': [{ a: new Set() }, /^payload\.a: a Set has no JSON form/],
  'a promise': [{ a: Promise.resolve(1) }, /^payload\.a: a Promise has no JSON form/],
  'an error': [{ a: new Error('x') }, /^payload\.a: an Error has no JSON form/],
  '2^63': [{ a: 2n ** 63n }, /^payload\.a: integers beyond 64 bits/],
  '-2^63 - 1': [{ a: -(2n ** 63n) - 1n }, /^payload\.a: integers beyond 64 bits/],
  'half a surrogate pair': [{ a: 'x\udc00' }, /^payload\.a: not valid Unicode/],
  'half a surrogate pair in a key': [{ a: { '\ud800': 1 } }, /^payload\.a: a key is not valid Unicode/],
  '17 levels': [nested(17), /^payload(\.a){16}: nested deeper than 16/],
  'itself': [cycle, /^payload(\.self\[0\]){8}: nested deeper than 16/],
  'too many values': [{ a: new Array(131000).fill(0) }, /^payload: holds more than \d+ values/],
};
for (const [name, [payload, rule]] of Object.entries(values)) {
  test(`a payload with ${name}`, () => refuses(rule, () => request({ name: 'c' }, payload)));
}

test('16 levels are good', () => {
  assert.deepEqual(journey(nested(16)), nested(16));
});

test('history', () => {
  assert.deepEqual(historyRequest({ name: 'c' }, {}), { channel: 'c', limit: 300 });
  assert.deepEqual(historyRequest({ name: 'c', resourceId: 'r' }, { limit: 0, since: { epoch: 'e', offset: 2 ** 40 }, view: 'preview' }),
    { channel: 'c', resource: 'r', limit: 0, since: { epoch: 'e', offset: 2n ** 40n }, view: 'preview' });
  for (const limit of [-1, 1.5, '5', 2 ** 32]) refuses(/^limit: must be an integer/, () => historyRequest({ name: 'c' }, { limit }));
  refuses(/^since: must be an object/, () => historyRequest({ name: 'c' }, { since: 5 }));
  refuses(/^since\.epoch: must be a string/, () => historyRequest({ name: 'c' }, { since: { offset: 1 } }));
  refuses(/^since\.offset: must be an integer/, () => historyRequest({ name: 'c' }, { since: { epoch: 'e', offset: -1 } }));
});
