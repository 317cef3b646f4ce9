// The fallback over plain HTTP, by hand and with the stock SDK: it does what a WebSocket does, however its
// requests reach the node, and what is wrong with them is said.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client, sdkSubscription, sdkVersions } from './client.mjs';
import { ask, fallbackSdk, forms, HttpStream, requestText, streamClient } from './fallback.mjs';
import { Gateway, ManyGateways } from './gateways.mjs';
import { atEnd, freePort, patience, scenario, scenarioWith, until, within } from './harness.mjs';
import { caughtUp, Publisher, SdkFollower, verify } from './witness.mjs';
import { answerTo, tcp } from './websocket.mjs';

const ways = [
  ['http_stream', { form: 'http_stream' }],
  ['sse', { form: 'sse', method: 'GET' }],
  ['sse, posted', { form: 'sse' }],
];

for (const [name, way] of ways) {
  scenarioWith(`${name}: subscriptions, history, presence and refusals as on a WebSocket`,
    { 'channel "chat"': { presence: 'full' } }, async (cluster) => {
      const backend = Backend.open(cluster);
      const client = await streamClient(cluster, way);
      assert.match(client.connected.session, /^[0-9a-f]{32}$/);
      assert.match(client.connected.node, /^[0-9a-f]{16}$/);
      assert.equal((await Client.open(cluster)).connected.session, undefined);
      const { epoch, offset } = await client.subscribe('chat');
      assert.equal(offset, 0);
      await backend.publish('chat', { text: 'hällo\n"😀"' }, { publisher: 'ann' });
      assert.deepEqual(await client.publication('chat'), {
        data: { text: 'hällo\n"😀"' }, info: { client: '', user: 'ann' }, offset: 1,
      });
      const { history } = await client.command('history', { channel: 'chat', limit: 5 });
      assert.deepEqual([history.epoch, history.offset, history.publications.length], [epoch, 1, 1]);
      const presence = await until(patience, 'the broker to know who is there', async () =>
        (await client.command('presence', { channel: 'chat' })).presence);
      assert.deepEqual(Object.keys(presence.presence), [client.connected.client]);
      assert.equal((await client.command('subscribe', { channel: 'a b' })).error.code, 400);
      assert.equal((await client.command('publish', { channel: 'chat', data: {} })).error.code, 103);
      const many = await client.commands(['one', 'two', 'three'].map((channel) => ['subscribe', { channel }]));
      assert.ok(many.every((reply) => reply.subscribe));
      await client.unsubscribe('chat');
      await backend.publish('chat', { n: 2 });
      await backend.publish('one', { n: 1 });
      assert.deepEqual((await client.publication('one')).data, { n: 1 });
      assert.deepEqual(client.pushes, []);

      const again = await streamClient(cluster, way);
      const { recovered, publications } = await again.subscribe('chat', { recover: true, epoch, offset: 0 });
      assert.equal(recovered, true);
      assert.deepEqual(publications.map((at) => at.offset), [1, 2]);
      assert.equal(await cluster.metric('fallback_connections'), 2);
      assert.equal(await cluster.metric('connections'), 3);
      assert.ok(await cluster.metric('fallback_streams_total') === 2 && await cluster.metric('fallback_commands_total') > 7);
      const began = performance.now();
      client.cut();
      again.socket.socket.end();
      await until(patience, 'the streams to be gone', async () => (await cluster.metric('connections')) === 1);
      assert.ok(performance.now() - began < 10000, 'a ping would have noticed, too');
      assert.equal(await cluster.metric('fallback_connections'), 0);
      assert.equal(await cluster.metric('fallback_bytes'), 0);
      assert.equal(await client.socket.post({ ...client.connected, data: '{}' }), 204, 'its stream said what was to be said');
    });
}

for (const version of Object.keys(sdkVersions)) {
  const settings = { gateway: { ping_seconds: 1, pong_seconds: 1 } };
  scenarioWith(`SDK ${version}: it stays while it answers pings, and resumes after the gateway was gone`, settings,
    async (cluster) => {
      const backend = Backend.open(cluster);
      const client = fallbackSdk(cluster.clientPort, version);
      const subscription = sdkSubscription(client, 'chat');
      subscription.subscribe();
      client.connect();
      assert.equal((await client.expect('connected')).transport, 'http_stream');
      await subscription.expect('subscribed');
      const posts = await cluster.metric('fallback_commands_total');
      await until(patience, 'five pongs', async () => (await cluster.metric('fallback_commands_total')) >= posts + 5);
      await backend.publish('chat', { n: 1 });
      assert.deepEqual((await subscription.expect('publication')).data, { n: 1 });

      cluster.gateway.expectedToDie = true;
      await cluster.gateway.stop('SIGKILL');
      await subscription.expect('subscribing');
      await backend.publish('chat', { n: 2 });
      await cluster.startGateway();
      const { wasRecovering, recovered } = await subscription.expect('subscribed');
      assert.deepEqual([wasRecovering, recovered], [true, true]);
      assert.deepEqual((await subscription.expect('publication')).data, { n: 2 });
      subscription.unsubscribe();
      await subscription.expect('unsubscribed', ({ code }) => code === 0);
      await until(patience, 'no subscription', async () => (await cluster.metric('subscriptions')) === 0);
    });
}

// --- several gateways ---

// Two gateways with a port of their own each: a test says which one gets a request.
function twoGateways(name, settings, body) {
  const cluster = new ManyGateways(settings, ['one']);
  scenario(name, cluster, { timeout: 4 * patience }, async () => {
    atEnd(() => cluster.stop());
    await cluster.start();
    const [one] = cluster.gateways;
    const two = new Gateway(cluster, 'two', await freePort());
    two.port = await freePort();
    await two.start({ MILLRACE_GATEWAY_LISTEN_PORT: `${two.port}` });
    await body(cluster, one, two);
  });
}

const metrics = (gateway, ...names) => Promise.all(names.map((name) => gateway.metric(name)));

twoGateways('requests that reach another gateway are passed on', {}, async (cluster, one, two) => {
  const backend = Backend.open(cluster);
  const client = await streamClient(cluster);
  client.socket.commandPort = two.port;
  await client.subscribe('chat');
  await Promise.all(Array.from({ length: 50 }, (_, n) => client.subscribe(`chat:${n}`)));
  await backend.publish('chat:7', { n: 7 });
  assert.deepEqual((await client.publication('chat:7')).data, { n: 7 });
  await until(patience, 'all to be answered', () => client.socket.sending.size === 0);
  assert.deepEqual(new Set(client.socket.statuses), new Set([204]));
  assert.deepEqual(await metrics(two, 'relays_total', 'relays_failed_total', 'relay_bytes', 'fallback_bytes'), [51, 0, 0, 0]);
  assert.equal(await one.metric('relays_received_total'), 51);
  assert.equal(await cluster.metric('relays_total', 'broker'), 51);

  // A secret that is none does nothing; commands that break a rule end the session, whose stream says so.
  const { session, node } = client.connected;
  const subscribe = JSON.stringify({ id: 99, subscribe: { channel: 'secret' } });
  assert.equal(await client.socket.post({ session: '0'.repeat(32), node, data: subscribe }), 204);
  assert.equal(await one.metric('subscriptions'), 51);
  client.send('no command');
  assert.deepEqual(await client.closing(), { code: 3501, reason: 'bad request' });
  assert.equal(await client.socket.post({ session, node, data: '{}' }), 204);
});

twoGateways('a gateway that is gone, and a broker that is, are said', { gateway: { reply_ms: 4900 } }, async (cluster, one, two) => {
  const client = await streamClient(cluster);
  client.socket.commandPort = two.port;
  await client.subscribe('chat');
  await cluster.endBroker('SIGKILL');
  await until(patience, 'the broker to be missed', async () => (await two.metric('broker_up')) === 0);
  assert.equal(await client.socket.post({ ...client.connected, data: '{}' }), 503, 'after its time');
  assert.ok(await two.metric('relays_failed_total') >= 1);
  // What comes while the broker is away for a moment waits for it. (The SDK drops a stream at a 503.)
  const waiting = client.command('subscribe', { channel: 'news' });
  await until(patience, 'the command to wait', async () => (await two.metric('relay_bytes')) > 0);
  await cluster.startBroker();
  await waiting;
  await until(patience, 'its request to be answered, too', () => client.socket.sending.size === 0);
  assert.deepEqual(client.socket.statuses.slice(-1), [204]);
  await Promise.all([one.ready(), two.ready()]);

  await one.end('SIGKILL');
  assert.deepEqual(await client.closing(), { code: 1006, reason: '' });
  await until(patience, 'the broker to have noticed', async () =>
    (await client.socket.post({ ...client.connected, data: '{}' })) === 404);
  assert.ok(await cluster.metric('relays_unknown_total', 'broker') >= 1);
});

twoGateways('a gateway that does not answer costs a request its time, no more', { gateway: { reply_ms: 500 } },
  async (cluster, one, two) => {
    const client = await streamClient(cluster);
    client.socket.commandPort = two.port;
    await client.subscribe('chat');
    one.child.signal('SIGSTOP');
    atEnd(() => one.child.signal('SIGCONT'));
    assert.equal(await client.socket.post({ ...client.connected, data: '{}' }), 503);
    assert.ok(await two.metric('relay_bytes') > 0, 'they may be on their way still');
    one.child.signal('SIGCONT');
    await until(patience, 'the answer that was late', async () => (await two.metric('relay_bytes')) === 0);
  });

const shared = new ManyGateways();
scenario('gateways killed under load: no stream loses or doubles anything, whichever gateway gets its commands', shared,
  { timeout: 4 * patience }, async () => {
    atEnd(() => shared.stop());
    await shared.start();
    const [one, two] = shared.gateways;
    const channels = ['a', 'b', 'c'];
    const publisher = new Publisher(shared, channels, 200);
    const followers = Array.from({ length: 16 }, (_, i) => {
      const version = i % 3 ? '5.8.0' : '5.7.1';
      return new SdkFollower(shared, channels, version, fallbackSdk(shared.clientPort, version));
    });
    await publisher.works();
    await caughtUp(followers, publisher);
    for (const gateway of [one, two]) {
      await gateway.end('SIGKILL');
      await caughtUp(followers, publisher);
      await gateway.start();
      await caughtUp(followers, publisher);
    }
    await verify(followers, publisher);
    assert.ok(await shared.metric('relays_total', 'broker') > 0, 'the kernel spreads connections over both');
    assert.ok(followers.some(({ connections }) => connections > 1));
  });

// --- ends ---

scenarioWith('the reason of an end is the last line', { gateway: { connect_seconds: 1 } }, async (cluster) => {
  for (const [, way] of ways) {
    const bad = await HttpStream.open(cluster.clientPort, '{"id":1,"subscribe":{"channel":"a"}}', way);
    assert.deepEqual(await within(patience, 'the end', bad.closed), { code: 3501, reason: 'bad request' });
    const client = await streamClient(cluster, way);
    client.send('{"send":{"data":1}}');
    assert.deepEqual(await client.closing(), { code: 3508, reason: 'not available' });
    const token = await HttpStream.open(cluster.clientPort, '{"id":1,"connect":{"token":"x"}}', way);
    const { code, reason } = await within(patience, 'the end', token.closed);
    assert.equal(code, 3500);
    assert.match(reason, /^invalid token/);
  }
  const backend = Backend.open(cluster);
  const visitor = await streamClient(cluster);
  const reply = await backend.request('disconnect', { subscriber: { id: '', type: 'VISITOR' }, reason: 'closing time' });
  assert.equal(reply.ok, true, JSON.stringify(reply));
  assert.deepEqual(await visitor.closing(), { code: 3503, reason: 'disconnected by the site: closing time' });
});

twoGateways('a gateway that stops goes on taking the commands that other gateways have got', { gateway: { drain_seconds: 600 } },
  async (cluster, one, two) => {
    const all = await Promise.all(Array.from({ length: 3 }, () => streamClient(cluster)));
    for (const client of all) client.socket.commandPort = two.port;
    one.child.signal('SIGTERM');
    await one.child.event('stopping');
    const [, second] = all; // the first is closed at once, the next one only later
    await second.subscribe('chat');
    one.child.expectedToDie = true;
    one.child.signal('SIGTERM');
    await Promise.all(all.map((client) => client.closed));
  });

scenarioWith('a gateway that stops tells its streams, and opens no other',
  { gateway: { drain_seconds: 3 } }, async (cluster) => {
    const all = await Promise.all(Array.from({ length: 6 }, (_, i) => streamClient(cluster, ways[i % 3][1])));
    const port = cluster.clientPort;
    const waiting = await tcp(port); // it has knocked
    cluster.gateway.signal('SIGTERM');
    await cluster.gateway.event('stopping');
    const answer = await answerTo(waiting, requestText(port, forms.http_stream, { body: '{"id":1,"connect":{}}' }));
    assert.equal(answer.status, 503);
    const ends = await Promise.all(all.map((client) => client.closing()));
    assert.deepEqual(new Set(ends.map(({ code, reason }) => `${code} ${reason}`)), new Set(['3001 shutdown']));
    assert.equal((await cluster.gateway.exited).code, 0);
  });

// --- slow readers ---

const payload = (n) => ({ n, t: 'x'.repeat(10000) });
const numbers = (count) => Array.from({ length: count }, (_, i) => i + 1);

for (const [name, way] of ways.slice(0, 2)) {
  scenarioWith(`${name}: a pause loses nothing, and no message is torn`, {}, async (cluster) => {
    const backend = Backend.open(cluster);
    for (let round = 0; round < 10; round++) {
      const client = await streamClient(cluster, way);
      const channel = `pause:${round}`;
      await client.subscribe(channel);
      client.socket.socket.pause();
      for (let n = 1; n <= 60; n++) await backend.publish(channel, payload(n));
      client.socket.socket.resume();
      const got = await client.publications(channel, 60);
      assert.deepEqual(got.map((at) => at.data), numbers(60).map(payload));
      client.cut();
    }
    assert.equal(await cluster.metric('closed_slow_total'), 0);
    assert.ok(await cluster.metric('writes_partial_total') > 0, 'no socket was ever full');
  });
}

for (const [name, resumes] of [['never reads again', false], ['reads again at once', true]]) {
  scenarioWith(`a stalled stream is ended within its bound, the others get everything; it ${name}`,
    { gateway: { queue_bytes: 262144, send_buffer_bytes: 16384 } }, async (cluster) => {
      const backend = Backend.open(cluster);
      const good = await streamClient(cluster);
      const stalled = await streamClient(cluster);
      await Promise.all([good.subscribe('slow'), stalled.subscribe('slow')]);
      stalled.socket.socket.pause();
      let count = 0;
      await until(patience, 'the stalled one to be ended', async () => {
        for (let i = 0; i < 20; i++) await backend.publish('slow', payload(++count));
        await until(patience, 'the good one to have them', () => good.pushes.length >= count);
        return (await cluster.metric('closed_slow_total')) === 1;
      });
      assert.deepEqual(good.pushes.map((push) => push.pub.offset), numbers(count));
      if (resumes) stalled.socket.socket.resume();
      await until(patience, 'its connection to be gone', async () => (await cluster.metric('connections')) === 1);
      stalled.socket.socket.resume();
      // Its queue was dropped behind a message that had begun: no line is behind that any more.
      assert.deepEqual(await stalled.closing(), { code: 1006, reason: '' });
      const late = stalled.pushes.map((push) => push.pub.offset);
      assert.deepEqual(late, numbers(late.length));
      assert.ok(late.length < count);
      await until(patience, 'the queue to be given back', async () => (await cluster.metric('bytes_queued')) === 0);
    });
}

// --- bad requests ---

const settings = {
  broker: { presence_return_ms: 0 }, // from when on it knows which gateways there are
  gateway: { allowed_origins: 'https://good.example', fallback_bytes: 1048576, connections: 5 },
};

scenarioWith('requests that are none are refused with the rule, and a good client notices nothing', settings, async (cluster) => {
  const backend = Backend.open(cluster);
  const witness = await streamClient(cluster);
  await witness.subscribe('witness');
  const { session, node } = witness.connected;
  const port = cluster.clientPort;
  const connect = '{"id":1,"connect":{}}';
  const commands = (more) => ({ body: JSON.stringify({ session, node, data: '{}', ...more }) });
  const cases = [
    [forms.http_stream, { method: 'GET' }, 405, /POST/],
    [forms.sse, { method: 'GET' }, 400, /cf_connect/],
    [forms.http_stream, { method: 'PUT', body: connect }, 405, /POST/],
    [forms.http_stream, {}, 400, /connect command/],
    [forms.http_stream, { body: connect, headers: { Host: undefined } }, 400, /Host/],
    [forms.http_stream, { body: connect, headers: { Origin: 'https://evil.example' } }, 403, /Origin/],
    [forms.http_stream, { body: connect, headers: { 'Content-Length': undefined } }, 411, /Content-Length/],
    [forms.http_stream, { body: '5\r\n12345\r\n0\r\n\r\n', headers: { 'Transfer-Encoding': 'chunked' } }, 411, /Transfer-Encoding/],
    [forms.http_stream, { headers: { 'Content-Length': '262145' } }, 413, /262144/],
    ['/emulation', { headers: { 'Content-Length': '524289' } }, 413, /524288/],
    ['/emulation', { headers: { 'Content-Length': '-1' } }, 411, /Content-Length/],
    ['/emulation', {}, 400, /session/],
    ['/emulation', { method: 'GET' }, 405, /POST/],
    ['/emulation', { body: 'hello' }, 400, /line 1/],
    ['/emulation', { body: '[]' }, 400, /object/],
    ['/emulation', commands({ session: 5 }), 400, /session must be a string/],
    ['/emulation', commands({ node: '' }), 400, /node must be a string that is not empty/],
    ['/emulation', commands({ data: undefined }), 400, /data must be a string/],
    ['/emulation', commands({ data: 'x'.repeat(262145) }), 400, /262144/],
    ['/emulation', commands({ session: `${session}0` }), 404, /connect again/],
    ['/emulation', commands({ session: '../../etc/passwd' }), 404, /connect again/],
    ['/emulation', commands({ node: '0'.repeat(16) }), 404, /connect again/],
    ['/emulation', commands({ node: 'x'.repeat(16) }), 404, /connect again/],
    ['/emulation', { ...commands({}), headers: { Origin: 'https://evil.example' } }, 403, /Origin/],
    [`${forms.sse}?cf_connect=${encodeURIComponent(connect)}`, { method: 'GET', headers: { 'Sec-Fetch-Mode': 'no-cors' } }, 403, /Origin/],
    [`${forms.sse}?a=%0a&cf_connect=x`, { method: 'GET', headers: { Origin: 'https://evil.example' } }, 400, /control character/],
    ['/connection/websocket?%0d%0aX: y', { method: 'GET', headers: { Origin: 'https://evil.example' } }, 400, /control character/],
    ['/connection/http_streams', { body: connect }, 404, /connection\/websocket/],
  ];
  for (const [path, options, status, rule] of cases) {
    const answer = await ask(port, path, options);
    const what = `${options.method ?? 'POST'} ${path} ${JSON.stringify(options).slice(0, 100)}`;
    assert.equal(answer.status, status, what);
    assert.match(answer.text, rule, what);
  }

  // Five connections are allowed.
  const others = await Promise.all(Array.from({ length: 4 }, () => streamClient(cluster)));
  const full = await ask(port, forms.http_stream, { body: connect });
  assert.deepEqual([full.status, full.text], [503, 'too many connections\n']);
  others.forEach((client) => client.cut());

  // Bodies that nobody finishes: three are below the bound, the fourth is above it, and they end.
  const half = (length) => requestText(port, '/emulation', { headers: { 'Content-Length': '400000' } }) + 'x'.repeat(length);
  const slow = await Promise.all(Array.from({ length: 3 }, () => tcp(port)));
  const answers = slow.map((socket) => answerTo(socket, half(300000)));
  await until(patience, 'them to be read', async () => (await cluster.metric('fallback_bytes')) >= 900000);
  const more = await answerTo(await tcp(port), half(300000));
  assert.equal(more.status, 503);
  await witness.subscribe('while-large-bodies-wait'); // a small one always finds room
  assert.deepEqual((await Promise.all(answers)).map(({ status }) => status), [408, 408, 408]);
  await until(patience, 'the memory to be given back', async () => (await cluster.metric('fallback_bytes')) === 0);
  assert.equal(await cluster.metric('fallback_refused_bytes_total'), 1);
  assert.equal(await cluster.metric('fallback_refused_slow_total'), 3);

  // What follows a stream's request is not read.
  const talker = await streamClient(cluster);
  talker.socket.socket.write('GET / HTTP/1.1\r\n\r\n');
  await talker.subscribe('talk');

  const { offset } = await backend.publish('witness', {});
  assert.equal((await witness.publication('witness')).offset, offset);
  assert.deepEqual(witness.pushes, []);
});

scenarioWith('pages of other origins ask first, and may read what is theirs', settings, async (cluster) => {
  const Origin = 'https://good.example';
  const allowed = (answer) => answer.head.match(/access-control-allow-origin: (.*)/i)?.[1];
  for (const path of ['/emulation', ...Object.values(forms)]) {
    const preflight = await ask(cluster.clientPort, path, { method: 'OPTIONS', headers: { Origin } });
    assert.equal(preflight.status, 204);
    assert.equal(allowed(preflight), Origin);
    assert.match(preflight.head, /access-control-allow-methods: GET, POST, OPTIONS/i);
    assert.match(preflight.head, /access-control-allow-headers: Content-Type/i);
    const evil = await ask(cluster.clientPort, path, { method: 'OPTIONS', headers: { Origin: 'https://evil.example' } });
    assert.deepEqual([evil.status, allowed(evil)], [403, undefined]);
  }
  const client = await streamClient(cluster, { headers: { Origin } });
  assert.equal(allowed(client.socket), Origin);
  assert.match(client.socket.head, /x-accel-buffering: no/i);
  const { session, node } = client.connected;
  const body = JSON.stringify({ session, node, data: '{"id":2,"subscribe":{"channel":"a"}}' });
  assert.equal(allowed(await ask(cluster.clientPort, '/emulation', { body, headers: { Origin } })), Origin);
  assert.equal(allowed(await ask(cluster.clientPort, '/emulation', { body: 'x', headers: { Origin } })), Origin);
  assert.equal(allowed(await ask(cluster.clientPort, '/emulation', { body })), undefined);
});

scenarioWith('fallback = no: there is none', { gateway: { fallback: 'no' } }, async (cluster) => {
  for (const path of ['/emulation', ...Object.values(forms)]) {
    assert.equal((await ask(cluster.clientPort, path, { body: '{"id":1,"connect":{}}' })).status, 404);
  }
  await Client.open(cluster);
});
