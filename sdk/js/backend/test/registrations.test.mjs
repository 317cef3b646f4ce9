// What the broker knows of a connection's handlers, whatever happens to the connection or the broker.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { backendOf, eventually, FakeBroker, pause, refusal } from './broker.mjs';

const yes = () => ({ read: true });
const no = () => ({ read: false });
const chat = { name: 'chat' };
const room = { name: 'chat', resourceId: 'room' };

// That the broker is away: until then, what is sent may be given to the connection that was.
async function noticed(backend) {
  let outcome;
  while (outcome !== 'not sent') ({ outcome } = await backend.ping({ timeoutMs: 20 }).catch((error) => error));
}

test('a registration resolves when the broker has it; what is registered in one go is one request', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker);
  let stored = 0;
  broker.reply.handle = () => null;
  const all = [router.default(yes), router.add(chat, yes), router.add(room, yes)].map((at) => at.then(() => stored++));
  await eventually(() => broker.of('handle').length === 1);
  await pause(20);
  assert.equal(stored, 0);
  const [{ id, peer, ...request }] = broker.of('handle');
  assert.deepEqual(request, { op: 'handle', handlers: [{}, { channel: 'chat' }, { channel: 'chat', resource: 'room' }] });
  await broker.send(peer, { id, ok: true });
  await Promise.all(all);
  assert.deepEqual([stored, reports.length, broker.of('handle').length], [3, 0, 1]);
});

test('site and app go along, each in requests of its own', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router } = backendOf(broker);
  await Promise.all([
    router.add(chat, yes, { site: 'acme' }), router.default(yes, { app: 'shop' }), router.add({ name: 'news' }, yes, { site: 'acme' }),
    router.add(chat, yes, { site: 'acme', app: 'shop' }), router.add({ name: 'news' }, yes, { app: 'mall', site: null }),
  ]);
  assert.deepEqual(broker.of('handle').map(({ site, app, handlers }) => [site, app, handlers.length]),
    [['acme', undefined, 2], [undefined, 'shop', 1], ['acme', 'shop', 1], [undefined, 'mall', 1]]);
});

test('at most 1,024 handlers in a request', async (context) => {
  const broker = await FakeBroker.open(context);
  const { backend, router } = backendOf(broker);
  await Promise.all(Array.from({ length: 2500 }, (_, i) => router.add({ name: 'chat', resourceId: `${i}` }, yes)));
  assert.deepEqual(broker.registered().map((at) => at.length), [1024, 1024, 452]);
  assert.deepEqual(new Set(broker.registered().flat()).size, 2500);
  await backend.close();
  assert.deepEqual(broker.registered('unhandle').map((at) => at.length), [1024, 1024, 452]);
});

const wrong = {
  'a name with a space': [{ name: 'a b' }, yes, {}, /^channel\.name: only letters/],
  'a long name': [{ name: 'x'.repeat(141) }, yes, {}, /exceed 140 Unicode code points/],
  'a resource with U+0000': [{ name: 'a', resourceId: '\0' }, yes, {}, /^channel\.resourceId: the id contains U\+0000/],
  'a text': ['chat', yes, {}, /^channel: must be an object, not a string/],
  'no channel': [undefined, yes, {}, /^channel: must be an object, not undefined/],
  'null': [null, yes, {}, /^channel: must be an object, not undefined/],
  'no handler': [chat, undefined, {}, /^handler: must be a function, not undefined/],
  'a decision for a handler': [chat, { read: true }, {}, /^handler: must be a function, not an Object/],
  'a site with a space': [chat, yes, { site: 'a b' }, /^site: must be 1 to 64/],
  'a mistyped option': [chat, yes, { appId: 'a' }, /^options: there is no "appId", only site, app, timeoutMs/],
  'no time': [chat, yes, { timeoutMs: 0 }, /^timeoutMs: must be an integer/],
};
for (const [name, [channel, handler, options, rule]] of Object.entries(wrong)) {
  test(`registered with ${name}: refused here, reported, and the process lives without waiting for it`, async (context) => {
    const broker = await FakeBroker.open(context);
    const { router, reports } = backendOf(broker);
    router.add(channel, handler, options); // an unhandled rejection would fail this test
    await assert.rejects(router.add(channel, handler, options), refusal('BadInputError', rule));
    assert.deepEqual(reports.map(({ about }) => about), [1, 2].map(() => ({ during: 'registration', handlers: [] })));
    if (handler === yes) await assert.rejects(router.remove(channel, options), refusal('BadInputError', rule));
    await pause(20);
    assert.deepEqual(broker.log, []);
  });
}

test('a refusal by the broker rejects, is reported, and the handler is given up', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker);
  broker.reply.handle = ({ app }) => (app ? { error: { status: 403, code: 'forbidden', message: 'app: not yours' } } : {});
  const refused = router.add(chat, yes, { app: 'shop' });
  router.default(yes, { app: 'shop' });
  await assert.rejects(refused, refusal('ForbiddenError', /^app: not yours$/));
  await router.add(room, no);
  assert.deepEqual(reports.map(({ error, about }) => [error.status, about]), [[403, { during: 'registration', handlers: [{ name: 'chat' }, 'default'] }]]);
  assert.deepEqual(await router.check(chat, { id: '', type: 'VISITOR' }, { app: 'shop' }), { read: true }, 'nobody has it');
  assert.deepEqual(await broker.check(['chat:room']), [{ read: false }]);
});

test('a broker without room rejects, and is asked again', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker);
  broker.reply.handle = () => ({ error: { status: 503, code: 'unavailable', message: 'no room' } });
  await assert.rejects(router.add(chat, no), refusal('OverloadedError', /^no room$/));
  broker.reply.handle = () => ({});
  await eventually(() => broker.of('handle').length === 2);
  assert.deepEqual(await broker.check(['chat']), [{ read: false }]);
  assert.equal(reports.length, 1);
});

test('a broker that is not there yet: late, reported at once, and registered when it comes', async (context) => {
  const broker = await FakeBroker.open(context, { isAway: true });
  const { router, reports } = backendOf(broker);
  const late = ['a', 'b', 'c'].map((name) => router.add({ name }, no, { timeoutMs: 30 }));
  for (const at of late) {
    await assert.rejects(at, (error) => {
      assert.match(error.message, /has not confirmed this handler within 30 ms; the connection goes on trying/);
      return error.name === 'TimeoutError' && error.outcome === 'not sent';
    });
  }
  const patient = router.add(chat, no, { timeoutMs: 60000 });
  await eventually(() => reports.length === 1);
  assert.deepEqual(reports[0].about, { during: 'registration', handlers: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] });
  await broker.start();
  await patient;
  assert.deepEqual(broker.registered(), [['a', 'b', 'c', 'chat']]);
  assert.deepEqual(broker.log, ['ping', 'handle']);
  assert.equal(reports.length, 1);
});

test('no answer to a registration: asked again on the same connection', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker, { timeoutMs: 50 });
  broker.reply.handle = () => {
    broker.reply.handle = () => ({});
    return null;
  };
  await router.add(chat, no, { timeoutMs: 60000 });
  assert.deepEqual(broker.registered(), [['chat'], ['chat']]);
  assert.deepEqual(reports.map(({ error }) => error.name), ['TimeoutError']);
});

test('the broker is away while nothing is asked: registered again before anything else is sent', async (context) => {
  const broker = await FakeBroker.open(context);
  const { backend, router, reports } = backendOf(broker, { timeoutMs: 60000 });
  await Promise.all([router.default(no), router.add(room, yes)]);
  await backend.publish(chat, { n: 0 });
  for (const instance of ['one', 'two']) {
    await broker.stop();
    broker.instance = instance;
    Object.assign(broker, { requests: [], log: [], worker: null });
    await noticed(backend);
    const publishes = [1, 2].map((n) => backend.publish(chat, { n }, { key: `${instance}-${n}` }));
    await broker.start();
    // At once, and though no request waits.
    assert.deepEqual(await broker.check(['chat', 'chat:room'], 70), [{ read: false }, { read: true }]);
    await Promise.all(publishes);
    assert.deepEqual(broker.log.slice(0, 4), ['ping', 'handle', 'publish', 'publish']);
    assert.deepEqual(broker.registered(), [['', 'chat:room']]);
    broker.answers = [];
  }
  assert.deepEqual(reports, []);
});

test('a loss is noticed without a request', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router } = backendOf(broker);
  await router.default(yes);
  for (let times = 1; times <= 3; times++) {
    const before = broker.worker;
    await broker.stop();
    await broker.start();
    await eventually(() => broker.of('handle').length === times + 1);
    assert.notEqual(broker.worker, before);
  }
});

test('a request with a key that was sent before a loss comes behind the registration', async (context) => {
  const broker = await FakeBroker.open(context);
  const { backend, router } = backendOf(broker, { timeoutMs: 60000 });
  await router.default(yes);
  broker.reply.publish = () => null;
  const published = backend.publish(chat, {}, { key: 'k' });
  await eventually(() => broker.of('publish').length === 1);
  await broker.stop();
  Object.assign(broker, { requests: [], log: [] });
  broker.reply.publish = () => ({ epoch: 'e', offset: 1, duplicate: true });
  await broker.start();
  assert.deepEqual(await published, { epoch: 'e', offset: 1, duplicate: true });
  assert.deepEqual(broker.log, ['ping', 'handle', 'publish']);
});

test('answers to a connection that broke are dropped', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router } = backendOf(broker, { handlerTimeoutMs: 60000 });
  const open = [];
  await router.default(() => new Promise((done) => open.push(done)));
  for (const instance of ['one', 'two']) {
    await broker.ask(['c'], 7);
    await eventually(() => open.length === 1);
    broker.worker = null;
    await broker.stop();
    broker.instance = instance;
    await broker.start();
    await eventually(() => broker.worker);
    // A check with the same id, of the broker as it is now.
    await broker.ask(['c'], 7);
    await eventually(() => open.length === 2);
    open.shift()({ read: true });
    await pause(50);
    assert.deepEqual(broker.answers, []);
    open.shift()({ read: false });
    await eventually(() => broker.answers.length === 1);
    assert.deepEqual(broker.answers.pop().answers, [{ read: false }]);
  }
});

test('a broker that asks nothing any more is told again', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router } = backendOf(broker);
  await router.default(yes);
  const clock = performance.now.bind(performance);
  let ahead = 0;
  context.mock.method(performance, 'now', () => clock() + ahead);
  await pause(100);
  assert.equal(broker.of('handle').length, 1);
  ahead = 4000;
  assert.deepEqual(await broker.check([]), [], 'a sign of life');
  ahead = 8000;
  await pause(100);
  assert.equal(broker.of('handle').length, 1);
  ahead = 10000;
  await eventually(() => broker.of('handle').length === 2);
  await pause(100);
  assert.equal(broker.of('handle').length, 2);
});

// --- changes of mind ---

test('a second handler for the same takes the place of the first', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router } = backendOf(broker);
  await Promise.all([router.add(chat, yes), router.add(chat, no)]);
  assert.deepEqual(await broker.check(['chat']), [{ read: false }]);
  await router.add({ name: 'chat', resourceId: '' }, yes);
  assert.deepEqual(await broker.check(['chat']), [{ read: true }]);
  assert.deepEqual(broker.registered(), [['chat']]);
});

test('remove() takes off, and what is asked until then is decided', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker);
  await Promise.all([router.default(yes), router.add(chat, no), router.add(room, yes), router.add(chat, no, { app: 'shop', site: 's' })]);
  broker.reply.unhandle = () => null;
  const removed = Promise.all([router.remove(chat), router.remove(chat, { app: 'shop', site: 's' })]);
  await eventually(() => broker.of('unhandle').length === 2);
  assert.deepEqual(broker.of('unhandle').map(({ site, app, handlers }) => [site, app, handlers]), [[undefined, undefined, [{ channel: 'chat' }]], ['s', 'shop', [{ channel: 'chat' }]]]);
  assert.deepEqual(await broker.check(['chat']), [{ read: false }], 'never by the next rule');
  for (const { id, peer } of broker.of('unhandle')) await broker.send(peer, { id, ok: true, removed: 1 });
  await removed;
  assert.deepEqual(await router.check(chat, { id: '', type: 'VISITOR' }), { read: true });
  broker.reply.unhandle = () => ({ removed: 1 });
  await Promise.all([router.removeDefault(), router.remove(room)]);
  assert.deepEqual(broker.registered('unhandle').at(-1), ['', 'chat:room']);
  await Promise.all([router.removeDefault(), router.remove(room)]);
  assert.equal(broker.of('unhandle').length, 3, 'there was nothing');
  assert.deepEqual(reports, []);
});

test('what is removed before it was registered, and registered before it was removed', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker);
  const early = assert.rejects(router.add(chat, yes), refusal('MillraceError', /removed before it was registered/));
  await router.remove(chat);
  await early;
  assert.deepEqual(broker.log.filter((op) => op !== 'ping'), []);

  await router.add(chat, yes);
  await Promise.all([router.remove(chat), router.add(chat, no)]);
  assert.deepEqual(broker.log.filter((op) => op !== 'ping'), ['handle'], 'nothing to do');
  assert.deepEqual(await broker.check(['chat']), [{ read: false }]);

  // While the broker is asked to take it off.
  const removed = router.remove(chat);
  await eventually(() => broker.of('unhandle').length === 1);
  const added = router.add(chat, yes);
  await Promise.all([removed, added]);
  assert.deepEqual(broker.requests.map(({ op }) => op), ['handle', 'unhandle', 'handle']);
  assert.deepEqual(await broker.check(['chat']), [{ read: true }]);
  assert.deepEqual(reports, []);
});

test('a removal that the broker does not confirm goes on, and the handler decides until then', async (context) => {
  const broker = await FakeBroker.open(context);
  const { router, reports } = backendOf(broker);
  await router.add(chat, no);
  broker.reply.unhandle = () => ({ error: { status: 503, code: 'unavailable', message: 'busy' } });
  await assert.rejects(router.remove(chat), refusal('OverloadedError', /^busy$/));
  assert.deepEqual(await broker.check(['chat']), [{ read: false }]);
  await broker.stop();
  broker.reply.unhandle = () => ({ removed: 1 });
  Object.assign(broker, { requests: [] });
  await broker.start();
  await eventually(() => broker.of('unhandle').length === 1);
  assert.deepEqual(broker.requests.map(({ op }) => op), ['handle', 'unhandle'], 'by one who is a worker');
  assert.equal(reports.length, 1);
  await assert.doesNotReject(router.remove(chat));
});

// --- the end ---

test('close() takes the handlers off, answers what was asked, and lets requests end', async (context) => {
  const broker = await FakeBroker.open(context);
  const { backend, router, reports } = backendOf(broker);
  let decide;
  await Promise.all([router.add(chat, () => new Promise((done) => (decide = done))), router.default(yes)]);
  broker.reply.publish = () => null;
  const published = backend.publish(chat, {});
  await broker.ask(['chat', 'news'], 5);
  await eventually(() => decide && broker.of('publish').length === 1);
  const closed = backend.close();
  await assert.rejects(backend.publish(chat, {}), refusal('ClosedError', /closed/));
  await assert.rejects(router.add(room, yes), refusal('ClosedError', /closed/));
  await eventually(() => broker.of('unhandle').length === 1);
  assert.deepEqual(broker.registered('unhandle'), [['chat', '']]);
  await pause(20);
  assert.deepEqual(broker.answers, []);
  decide({ read: false });
  await eventually(() => broker.answers.length === 1);
  assert.deepEqual(broker.answers[0].answers, [{ read: false }, { read: true }]);
  const [{ id, peer }] = broker.of('publish');
  await broker.send(peer, { id, ok: true, epoch: 'e', offset: 3 });
  assert.equal((await published).offset, 3);
  await closed;
  await backend.close();
  assert.deepEqual(reports.map(({ error }) => error.name), ['ClosedError']);
});

test('close() of one whose registration is under way', async (context) => {
  const broker = await FakeBroker.open(context);
  const { backend, router } = backendOf(broker);
  broker.reply.handle = () => null;
  const added = router.add(chat, yes);
  await eventually(() => broker.of('handle').length === 1);
  const closed = backend.close();
  await assert.rejects(added, refusal('ClosedError', /closed before the handler was registered/));
  const [{ id, peer }] = broker.of('handle');
  await broker.send(peer, { id, ok: true });
  await closed;
  assert.deepEqual(broker.registered('unhandle'), [['chat']]);
});

test('close({now}) does not wait, and still says goodbye', async (context) => {
  const broker = await FakeBroker.open(context);
  const { backend, router } = backendOf(broker, { handlerTimeoutMs: 60000 });
  await router.default(() => new Promise(() => {}));
  broker.reply.publish = () => null;
  const published = assert.rejects(backend.publish(chat, {}), refusal('ClosedError', /closed before the answer/));
  await broker.ask(['chat'], 5);
  await eventually(() => broker.of('publish').length === 1);
  await backend.close({ now: true });
  await published;
  assert.deepEqual(broker.registered('unhandle'), [['']]);
  assert.deepEqual(broker.answers, []);
});

test('close({now}) while a registration is under way', async (context) => {
  const broker = await FakeBroker.open(context);
  const { backend, router } = backendOf(broker);
  broker.reply.handle = () => null;
  router.default(yes);
  await eventually(() => broker.of('handle').length === 1);
  broker.reply.handle = () => ({});
  await backend.close({ now: true });
  assert.deepEqual(broker.requests.map(({ op }) => op), ['handle', 'handle', 'unhandle']);
});

test('close() without a broker says what it could not do', async (context) => {
  const broker = await FakeBroker.open(context);
  const { backend, router, reports } = backendOf(broker, { timeoutMs: 100 });
  await router.default(yes);
  await broker.stop();
  await pause(100);
  await backend.close();
  assert.match(reports.at(-1).error.message, /has not confirmed that 1 permission handlers are off/);
  await broker.start();
});

test('close({now}) with a greeting that is not answered', async (context) => {
  const broker = await FakeBroker.open(context);
  const { backend } = backendOf(broker);
  broker.reply.ping = broker.reply.publish = () => null;
  const pinged = assert.rejects(backend.publish(chat, {}, { key: 'k' }), refusal('ClosedError', /closed/));
  await eventually(() => broker.log.includes('ping'));
  await backend.close({ now: true });
  await pinged;
});

// --- whole programs ---

const here = fileURLToPath(new URL('.', import.meta.url));

// Runs until `when` has come true, if that is given; resolves with how it ended.
async function runs(context, broker, text, when) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], {
    cwd: here, env: { ...process.env, MILLRACE_BACKENDS: broker.endpoint }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  context.after(() => child.kill('SIGKILL'));
  const out = { text: '', isOver: false };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (out.text += data));
  const ended = new Promise((done) => child.on('exit', (code, signal) => done({ code, signal, text: out.text })));
  ended.then(() => (out.isOver = true));
  if (when) await when(out);
  return { ended, child };
}

test('a program with a handler lives, until that is removed', async (context) => {
  const broker = await FakeBroker.open(context);
  const { ended } = await runs(context, broker, `
    import { permissionsRouter } from '@millrace/backend';
    permissionsRouter.default(() => ({ read: false }));
    permissionsRouter.add({ name: 'stop' }, async () => {
      setTimeout(() => Promise.all([permissionsRouter.removeDefault(), permissionsRouter.remove({ name: 'stop' })]), 10);
      return { read: true };
    });
  `, async (out) => {
    assert.deepEqual(await broker.check(['c']), [{ read: false }]);
    await pause(300);
    assert.equal(out.isOver, false, out.text);
  });
  assert.deepEqual(await broker.check(['stop']), [{ read: true }]);
  assert.deepEqual(await ended, { code: 0, signal: null, text: '' });
  assert.deepEqual(broker.registered('unhandle').flat().sort(), ['', 'stop']);
});

test('a program whose only registration is refused ends, with one line', async (context) => {
  const broker = await FakeBroker.open(context);
  broker.reply.handle = () => ({ error: { status: 403, code: 'forbidden', message: 'op: this endpoint may not handle' } });
  const { ended } = await runs(context, broker, `
    import { permissionsRouter, close } from '@millrace/backend';
    permissionsRouter.add({ name: 'chat', resourceId: 'room' }, () => ({ read: false }));
  `);
  assert.deepEqual(await ended, {
    code: 0, signal: null, text: '@millrace/backend: registration of permission handlers (chat:room): op: this endpoint may not handle\n',
  });
});

test('the shared connection: router, revoke, disconnect and close', async (context) => {
  const broker = await FakeBroker.open(context);
  broker.reply.revoke = () => ({ affected: 3, ended: 2, unconfirmed: 0 });
  broker.reply.disconnect = () => ({ affected: 1, unconfirmed: 1 });
  const { ended } = await runs(context, broker, `
    import { close, disconnect, permissionsRouter, revoke } from '@millrace/backend';
    await permissionsRouter.add({ name: 'chat' }, () => ({ read: false }));
    const results = [
      await permissionsRouter.check({ name: 'chat' }, { id: '', type: 'VISITOR' }),
      await revoke({ channel: { name: 'chat' }, mode: 'deny' }), await disconnect({ subscriber: { id: 'u' } }),
    ];
    console.log(JSON.stringify(results));
    await close();
  `);
  const { code, text } = await ended;
  assert.equal(code, 0, text);
  assert.deepEqual(JSON.parse(text), [{ read: false }, { affected: 3, ended: 2, unconfirmed: 0 }, { affected: 1, unconfirmed: 1 }]);
  assert.deepEqual(broker.requests.map(({ op }) => op), ['handle', 'revoke', 'disconnect', 'unhandle']);
});
