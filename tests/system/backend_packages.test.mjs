// @millrace/backend and the Python package against the real broker and gateway, and what subscribers get.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { encode } from '@msgpack/msgpack';
import { Client } from './client.mjs';
import { Child, freePort, patience, root, scenarioWith, sharedCluster, skipLarge, until, within } from './harness.mjs';
import { FakeBroker, kinds, python, pythonEnvironment } from './packages.mjs';

const acme = (own) => `ipc://${own.directory}/acme.sock`;
const { cluster, scenario } = sharedCluster({ 'backends "acme"': { bind: acme, site: 'acme', may: 'publish' } });

// Each scenario for each package, on a channel of its own.
let channels = 0;
function each(name, body) {
  for (const [kind, open] of Object.entries(kinds)) {
    const channel = `packages-${++channels}`;
    scenario(`${kind}: ${name}`, () => body(channel, (settings) => open({ endpoint: cluster.endpoint, timeoutMs: 60000, ...settings })));
  }
}

async function subscribed(channel, own = cluster) {
  const client = await Client.open(own);
  await client.subscribe(channel);
  return client;
}

function refusal(name, status, outcome, rule) {
  return (error) => {
    assert.deepEqual([error.name, error.status, error.outcome], [name, status, outcome], `${error.message}`);
    assert.match(error.message, rule);
    return true;
  };
}

// Payloads by their size as JSON text.
const padded = (bytes) => ({ t: 'x'.repeat(bytes - '{"t":""}'.length) });

each('publishes to a resource, and subscribers of it get that', async (name, open) => {
  const backend = await open();
  const room = await subscribed(`${name}:room 1/2: ä`);
  const whole = await subscribed(name);
  const payload = { text: 'hällo 😀', n: 2 ** 40, list: [1.5, null, true, { deep: [] }] };
  const { epoch, offset, ...rest } = await backend.publish({ name, resourceId: 'room 1/2: ä' }, payload, { publisher: 'user-7' });
  assert.match(epoch, /^[0-9a-f]{16}$/);
  assert.deepEqual([offset, rest], [1, {}]);
  assert.deepEqual(await room.publication(`${name}:room 1/2: ä`), { data: payload, info: { client: '', user: 'user-7' }, offset: 1 });
  await backend.publish({ name }, { whole: true });
  assert.deepEqual(await whole.publication(name), { data: { whole: true }, offset: 1 });
  assert.deepEqual([room.pushes, whole.pushes], [[], []]);
});

each('what breaks a rule is refused, and nobody gets it', async (name, open) => {
  const backend = await open();
  const client = await subscribed(name);
  await assert.rejects(backend.publish({ name }, 'hello'), refusal('BadInputError', 400, 'refused', /^payload: must be an? (object|dict), not /));
  await assert.rejects(backend.publish({ name }, [1]), refusal('BadInputError', 400, 'refused', /^payload: must be/));
  await assert.rejects(backend.publish({ name: `${name} x` }, {}), refusal('BadInputError', 400, 'refused', /^channel\.name: only letters/));
  await assert.rejects(backend.publish({ name, resourceId: 'x'.repeat(140) }, {}), refusal('BadInputError', 400, 'refused', /140/));
  await assert.rejects(backend.publish({ name }, padded(10241)), refusal('TooLargeError', 413, 'refused', /10241 bytes.*10240/));
  await assert.rejects(backend.publish({ name }, {}, { site: 'acme' }), refusal('ForbiddenError', 403, 'refused', /site/));
  const { offset } = await backend.publish({ name }, padded(10240));
  assert.equal(offset, 1);
  assert.equal((await client.publication(name)).offset, 1);
  assert.deepEqual(client.pushes, []);
});

each('an idempotency key is published once', async (name, open) => {
  const backend = await open();
  const first = await backend.publish({ name }, { n: 1 }, { key: 'k' });
  assert.deepEqual(await backend.publish({ name }, { n: 1 }, { key: 'k' }), { ...first, duplicate: true });
  await assert.rejects(backend.publish({ name }, { n: 2 }, { key: 'k' }), refusal('ConflictError', 409, 'refused', /key/));
  assert.equal((await backend.publish({ name }, { n: 2 }, { key: 'l' })).offset, 2);
});

each('preview and live are two streams', async (name, open) => {
  const backend = await open();
  const client = await subscribed(name);
  const preview = await backend.publish({ name }, { view: 'preview' }, { view: 'preview' });
  const live = await backend.publish({ name }, { view: 'live' }, { view: 'live' });
  assert.notEqual(preview.epoch, live.epoch);
  assert.deepEqual((await client.publication(name)).data, { view: 'live' });
  assert.deepEqual(client.pushes, []);
  assert.deepEqual((await backend.history({ name }, { view: 'preview' })).publications, [{ offset: 1, payload: { view: 'preview' } }]);
  const other = await open({ endpoint: acme(cluster) });
  await assert.rejects(other.publish({ name }, {}, { view: 'preview' }), refusal('ForbiddenError', 403, 'refused', /view|preview/));
  await assert.rejects(other.history({ name }), refusal('ForbiddenError', 403, 'refused', /history/));
});

each('thousands at once arrive in their order', async (name, open) => {
  const backend = await open({ maxPending: 500 });
  const client = await subscribed(name);
  const count = skipLarge ? 2000 : 10000;
  const numbers = Array.from({ length: count }, (_, n) => n + 1);
  const published = await Promise.all(numbers.map((n) => backend.publish({ name }, { n })));
  assert.deepEqual(published.map(({ offset }) => offset), numbers);
  for (const n of numbers) assert.deepEqual(await client.publication(name), { data: { n }, offset: n });
});

each('publish_many has one result for each item', async (name, open) => {
  const backend = await open();
  const item = (n) => ({ channel: { name }, payload: { n }, key: `k${n}` });
  const items = Array.from({ length: 2500 }, (_, n) => item(n + 1));
  items.splice(1500, 0, { channel: { name: 'a b' }, payload: {} }, { channel: { name }, payload: padded(10241) }, item(7));
  const results = await backend.publishMany(items);
  assert.equal(results.length, items.length);
  const [broken, large, twice] = results.splice(1500, 3);
  refusal('BadInputError', 400, 'refused', /^items\[1500\]\.channel\.name: only letters/)(broken.error);
  refusal('TooLargeError', 413, 'refused', /10241 bytes/)(large.error);
  assert.deepEqual([twice.offset, twice.duplicate], [7, true]);
  assert.deepEqual(results.map(({ offset }) => offset), results.map((_, n) => n + 1));
  assert.deepEqual(await backend.publishMany([]), []);
});

each('ping, and an end that waits for what is under way', async (name, open) => {
  const backend = await open();
  await backend.ping();
  const last = Array.from({ length: 100 }, (_, n) => backend.publish({ name }, { n }));
  await backend.close();
  assert.equal((await Promise.all(last)).at(-1).offset, 100);
  await assert.rejects(backend.publish({ name }, {}), refusal('ClosedError', 503, 'not sent', /closed/));
});

// --- the broker goes away ---

const settings = { timeoutMs: 50000 };

for (const [kind, open] of Object.entries(kinds)) {
  scenarioWith(`${kind}: the broker is away, then it is there`, {}, async (own) => {
    const backend = await open({ ...settings, endpoint: own.endpoint });
    await backend.publish({ name: 'away' }, { before: true });
    own.broker.expectedToDie = true;
    await own.broker.stop('SIGKILL');
    // Until ZeroMQ has noticed, a request may still be given to the connection that is no more: "unknown".
    await until(patience, 'the loss to be noticed', async () => {
      const error = await backend.publish({ name: 'noticed' }, {}, { timeoutMs: 20 }).catch((reason) => reason);
      return error.outcome === 'not sent';
    });

    const away = await Promise.all(Array.from({ length: 20 }, async (_, n) => {
      const began = performance.now();
      const options = { timeoutMs: 300, ...(n % 2 ? { key: `k${n}` } : {}) };
      const reason = await backend.publish({ name: 'away' }, { n }, options).then(() => null, (error) => error);
      return { reason, ms: performance.now() - began };
    }));
    for (const { reason, ms } of away) {
      refusal('TimeoutError', 504, 'not sent', /no connection to the broker at tcp:.* within/)(reason);
      assert.ok(ms < 3000, `after its 300 ms, not ${ms}`);
    }

    // One that waits while the broker starts is sent when it is there; those before are not.
    const waiting = backend.publish({ name: 'away' }, { waited: true });
    await own.startBroker();
    assert.equal((await waiting).offset, 2);
    assert.equal((await backend.publish({ name: 'away' }, { after: true })).offset, 3);
    const { publications } = await backend.history({ name: 'away' });
    assert.deepEqual(publications.map(({ payload }) => payload), [{ before: true }, { waited: true }, { after: true }]);
  });

  scenarioWith(`${kind}: what ZeroMQ held for a broker that died is not given to the next one`, { store: { engine: 'memory' } }, async (own) => {
    const backend = await open({ ...settings, endpoint: own.endpoint });
    await backend.publish({ name: 'held' }, { before: true });
    own.broker.expectedToDie = true;
    own.broker.signal('SIGSTOP');
    // More than the buffers of the kernel hold.
    const publishes = Array.from({ length: 1500 }, (_, n) => backend.publish({ name: 'held' }, padded(10000), n % 2 ? { key: `k${n}` } : {}));
    const ends = Promise.all(publishes.map((publish) => publish.then(() => 'published', (error) => `${error.name}: ${error.outcome}`)));
    // "unknown" says of a later one that all of them were given to ZeroMQ.
    await until(patience, 'all to be handed over', async () => {
      const error = await backend.publish({ name: 'held' }, {}, { timeoutMs: 100 }).catch((reason) => reason);
      assert.equal(error.name, 'TimeoutError');
      return error.outcome === 'unknown';
    });
    await own.broker.stop('SIGKILL');
    await publishes[0].catch(() => {}); // it has no key: it fails when the loss is noticed
    await own.startBroker();
    const kindsOfEnd = new Set(await ends);
    // Nothing but this: that broker is gone with its keys, so nothing may be sent again.
    assert.deepEqual([...kindsOfEnd], ['DisconnectedError: unknown']);
    assert.equal((await backend.publish({ name: 'held' }, { after: true })).offset, 1, 'nothing else was published');
  });

  scenarioWith(`${kind}: what has a key is sent again to the next broker that has its keys`, {}, async (own) => {
    const backend = await open({ ...settings, endpoint: own.endpoint });
    await backend.publish({ name: 'again' }, { before: true });
    own.broker.expectedToDie = true;
    own.broker.signal('SIGSTOP');
    const keyed = Array.from({ length: 20 }, (_, n) => backend.publish({ name: 'again' }, { n }, { key: `k${n}` }));
    const bare = backend.publish({ name: 'again' }, {}).then(() => null, (error) => error);
    await until(patience, 'all to be handed over', async () => {
      const error = await backend.publish({ name: 'again' }, {}, { timeoutMs: 100 }).catch((reason) => reason);
      return error.outcome === 'unknown';
    });
    await own.broker.stop('SIGKILL');
    await own.startBroker();
    const offsets = (await Promise.all(keyed)).map(({ offset }) => offset);
    assert.deepEqual(offsets, Array.from({ length: 20 }, (_, n) => n + 2));
    assert.equal((await bare).outcome, 'unknown', 'one without a key is not sent twice');
    const { publications } = await backend.history({ name: 'again' }, { limit: 100 });
    assert.deepEqual(publications.map(({ payload }) => payload), [{ before: true }, ...offsets.map((_, n) => ({ n }))]);
  });
}

// --- whole programs ---

const program = (text) => ({ js: ['node', ['--input-type=module', '-e', text]], python: [python, ['-c', text]] });

async function runs(kind, text, env = {}) {
  const [file, args] = program(text)[kind];
  const child = new Child(kind, file, args, { env: { ...pythonEnvironment, MILLRACE_BACKENDS: cluster.endpoint, ...env }, cwd: join(root, 'tests/system'), input: '' });
  const { code } = await within(patience, `the end of this program:\n${text}`, child.exited);
  assert.equal(code, 0, child.tail());
  return child.stdout;
}

scenario('JavaScript: a program in the style of the hosted API, which ends by itself', async () => {
  const client = await subscribed('chat:room');
  await runs('js', `
    import { publish } from '@millrace/backend';
    await publish({ name: 'chat', resourceId: 'room' }, { text: 'from JavaScript' });
  `);
  assert.deepEqual((await client.publication('chat:room')).data, { text: 'from JavaScript' });
});

scenario('Python: the same', async () => {
  const client = await subscribed('chat:room-2');
  await runs('python', `
from millrace import publish
publish({"name": "chat", "resourceId": "room-2"}, {"text": "from Python"})
`);
  assert.deepEqual((await client.publication('chat:room-2')).data, { text: 'from Python' });
});

scenario('a program ends after its last request, also when nobody waits for it or the broker is away', async () => {
  await runs('js', `
    import { connect, publish } from '@millrace/backend';
    connect(); connect({ endpoint: 'tcp://127.0.0.1:1' });
    publish({ name: 'unawaited' }, { n: 1 });
    await connect({ endpoint: 'tcp://127.0.0.1:1', timeoutMs: 100 }).publish({ name: 'c' }, {}).catch(() => {});
  `);
  await runs('python', `
from millrace import Backend, TimeoutError
Backend("tcp://127.0.0.1:1")
Backend().submit("unawaited", {"n": 2})
try:
    Backend("tcp://127.0.0.1:1", timeout=0.1).publish("c", {})
except TimeoutError:
    pass
`);
  const backend = await kinds.JavaScript({ endpoint: cluster.endpoint });
  assert.deepEqual((await backend.history({ name: 'unawaited' })).publications.map(({ payload }) => payload.n), [1, 2]);
});

scenario('Python: threads share a connection, a forked process makes its own', async () => {
  const lines = await runs('python', `
import os, threading
from millrace import Backend, ClosedError, publish
with Backend(os.environ["MILLRACE_BACKENDS"]) as backend:
    threads = [threading.Thread(target=lambda: [backend.publish("threads", {}) for _ in range(50)]) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(backend.publish("threads", {}).offset, flush=True)  # before the fork: it would be written twice
    publish("fork", {})
    child = os.fork()
    if child == 0:
        try:
            backend.publish("fork", {})
        except ClosedError as error:
            print(error.outcome, publish("fork", {}).offset, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
`);
  assert.deepEqual(lines, ['401', 'not sent 2']);
});

scenario('Python: a request that is cancelled before it was sent is not sent', async () => {
  const port = await freePort();
  const lines = await runs('python', `
import asyncio, msgpack, zmq
from millrace import AsyncBackend, Backend
endpoint = "tcp://127.0.0.1:${port}"
async def main():
    async with AsyncBackend(endpoint) as backend:
        try:
            await asyncio.wait_for(backend.publish("c", {"cancelled": True}), 0.1)
        except asyncio.TimeoutError:
            print("cancelled")
        router = zmq.Context.instance().socket(zmq.ROUTER)
        router.setsockopt(zmq.LINGER, 1000)
        router.bind(endpoint)
        second = asyncio.ensure_future(backend.publish("c", {"cancelled": False}))
        requests = {}
        for _ in range(2):
            peer, data = await asyncio.get_running_loop().run_in_executor(None, router.recv_multipart)
            request = msgpack.unpackb(data)
            requests[request["op"]] = request.get("payload")
            reply = {"id": request["id"], "ok": True, "instance": "i", "epoch": "e", "offset": 1}
            router.send_multipart([peer, msgpack.packb(reply)])
        print(requests, (await second).offset)
asyncio.run(main())
with Backend("tcp://127.0.0.1:1") as away:
    future = away.submit("c", {})
    print(future.cancel(), future.cancelled())
`);
  assert.deepEqual(lines, ['cancelled', "{'ping': None, 'publish': {'cancelled': False}} 1", 'True True']);
});

// --- a broker that does as the test says ---

const key = 'k-1';

function eachWithFake(name, body) {
  for (const [kind, open] of Object.entries(kinds)) {
    scenario(`${kind}: ${name}`, async () => {
      const fake = await FakeBroker.open();
      await body(fake, (more) => open({ endpoint: fake.endpoint, timeoutMs: 60000, ...more }));
    });
  }
}

const channel = { name: 'c' };
const position = { epoch: '0123456789abcdef', offset: 1 };
const lost = refusal('DisconnectedError', 503, 'unknown', /broke before it answered.*not known/);

eachWithFake('the connection breaks: only what has a key is sent again, to the same broker', async (fake, open) => {
  const backend = await open();
  await backend.ping();
  const publishes = [backend.publish(channel, { n: 1 }), backend.publish(channel, { n: 2 }, { key }), backend.publish(channel, { n: 3 }, { key: 'k-3' }),
    backend.publishMany([{ channel, payload: { n: 4 }, key: 'k-4' }, { channel, payload: { n: 5 } }])];
  const ends = Promise.allSettled(publishes);
  assert.deepEqual((await fake.take(4)).map((at) => at.payload?.n ?? at.items.length), [1, 2, 3, 2]);
  await fake.reopen(publishes[0].catch(() => {}));
  const again = await fake.take(2);
  assert.deepEqual(again.map((at) => [at.payload.n, at.key]), [[2, 'k-1'], [3, 'k-3']], 'in their order');
  for (const request of again) await fake.reply(request, { ...position, duplicate: true });
  const [plain, keyed, second, many] = await ends;
  lost(plain.reason);
  assert.deepEqual([keyed.value, second.value], [{ ...position, duplicate: true }, { ...position, duplicate: true }]);
  for (const { error } of many.value) lost(error); // one of the items has no key
  const next = backend.publish(channel, { n: 6 });
  const [last] = await fake.take(1);
  assert.equal(last.payload.n, 6, 'nothing else came');
  await fake.reply(last, position);
  assert.deepEqual(await next, position);
});

eachWithFake('another broker is not given what was sent to the one before', async (fake, open) => {
  const backend = await open();
  await backend.ping();
  const publish = backend.publish(channel, { n: 1 }, { key });
  const end = assert.rejects(publish, refusal('DisconnectedError', 503, 'unknown', /started anew.*forgotten the keys/));
  const noticed = assert.rejects(backend.publish(channel, { n: 1 }), lost);
  await fake.take(2);
  await fake.reopen(noticed, 'another');
  await end;
  const next = backend.publish(channel, { n: 2 }, { key });
  const [request] = await fake.take(1);
  assert.equal(request.payload.n, 2);
  await fake.reply(request, position);
  assert.deepEqual(await next, position);
});

eachWithFake('no answer: the outcome is not known, and nothing is sent twice', async (fake, open) => {
  const backend = await open();
  await backend.ping();
  const late = await Promise.allSettled([1, 2].map((n) => backend.publish(channel, { n }, { timeoutMs: 2000, key: `k${n}` })));
  for (const { reason } of late) refusal('TimeoutError', 504, 'unknown', /has not answered within .*not known/)(reason);
  const [first, second] = await fake.take(2);
  const next = backend.publish(channel, { n: 3 });
  const [third] = await fake.take(1);
  assert.deepEqual([first, second, third].map((at) => at.payload.n), [1, 2, 3]);
  await fake.reply(first, { ...position, offset: 7 }); // too late for anybody
  await fake.raw(Buffer.from([0xc1]));
  await fake.raw(encode({ id: 999999, ok: true }));
  await fake.raw(encode(5));
  await fake.reply(third, { ...position, offset: 8 });
  assert.equal((await next).offset, 8);
});

eachWithFake('what waits behind unanswered requests is not sent when its time is over', async (fake, open) => {
  const backend = await open({ maxPending: 2 });
  await backend.ping();
  const ends = await Promise.allSettled([1, 2, 3, 4].map((n) => backend.publish(channel, { n }, { timeoutMs: 2000 })));
  assert.deepEqual(ends.map(({ reason }) => [reason.name, reason.outcome]),
    [['TimeoutError', 'unknown'], ['TimeoutError', 'unknown'], ['TimeoutError', 'not sent'], ['TimeoutError', 'not sent']]);
  assert.match(ends[3].reason.message, /has not answered earlier requests, so this one was not sent/);
  const next = backend.publish(channel, { n: 5 });
  const [first, second] = await fake.take(2);
  assert.deepEqual([first.payload.n, second.payload.n], [1, 2]);
  await fake.reply(second, position); // room for one more
  const [request] = await fake.take(1);
  assert.equal(request.payload.n, 5);
  await fake.reply(request, position);
  assert.deepEqual(await next, position);
});

eachWithFake('there is a bound to what may wait, and an end that does not', async (fake, open) => {
  const backend = await open({ maxQueuedBytes: 2 * 1024 * 1024, maxPending: 1 });
  await backend.ping();
  const ends = Promise.allSettled([1, 2, 3].map((n) => backend.publish(channel, { t: 'x'.repeat(900000), n })));
  const [request] = await fake.take(1);
  assert.equal(request.payload.n, 1);
  await backend.close({ now: true });
  const [sent, queued, refused] = (await ends).map(({ reason }) => reason);
  refusal('ClosedError', 503, 'unknown', /closed before the answer/)(sent);
  refusal('ClosedError', 503, 'not sent', /closed before the answer/)(queued);
  refusal('OverloadedError', 429, 'not sent', /more than 2097152 bytes are waiting/)(refused);
  assert.equal(refused.code, 'queue_full');
});

eachWithFake('replies that say no, and replies that say nothing', async (fake, open) => {
  const backend = await open();
  const ends = Promise.allSettled([1, 2, 3].map((n) => backend.publish(channel, { n })));
  const [busy, odd, empty] = await fake.take(3);
  await fake.refuse(busy, { status: 429, code: 'too_many', message: 'slow down' });
  await fake.refuse(odd, { status: 418, code: 'teapot', message: 'short and stout' });
  await fake.reply(empty, {});
  const [first, second, third] = (await ends).map(({ reason }) => reason);
  refusal('OverloadedError', 429, 'refused', /^slow down$/)(first);
  refusal('MillraceError', 418, 'refused', /^short and stout$/)(second);
  refusal('MillraceError', 500, 'unknown', /reply cannot be read/)(third);
});
