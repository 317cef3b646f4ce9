// What the broker asks, and what it is answered.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from '@msgpack/msgpack';
import { BadInputError } from '@millrace/backend';
import { backendOf, eventually, FakeBroker, pause, refusal, wire } from './broker.mjs';

const yes = { read: true };
const no = { read: false };
const member = { id: 'u-1', type: 'MEMBER' };
const unavailable = (message) => ({ error: { status: 503, message } });

test('the most specific handler decides', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router } = backendOf(broker);
  const said = (ttl) => () => ({ read: true, ttl });
  await Promise.all([
    router.default(said(1)), router.add({ name: 'chat' }, said(2)), router.add({ name: 'chat', resourceId: 'room' }, said(3)),
    router.add({ name: 'chat' }, said(4), { app: 'shop' }),
  ]);
  const inShop = (check) => ({ ...wire(check), app: 'shop' });
  const answers = await broker.check(['chat:room', 'chat:other', 'chat', 'news', 'news:room', inShop('chat:room'), inShop('chat')]);
  assert.deepEqual(answers.map(({ ttl }) => ttl), [3, 2, 2, 1, 1, 4, 4]);
  assert.deepEqual(await broker.check([inShop('news')]), [unavailable('no permission handler is registered here for this channel')]);
});

test('what a handler is given', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router } = backendOf(broker);
  const given = [];
  await router.default((...values) => given.push(values) && no);
  await router.default((...values) => given.push(values) && no, { app: 'shop' });
  assert.deepEqual(await broker.check([
    { channel: 'chat', resource: 'room: ä/1', subscriber: member, site: 'main', context: { request_id: 'r-7' } },
    { channel: 'chat', resource: null, subscriber: { id: '', type: 'VISITOR' }, requesting_app: '', site: 'main', app: 'shop', context: { request_id: 'r-8' }, new: 1 },
    { channel: '@x', resource: '', subscriber: { id: 'a', type: 'ADMIN', new: 1 }, requesting_app: 'other', site: 'main', app: 'shop' },
  ]), [no, no, no]);
  assert.deepEqual(given, [
    [{ name: 'chat', resourceId: 'room: ä/1' }, member, { requestId: 'r-7', site: 'main', app: '' }],
    [{ name: 'chat' }, { id: '', type: 'VISITOR' }, { requestId: 'r-8', site: 'main', app: 'shop', requestingApp: '' }],
    [{ name: '@x' }, { id: 'a', type: 'ADMIN' }, { requestId: '', site: 'main', app: 'shop', requestingApp: 'other' }],
  ]);
});

test('decisions, as values and as promises', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker);
  const decisions = {
    yes, no, zero: { read: true, ttl: 0 }, half: { read: true, ttl: 0.5 }, long: { read: true, ttl: 2592000 }, more: { read: false, ttl: undefined, why: 'x' },
    promise: Promise.resolve(yes), thenable: { then: (done) => done({ read: true, ttl: 7 }) },
  };
  await router.default(({ resourceId }) => decisions[resourceId]);
  assert.deepEqual(await broker.check(Object.keys(decisions).map((name) => `c:${name}`)),
    [yes, no, { read: true, ttl: 0 }, { read: true, ttl: 0.5 }, { read: true, ttl: 2592000 }, no, yes, { read: true, ttl: 7 }]);
  assert.deepEqual(reports, []);
});

test('what is no decision is an error for that check alone, and is reported', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker);
  const broken = {
    undefined: [undefined, /it must return \{read\}, not undefined/],
    null: [null, /it must return \{read\}, not null/],
    true: [true, /it must return \{read\}, not a boolean/],
    empty: [{}, /read must be a boolean, not undefined/],
    text: [{ read: 'true' }, /read must be a boolean, not a string/],
    one: [{ read: 1 }, /read must be a boolean, not a number/],
    negative: [{ read: true, ttl: -1 }, /ttl must be a number of seconds from 0 to 2592000/],
    huge: [{ read: true, ttl: 2592001 }, /ttl must be/],
    infinite: [{ read: true, ttl: Infinity }, /ttl must be/],
    nan: [{ read: true, ttl: NaN }, /ttl must be/],
    word: [{ read: true, ttl: '60' }, /ttl must be/],
    nothing: [{ read: true, ttl: null }, /ttl must be/],
    big: [{ read: true, ttl: 5n }, /ttl must be/],
    refused: [{ read: false, ttl: -1 }, /ttl must be/],
    later: [Promise.resolve('yes'), /it must return \{read\}, not a string/],
  };
  await router.default(({ resourceId }) => (resourceId ? broken[resourceId][0] : yes));
  const names = Object.keys(broken);
  const answers = await broker.check(['c', ...names.map((name) => `c:${name}`), 'c']);
  assert.deepEqual([answers.shift(), answers.pop()], [yes, yes]);
  for (const [i, name] of names.entries()) {
    assert.deepEqual([answers[i].error.status, Object.keys(answers[i])], [503, ['error']], name);
    assert.match(answers[i].error.message, broken[name][1], name);
  }
  assert.equal(reports.length, names.length);
  const { error, about } = reports[0];
  assert.equal(error.code, 'bad_decision');
  assert.deepEqual(about, { during: 'check', channel: { name: 'c', resourceId: 'undefined' }, subscriber: member, requestId: 'r-1' });
});

test('a handler that throws or rejects: its status and message, and nothing else of it', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker);
  const named = Object.assign(new Error('named'), { name: 'BadInputError' });
  const hostile = { get message() { throw new Error('not even that'); } };
  const thrown = {
    plain: [new Error('no database'), 503, 'no database'],
    bad: [new BadInputError('no such room'), 400, 'no such room'],
    named: [named, 400, 'named'],
    status: [Object.assign(new Error('s'), { status: 400 }), 400, 's'],
    forbidden: [Object.assign(new Error('s'), { status: 403 }), 503, 's'],
    stack: [new Error(`first\n    at secret (/srv/app.js:1:1)`), 503, 'first'],
    long: [new Error('x'.repeat(300)), 503, 'x'.repeat(256)],
    umlauts: [new Error(`x${'ä'.repeat(200)}`), 503, `x${'ä'.repeat(127)}`],
    emoji: [new Error('😀'.repeat(65)), 503, '😀'.repeat(64)],
    half: [new Error('a\ud800b'), 503, 'a\ufffdb'],
    empty: [new Error(''), 503, 'the permission handler failed'],
    text: ['secret', 503, 'the permission handler failed'],
    undefined: [undefined, 503, 'the permission handler failed'],
    null: [null, 503, 'the permission handler failed'],
    number: [{ message: 5 }, 503, 'the permission handler failed'],
    hostile: [hostile, 503, 'the permission handler failed'],
    getter: [new Error('in a getter'), 503, 'in a getter'],
  };
  await router.add({ name: 'throws' }, ({ resourceId }) => {
    if (resourceId === 'getter') return { get read() { throw thrown.getter[0]; } };
    throw thrown[resourceId][0];
  });
  await router.add({ name: 'rejects' }, async ({ resourceId }) => {
    await pause(1);
    throw thrown[resourceId][0];
  });
  for (const name of ['throws', 'rejects']) {
    const answers = await broker.check(Object.keys(thrown).map((key) => `${name}:${key}`));
    assert.deepEqual(answers, Object.values(thrown).map(([, status, message]) => ({ error: { status, message } })));
  }
  assert.deepEqual(new Set(reports.map(({ error }) => error)), new Set(Object.values(thrown).map(([error]) => error)));
  assert.equal(reports.length, 2 * Object.keys(thrown).length);
});

test('a handler that is slow is an error in time, and what it says later nothing', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker, { handlerTimeoutMs: 50 });
  const late = [];
  await router.default(({ resourceId }) => {
    if (!resourceId) return yes;
    return new Promise((done, fail) => late.push(resourceId === 'fails' ? fail : done));
  });
  assert.deepEqual(await broker.check(['c', 'c:slow', 'c:fails']),
    [yes, ...[1, 2].map(() => unavailable('the permission handler took longer than 50 ms'))]);
  late[0](yes);
  late[1](new Error('later'));
  assert.deepEqual(await broker.check(['c']), [yes]);
  assert.deepEqual([broker.answers.length, reports.length], [2, 2]);
  assert.deepEqual(reports.map(({ error }) => error.name), ['TimeoutError', 'TimeoutError']);
});

test('all checks of a batch run at once, and batches for themselves', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router } = backendOf(broker, { handlerTimeoutMs: 60000 });
  const open = new Map();
  await router.default(({ resourceId }) => new Promise((done) => open.set(resourceId, done)));
  const slow = broker.check(Array.from({ length: 256 }, (_, i) => `c:${i}`));
  await eventually(() => open.size === 256);
  const fast = broker.check(['c:fast']);
  await eventually(() => open.has('fast'));
  open.get('fast')(yes);
  assert.deepEqual(await fast, [yes]);
  assert.equal(broker.answers.length, 1, 'the other is not decided');
  // In any order; the answers have that of the checks.
  for (let i = 255; i >= 0; i--) open.get(`${i}`)({ read: i % 2 === 0, ttl: i });
  assert.deepEqual(await slow, Array.from({ length: 256 }, (_, i) => ({ read: i % 2 === 0, ttl: i })));
});

test('an empty check is answered by an empty answer', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router } = backendOf(broker);
  await router.default(() => yes);
  assert.deepEqual(await broker.check([]), []);
  assert.deepEqual(await broker.check([], 2n ** 60n), []);
  assert.equal(broker.answers[1].id, 2n ** 60n);
});

test('a check with the id of a request is no reply to it', async (context) => {
  const broker = await FakeBroker.open(context);
  const { backend, router } = backendOf(broker);
  await router.default(() => yes);
  broker.reply.publish = () => null;
  const published = backend.publish({ name: 'c' }, {});
  await eventually(() => broker.of('publish').length === 1);
  const [request] = broker.of('publish');
  assert.deepEqual(await broker.check(['c'], request.id), [yes]);
  await broker.send(request.peer, { id: request.id, ok: true, epoch: 'e', offset: 5 });
  assert.deepEqual(await published, { epoch: 'e', offset: 5 });
});

const frames = {
  'without an id': [{ op: 'check', checks: [] }, /id: must be an unsigned integer, not undefined/],
  'with a text as id': [{ op: 'check', id: 'x', checks: [] }, /id: must be an unsigned integer/],
  'with a negative id': [{ op: 'check', id: -1, checks: [] }, /id: must be an unsigned integer/],
  'without checks': [{ op: 'check', id: 1 }, /checks: must be an array, not undefined/],
  'with a map of checks': [{ op: 'check', id: 1, checks: { 0: wire('c') } }, /checks: must be an array/],
  'with 257 checks': [{ op: 'check', id: 1, checks: Array.from({ length: 257 }, () => wire('c')) }, /checks: more than 256/],
  'that is no msgpack': [Buffer.from([0xc1]), /message cannot be read/],
  'that is cut': [encode({ op: 'check', id: 1, checks: [wire('c')] }).subarray(0, -5), /message cannot be read/],
};
for (const [name, [frame, rule]] of Object.entries(frames)) {
  test(`a check ${name} is ignored and reported`, async (context) => {
    const broker = await FakeBroker.open(context);
    const { router, reports } = backendOf(broker);
    await router.default(() => yes);
    await broker.raw(broker.worker, Buffer.isBuffer(frame) || frame instanceof Uint8Array ? frame : encode(frame));
    assert.deepEqual(await broker.check(['c'], 99), [yes]);
    assert.deepEqual(broker.answers.map(({ id }) => id), [99]);
    assert.equal(reports.length, 1);
    assert.match(reports[0].error.message, rule);
    assert.deepEqual(reports[0].about, { during: 'protocol' });
  });
}

test('a check that cannot be read fails alone', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker);
  await router.default(() => yes);
  const broken = {
    5: /check: must be an object/,
    channel: /channel: must be a string/,
    resource: /resource: must be a string/,
    site: /site: must be a string/,
    app: /app: must be a string/,
    requesting_app: /requesting_app: must be a string/,
    subscriber: /subscriber: must be an object/,
    context: /context\.request_id: must be a string/,
    type: /subscriber\.type: must be "ADMIN"/,
    id: /subscriber\.id: must be a string/,
  };
  const bad = { type: { subscriber: { id: 'u', type: 'GUEST' } }, id: { subscriber: { type: 'MEMBER' } }, context: { context: { request_id: 5 } } };
  const checks = Object.keys(broken).map((key) => (key === '5' ? 5 : { ...wire('c'), ...(bad[key] ?? { [key]: 5 }) }));
  const answers = await broker.check([...checks, 'c']);
  assert.deepEqual(answers.pop(), yes);
  for (const [i, rule] of Object.values(broken).entries()) {
    assert.equal(answers[i].error.status, 503);
    assert.match(answers[i].error.message, rule);
    assert.match(reports[i].error.message, rule);
  }
  assert.deepEqual(reports.map(({ about }) => about.during), checks.map(() => 'protocol'));
});

test('thousands of checks', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router } = backendOf(broker);
  let asked = 0;
  await router.add({ name: 'now' }, () => ({ read: asked++ % 2 === 0 }));
  await router.add({ name: 'soon' }, async () => ({ read: asked++ % 2 === 0 }));
  const batch = Array.from({ length: 256 }, (_, i) => (i % 2 ? 'now' : 'soon:room'));
  const all = await Promise.all(Array.from({ length: 80 }, () => broker.check(batch)));
  assert.equal(asked, 80 * 256);
  assert.equal(all.flat().filter(({ read }) => read).length, asked / 2);
});

test('onHandlerError may fail, and there is one line without it', async (context) => {
  const broker = await FakeBroker.open(context);
  const lines = [];
  context.mock.method(console, 'error', (...values) => lines.push(values.join(' ')));
  const failing = [
    () => {
      throw new Error('itself');
    },
    async () => Promise.reject(new Error('itself')),
  ];
  for (const onHandlerError of failing) {
    const { router } = backendOf(broker, { onHandlerError });
    await router.default(() => null);
    assert.equal((await broker.check(['c']))[0].error.status, 503);
    await eventually(() => lines.length === 1);
    assert.match(lines.pop(), /^@millrace\/backend: onHandlerError failed: Error: itself/);
  }
  const { router } = backendOf(broker, { onHandlerError: undefined });
  await router.default(() => {
    throw new Error('one\ntwo');
  });
  await broker.check([wire('chat:a b')]);
  await broker.send(broker.worker, { op: 'check' });
  await router.add({ name: 'a b' }, () => yes).catch(() => {});
  await eventually(() => lines.length === 3);
  assert.equal(lines[0], '@millrace/backend: permission check (chat:a b): one');
  assert.ok(lines.some((line) => /^@millrace\/backend: registration of permission handlers: channel\.name: only letters/.test(line)), `${lines}`);
  assert.ok(lines.some((line) => /^@millrace\/backend: permission checks: the broker's check cannot be read: id/.test(line)), `${lines}`);
});

// --- the program asks itself ---

test('check() runs the cascade here, without the broker', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker, { handlerTimeoutMs: 20 });
  assert.deepEqual(await router.check({ name: 'chat' }, member), yes, 'no handler at all');
  const given = [];
  router.add({ name: 'chat' }, () => ({ read: true, ttl: 5, more: 1 }));
  router.add({ name: 'chat', resourceId: 'room' }, async () => no);
  router.add({ name: 'news' }, (...values) => given.push(values) && yes, { app: 'shop' });
  assert.deepEqual(await router.check({ name: 'chat', resourceId: 'room' }, member), no);
  assert.deepEqual(await router.check({ name: 'chat', resourceId: 'other' }, member), { read: true, ttl: 5 });
  assert.deepEqual(await router.check({ name: 'news' }, member), yes);
  router.default(() => no);
  assert.deepEqual(await router.check({ name: 'news' }, member), no);
  assert.deepEqual(given, []);
  assert.deepEqual(await router.check({ name: 'news' }, member, { app: 'shop', site: 's' }), yes);
  const [[channel, subscriber, { requestId, ...rest }]] = given;
  assert.deepEqual([channel, subscriber, rest], [{ name: 'news' }, member, { site: 's', app: 'shop' }]);
  assert.match(requestId, /^[0-9a-f-]{36}$/);

  router.add({ name: 'throws' }, () => Promise.reject(undefined));
  router.add({ name: 'broken' }, () => true);
  router.add({ name: 'slow' }, () => new Promise(() => {}));
  await assert.rejects(router.check({ name: 'throws' }, member), (error) => error === undefined);
  await assert.rejects(router.check({ name: 'broken' }, member), refusal('MillraceError', /must return \{read\}/));
  await assert.rejects(router.check({ name: 'slow' }, member), refusal('TimeoutError', /longer than 20 ms/));
  await assert.rejects(router.check({ name: 'a b' }, member), refusal('BadInputError', /^channel\.name: only letters/));
  await assert.rejects(router.check(null, member), refusal('BadInputError', /^channel: must be an object/));
  await assert.rejects(router.check({ name: 'c' }, { id: 'u' }), refusal('BadInputError', /^subscriber\.type: must be "ADMIN"/));
  await assert.rejects(router.check({ name: 'c' }, { type: 'MEMBER' }), refusal('BadInputError', /^subscriber\.id: must be a string/));
  await assert.rejects(router.check({ name: 'c' }, member, { view: 'live' }), refusal('BadInputError', /^options: there is no "view"/));
  assert.deepEqual(reports, [], 'who asks is told');
});
