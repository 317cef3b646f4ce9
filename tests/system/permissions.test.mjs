// Who may read: the site's own code decides, at once and again, and what keeps it from deciding refuses.
import assert from 'node:assert/strict';
import { encode } from '@msgpack/msgpack';
import { Backend } from './backend.mjs';
import { Client, sdkClient, sdkSubscription } from './client.mjs';
import { atEnd, Cluster, delay, patience, scenario, until } from './harness.mjs';
import { makeToken, newKey, writeKeys } from './tokens.mjs';
import { Worker } from './worker.mjs';

const key = newKey('HS256', 'k1');
// A cluster whose site has a key; started, and ended with the scenario.
async function started(settings = {}) {
  const cluster = new Cluster({ ...settings, 'site "default"': { keys: 'default.jwks', ...settings['site "default"'] } });
  const start = cluster.startGateway.bind(cluster);
  cluster.startGateway = async () => {
    await writeKeys(cluster.directory, 'default.jwks', key);
    await start();
  };
  atEnd(() => cluster.stop());
  await cluster.start();
  return cluster;
}

const tokenOf = (sub, more = {}) => makeToken(key, { sub, ...more });

async function member(cluster, sub = 'ann', more = {}) {
  const client = await Client.open(cluster, { connect: false });
  const reply = await client.command('connect', { token: tokenOf(sub, more) });
  assert.ok(reply.connect, JSON.stringify(reply));
  return client;
}

async function refusal(client, channel, options = {}) {
  const reply = await client.command('subscribe', { channel, ...options });
  assert.ok(reply.error, JSON.stringify(reply));
  return reply.error;
}

const unsubscribed = (channel) => (push) => push.channel === channel && push.unsubscribe;

scenario('resource, channel, default, none: the most specific handler decides, and sees who asks', null, async () => {
  const cluster = await started();
  const ann = await member(cluster);
  await ann.subscribe('free'); // nobody says anything: everybody may
  const room = await Worker.serve(cluster, [{ channel: 'chat', resource: 'room 1' }], () => ({ read: true }));
  const chat = await Worker.serve(cluster, [{ channel: 'chat' }], ({ subscriber }) => ({ read: subscriber.type === 'ADMIN' }));
  const rest = await Worker.serve(cluster, [{}], () => ({ error: { status: 400, message: 'no such thing' } }));
  await ann.subscribe('chat:room 1');
  assert.deepEqual(await refusal(ann, 'chat'), { code: 403, message: 'read permission refused' });
  assert.deepEqual(await refusal(ann, 'chat:room 2'), { code: 403, message: 'read permission refused' });
  assert.deepEqual(await refusal(ann, 'other'), { code: 400, message: 'no such thing' });
  await (await member(cluster, 'root', { type: 'ADMIN' })).subscribe('chat');
  const { context, ...check } = room.checks[0];
  assert.deepEqual(check, { channel: 'chat', resource: 'room 1', subscriber: { id: 'ann', type: 'MEMBER' }, site: 'default', app: '' });
  assert.match(context.request_id, /^[0-9a-f]{16}$/);
  assert.deepEqual([room.checks.length, chat.checks.length, rest.checks.length], [1, 3, 1]);
  assert.equal(await cluster.metric('permissions_refused_forbidden_total', 'broker'), 2);
});

scenario('the handlers of an app on the site are its own', null, async () => {
  const cluster = await started({ 'backends "apps"': { bind: (at) => `ipc://${at.directory}/apps.sock`, apps: 'chess', may: 'publish handle' } });
  const own = await Worker.serve(cluster, [{}], () => ({ read: false }));
  const apps = { endpoint: `ipc://${cluster.directory}/apps.sock` };
  const app = await Worker.serve(Object.assign(Object.create(cluster), apps), [{}], () => ({ read: true }), { app: 'chess' });
  await (await member(cluster, 'ann', { app: 'chess' })).subscribe('moves');
  assert.equal((await refusal(await member(cluster), 'moves')).code, 403);
  assert.equal(app.checks[0].app, 'chess');
  assert.deepEqual([own.checks.length, app.checks.length], [1, 1]);
});

scenario('rules without code, on the same levels, behind handlers', null, async () => {
  const cluster = await started({
    'rule "members"': { channel: 'club', allow: 'member admin' },
    'rule "lobby"': { channel: 'club', resource: 'lobby', allow: 'everyone' },
    'rule "no-visitors"': { deny: 'visitor' },
  });
  const visitor = await Client.open(cluster);
  assert.deepEqual(await refusal(visitor, 'club'), { code: 403, message: 'read permission refused' });
  await visitor.subscribe('club:lobby');
  assert.equal((await refusal(visitor, 'news')).code, 403);
  const ann = await member(cluster);
  for (const channel of ['club', 'club:x', 'news']) await ann.subscribe(channel);
  await Worker.serve(cluster, [{ channel: 'club' }], () => ({ read: false }));
  assert.equal((await refusal(await member(cluster, 'bob'), 'club')).code, 403);
});

scenario('a site that requires handlers refuses without one', null, async () => {
  const cluster = await started({ 'site "default"': { require_handlers: 'yes' } });
  const ann = await member(cluster);
  const error = await refusal(ann, 'chat');
  assert.equal(error.code, 403);
  assert.match(error.message, /requires a permission handler/);
  await Worker.serve(cluster, [{ channel: 'chat' }]);
  await ann.subscribe('chat');
});

scenario('preview: everybody reads, nobody is asked, and it stays apart', null, async () => {
  const cluster = await started();
  const worker = await Worker.serve(cluster, [{}], () => ({ read: false }));
  const backend = Backend.open(cluster);
  const ann = await member(cluster, 'ann', { view: 'preview' });
  await ann.subscribe('chat');
  await backend.publish('chat', { where: 'live' });
  await backend.publish('chat', { where: 'preview' }, { view: 'preview' });
  assert.deepEqual((await ann.publication('chat')).data, { where: 'preview' });
  assert.equal(worker.checks.length, 0);
});

// --- what keeps a handler from answering ---

scenario('unreachable, throwing and malformed handlers refuse with 503, as `unavailable` says', null, async () => {
  for (const [unavailable, first, resumed] of [['auto', undefined, true], ['refuse', undefined, undefined], ['retry', true, true]]) {
    const cluster = await started({ 'site "default"': { unavailable } });
    const ann = await member(cluster);
    const answers = [{ error: { status: 500, message: 'secret of the handler' } }, { read: 'yes' }, { read: true, ttl: -1 }, null, {}];
    const worker = await Worker.serve(cluster, [{}], () => answers[0]);
    for (const answer of [...answers]) {
      worker.decide = () => answer;
      const error = await refusal(ann, 'chat');
      assert.deepEqual([error.code, error.temporary], [503, first], JSON.stringify(error));
      assert.doesNotMatch(error.message, /secret/);
      assert.equal((await refusal(ann, 'chat', { recover: true, epoch: 'x', offset: 1 })).temporary, resumed);
    }
    worker.close();
    await until(patience, 'the worker to be gone', async () => (await cluster.metric('workers', 'broker')) === 0);
    assert.deepEqual([(await refusal(ann, 'chat')).code, worker.checks.length], [503, 10]);
    assert.equal(await cluster.metric('permissions_granted_total', 'broker'), 0);
  }
});

scenario('a silent handler is answered for in time, and a second worker is asked before', null, async () => {
  const cluster = await started();
  const silent = await Worker.serve(cluster, [{}], () => undefined);
  const ann = await member(cluster);
  const began = performance.now();
  const error = await refusal(ann, 'chat');
  const took = performance.now() - began;
  assert.deepEqual([error.code, error.temporary], [503, undefined]);
  assert.match(error.message, /the permission handler did not answer in time/);
  assert.ok(took < 4000, `${took} ms`);
  const good = await Worker.serve(cluster, [{}], () => ({ read: true }));
  silent.checks.length = 0;
  // Whoever is asked first: within a second and some the good one has answered.
  for (const channel of ['a', 'b']) await ann.subscribe(channel);
  assert.ok(good.checks.length >= 2);
  assert.equal((await refusal(ann, 'chat').catch(() => ({ code: 0 }))).code, 0, 'both were asked: the good one answers');
});

scenario('two workers that disagree: the first answer counts, the late yes does not', null, async () => {
  const cluster = await started();
  let late;
  const slow = await Worker.serve(cluster, [{}], () => new Promise((done) => { late = () => done({ read: true }); }));
  const ann = await member(cluster);
  const reply = refusal(ann, 'chat');
  await slow.asked(1);
  await Worker.serve(cluster, [{}], () => ({ read: false }));
  assert.equal((await reply).code, 403);
  late();
  await until(patience, 'the late answer', async () => (await cluster.metric('batches_open', 'broker')) === 0);
  assert.equal(await cluster.metric('permissions_granted_total', 'broker'), 0);
});

scenario('answers that make no sense change nothing', null, async () => {
  const cluster = await started();
  const worker = await Worker.serve(cluster, [{}], () => undefined);
  const stranger = Backend.open(cluster);
  const ann = await member(cluster);
  for (const answers of [[], [{ read: true }, { read: true }], 'yes', undefined]) {
    const reply = refusal(ann, 'chat');
    const before = worker.checks.length;
    await worker.asked(before + 1);
    await stranger.raw(encode({ op: 'answer', id: worker.last, answers: [{ read: true }] }));
    await worker.answer(worker.last + 1, [{ read: true }]);
    await worker.answer(worker.last, answers);
    assert.equal((await reply).code, 503);
    await worker.answer(worker.last, [{ read: true }]);
  }
  assert.equal(await cluster.metric('permissions_granted_total', 'broker'), 0);
  assert.equal(await cluster.metric('answers_malformed_total', 'broker'), 4);
});

scenario('a handler killed with 1,000 open questions: all are answered, nobody is let in', null, async () => {
  const cluster = await started({ gateway: { pending_commands: 2000, subscriptions: 2000 } });
  const worker = await Worker.serve(cluster, [{}], () => undefined);
  const clients = await Promise.all(Array.from({ length: 10 }, (_, i) => member(cluster, `m${i}`)));
  const began = performance.now();
  const replies = clients.map((client) => client.commands(Array.from({ length: 100 }, (_, i) => ['subscribe', { channel: `c${i}` }])));
  await worker.asked(1000);
  worker.close();
  const all = (await Promise.all(replies)).flat();
  const took = performance.now() - began;
  assert.deepEqual([...new Set(all.map((reply) => reply.error?.code))], [503]);
  assert.ok(took < 4000 + 100, `${took} ms`);
});

scenario('registrations survive kill -9 of the broker: the door stays shut', null, async () => {
  const cluster = await started();
  const worker = await Worker.serve(cluster, [{ channel: 'chat' }]);
  worker.close();
  cluster.broker.expectedToDie = true;
  await cluster.broker.stop('SIGKILL');
  await cluster.startBroker();
  const ann = await member(cluster);
  await until(patience, 'the gateway to be back', async () => (await refusal(ann, 'chat')).code === 503);
  await ann.subscribe('other');
  await Worker.serve(cluster, [{ channel: 'chat' }]);
  await ann.subscribe('chat');
});

scenario('the stock SDK: a refusal ends the subscription, an outage while it resumes does not', null, async () => {
  const cluster = await started();
  const worker = await Worker.serve(cluster, [{}], ({ channel }) => ({ read: channel === 'chat' }));
  const client = sdkClient(cluster, '5.8.0', { token: tokenOf('ann'), timeout: 5000 });
  const no = sdkSubscription(client, 'secret'), yes = sdkSubscription(client, 'chat');
  no.subscribe();
  yes.subscribe();
  client.connect();
  const end = await no.expect('unsubscribed');
  assert.deepEqual([end.code, end.reason], [403, 'read permission refused']);
  await yes.expect('subscribed');
  worker.close();
  await until(patience, 'the worker to be gone', async () => (await cluster.metric('workers', 'broker')) === 0);
  cluster.gateway.expectedToDie = true;
  await cluster.gateway.stop('SIGKILL');
  await cluster.startGateway();
  const error = await yes.expect('error', (context) => context.error.code === 503);
  assert.equal(error.error.temporary, true);
  await Worker.serve(cluster, [{}]);
  await yes.expect('subscribed');
});

// --- grants ---

const sendAll = async (backend, channel, from, to) => {
  for (let n = from; n <= to; n++) await backend.publish(channel, { n });
};

scenario('a grant with ttl is asked for again at delivery; what was held keeps its order', null, async () => {
  const cluster = await started();
  const backend = Backend.open(cluster);
  let allow = true, hold = null;
  const worker = await Worker.serve(cluster, [{}], async ({ subscriber }) => {
    if (subscriber.id === 'bob') return { read: true };
    if (hold) await hold.promise;
    return { read: allow, ttl: 0.2 };
  });
  const ann = await member(cluster), bob = await member(cluster, 'bob');
  await ann.subscribe('chat');
  await bob.subscribe('chat');
  await delay(300); // the grant is over; nobody asks before there is something to deliver
  assert.equal(worker.checks.length, 2);
  hold = deferred();
  await sendAll(backend, 'chat', 1, 5);
  assert.deepEqual((await bob.publications('chat', 5)).map(({ data }) => data.n), [1, 2, 3, 4, 5]);
  await worker.asked(3);
  assert.equal(ann.pushes.length, 0);
  hold.resolve();
  hold = null;
  assert.deepEqual((await ann.publications('chat', 5)).map(({ offset }) => offset), [1, 2, 3, 4, 5]);
  await delay(300);
  allow = false;
  await sendAll(backend, 'chat', 6, 7);
  const push = await ann.push(unsubscribed('chat'));
  assert.deepEqual(push.unsubscribe, { code: 2403, reason: 'read permission refused' });
  assert.deepEqual((await bob.publications('chat', 2)).map(({ data }) => data.n), [6, 7]);
  assert.equal(ann.pushes.length, 0);
});

function deferred() {
  const result = {};
  result.promise = new Promise((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
}

for (const [name, settings, ttl] of [['ttl: 0', {}, 0], ['check = message', { 'channel "chat"': { check: 'message' } }, 3600]]) {
  scenario(`${name}: every message is asked for`, null, async () => {
    const cluster = await started(settings);
    const backend = Backend.open(cluster);
    let good = true;
    const worker = await Worker.serve(cluster, [{}], () => ({ read: good, ttl }));
    const ann = await member(cluster);
    await ann.subscribe('chat');
    for (let n = 1; n <= 3; n++) {
      await backend.publish('chat', { n });
      assert.equal((await ann.publication('chat')).data.n, n);
      assert.equal(worker.checks.length, 1 + n);
    }
    good = false;
    await backend.publish('chat', { n: 4 });
    assert.equal((await ann.push(unsubscribed('chat'))).unsubscribe.code, 2403);
    assert.equal(ann.pushes.length, 0);
  });
}

scenario('the handler is away when a grant is over: told to come back, and nothing is lost', null, async () => {
  const cluster = await started();
  const backend = Backend.open(cluster);
  const worker = await Worker.serve(cluster, [{}], () => ({ read: true, ttl: 0.1 }));
  const client = sdkClient(cluster, '5.8.0', { token: tokenOf('ann'), timeout: 5000 });
  const chat = sdkSubscription(client, 'chat', { recoverable: true });
  chat.subscribe();
  client.connect();
  await chat.expect('subscribed');
  worker.close();
  await until(patience, 'the worker to be gone', async () => (await cluster.metric('workers', 'broker')) === 0);
  await delay(150);
  await sendAll(backend, 'chat', 1, 3);
  await chat.expect('subscribing', ({ code }) => code === 2500);
  await Worker.serve(cluster, [{}], () => ({ read: true }));
  const back = await chat.expect('subscribed');
  assert.equal(back.recovered, true);
  for (let n = 1; n <= 3; n++) assert.equal((await chat.expect('publication')).data.n, n);
});

// --- taking it back ---

scenario('revoke ends subscriptions at once, and says how many', null, async () => {
  const cluster = await started();
  const backend = Backend.open(cluster);
  const ann = await member(cluster), bob = await member(cluster, 'bob');
  for (const client of [ann, bob]) for (const channel of ['chat', 'chat:1', 'news']) await client.subscribe(channel);
  assert.deepEqual(
    await backend.request('revoke', { channel: 'chat', subscriber: { id: 'ann' }, mode: 'deny' }),
    { id: backend.lastId, ok: true, affected: 2, ended: 2, unconfirmed: 0 });
  await backend.publish('chat', { n: 1 });
  await backend.publish('chat:1', { n: 2 });
  await backend.publish('news', { n: 3 });
  const reasons = [(await ann.push()).unsubscribe, (await ann.push()).unsubscribe];
  assert.deepEqual(reasons, Array(2).fill({ code: 2410, reason: 'read permission revoked' }));
  assert.equal((await ann.publication('news')).data.n, 3);
  assert.equal((await bob.publication('chat')).data.n, 1);
  assert.equal(ann.pushes.length, 0);
  await ann.subscribe('chat'); // asked anew, and nobody says no
  const nothing = await backend.request('revoke', { channel: 'nothing', mode: 'deny' });
  assert.deepEqual([nothing.affected, nothing.ended, nothing.unconfirmed], [0, 0, 0]);
  const everything = await backend.request('revoke', { mode: 'deny' });
  assert.deepEqual([everything.ok, everything.error.status], [false, 400]);
});

scenario('recheck asks again: who may go on notices nothing', null, async () => {
  const cluster = await started();
  const backend = Backend.open(cluster);
  const allowed = new Set(['ann', 'bob']);
  const worker = await Worker.serve(cluster, [{}], ({ subscriber }) => ({ read: allowed.has(subscriber.id), ttl: 3600 }));
  const ann = await member(cluster), bob = await member(cluster, 'bob');
  await ann.subscribe('chat');
  await bob.subscribe('chat');
  allowed.delete('ann');
  const { affected, ended, unconfirmed } = await backend.request('revoke', { channel: 'chat', mode: 'recheck' });
  assert.deepEqual([affected, ended, unconfirmed], [2, 1, 0]);
  await backend.publish('chat', { n: 1 });
  assert.equal((await bob.publication('chat')).offset, 1);
  assert.equal((await ann.push()).unsubscribe.code, 2403);
  assert.equal(worker.checks.length, 4);
});

scenario('a revocation during a pending question: the late yes does not win', null, async () => {
  const cluster = await started();
  const backend = Backend.open(cluster);
  const gates = [];
  const worker = await Worker.serve(cluster, [{}], () => {
    const gate = deferred();
    gates.push(gate);
    return gate.promise;
  });
  const ann = await member(cluster);
  const reply = refusal(ann, 'chat');
  await worker.asked(1);
  await backend.request('revoke', { subscriber: { id: 'ann' }, mode: 'deny' });
  gates[0].resolve({ read: true });
  await worker.asked(2);
  gates[1].resolve({ read: false });
  assert.equal((await reply).code, 403);
});

scenario('disconnect closes connections for good', null, async () => {
  const cluster = await started();
  const backend = Backend.open(cluster);
  const ann = await member(cluster), again = await member(cluster), bob = await member(cluster, 'bob');
  const reply = await backend.request('disconnect', { subscriber: { id: 'ann', type: 'MEMBER' }, reason: 'spam' });
  assert.deepEqual([reply.affected, reply.unconfirmed], [2, 0]);
  for (const client of [ann, again]) {
    const { code, reason } = await client.closing();
    assert.equal(code, 3503);
    assert.match(reason, /spam/);
  }
  await bob.subscribe('chat');
  const sdk = sdkClient(cluster, '5.8.0', { token: tokenOf('carl') });
  sdk.connect();
  await sdk.expect('connected');
  await backend.request('disconnect', { subscriber: { id: 'carl' } });
  assert.equal((await sdk.expect('disconnected')).code, 3503);
});

scenario('a gateway that was away applies what it missed before it delivers anything', null, async () => {
  const cluster = await started();
  const backend = Backend.open(cluster);
  const ann = await member(cluster);
  await ann.subscribe('chat');
  await backend.publish('chat', { n: 1 });
  await ann.publication('chat');
  cluster.gateway.signal('SIGSTOP');
  atEnd(() => cluster.gateway.signal('SIGCONT'));
  const reply = await backend.request('revoke', { channel: 'chat', mode: 'deny' });
  assert.equal(reply.unconfirmed, 1);
  await backend.publish('chat', { n: 2 });
  cluster.gateway.signal('SIGCONT');
  const push = await ann.push();
  assert.equal(push.unsubscribe?.code, 2410, JSON.stringify(push));
  await backend.publish('chat', { n: 3 });
  assert.equal(ann.pushes.filter((one) => one.pub).length, 0);
});

// --- bounds ---

scenario('100,000 handlers are refused where the limit is, and nothing else notices', null, async () => {
  const cluster = await started({ broker: { handlers: 3000 } });
  const backend = Backend.open(cluster);
  const names = (from, count) => Array.from({ length: count }, (_, i) => ({ channel: `c${from + i}` }));
  let stored = 0, refused = 0;
  for (let from = 0; from < 100000; from += 1000) {
    const reply = await backend.request('handle', { handlers: names(from, 1000) });
    if (reply.ok) stored += 1000;
    else refused += reply.error.status === 429 ? 1000 : 0;
  }
  assert.deepEqual([stored, refused], [3000, 97000]);
  assert.equal(await cluster.metric('handlers', 'broker'), 3000);
  const reply = await backend.request('handle', { handlers: names(0, 1025) });
  assert.equal(reply.error.status, 413);
  await (await member(cluster)).subscribe('free');
});

scenario('a flapping handler: few questions, and nobody is let in without an answer', null, async () => {
  const cluster = await started();
  const ann = await member(cluster);
  await (await Worker.serve(cluster, [{}], () => undefined)).close(); // from here on there is a handler
  let yes = 0, on = true, workers = 0;
  const flap = (async () => {
    while (on) {
      workers++;
      const worker = await Worker.serve(cluster, [{}], () => undefined);
      await delay(200);
      worker.close();
      await delay(200);
    }
  })();
  const end = performance.now() + 8000;
  let tried = 0;
  while (performance.now() < end) {
    const reply = await ann.command('subscribe', { channel: `c${tried++ % 5}` });
    if (reply.subscribe) yes++;
    else assert.equal(reply.error.code, 503);
  }
  on = false;
  await flap;
  assert.equal(yes, 0);
  // Of five channels each worker is asked once for what waits then.
  const sent = await cluster.metric('checks_sent_total', 'broker');
  assert.ok(sent <= 5 * workers, `${sent} questions to ${workers} workers, ${tried} attempts`);
});
