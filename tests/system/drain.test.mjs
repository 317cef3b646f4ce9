// A gateway that is told to stop closes its clients evenly, answers who has knocked already, and
// another gateway on the same port has them all a moment later.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Backend } from './backend.mjs';
import { Client, sdkVersions } from './client.mjs';
import { Gateway, ManyGateways } from './gateways.mjs';
import { atEnd, freePort, once, patience, root, scenario, scenarioWith, until, within } from './harness.mjs';
import { hang } from './hung.mjs';
import { answerTo, handshake, tcp } from './websocket.mjs';
import { caughtUp, Publisher, RawFollower, SdkFollower, verify } from './witness.mjs';

const slow = { timeout: 240000 };

function node(name, settings, body) {
  const cluster = new ManyGateways(settings);
  scenario(name, cluster, slow, async () => {
    atEnd(() => cluster.stop());
    await cluster.start();
    await body(cluster);
  });
}

async function readiness({ admin }) {
  const page = await fetch(`${admin}/readyz`);
  return { status: page.status, ...(await page.json()) };
}

async function clients(cluster, count) {
  return Promise.all(Array.from({ length: count }, () => Client.open(cluster)));
}

scenarioWith('clients are closed one by one over the time that is set', { gateway: { drain_seconds: 2 } }, slow,
  async (cluster) => {
    const count = 20;
    const all = await clients(cluster, count);
    let closed = 0;
    const ends = all.map(async (client) => {
      const end = await client.closed;
      closed++;
      return { end, closed, ms: performance.now() - began };
    });
    const began = performance.now();
    cluster.gateway.signal('SIGTERM');
    const { connections, drain_seconds: seconds } = await cluster.gateway.event('stopping');
    assert.deepEqual([connections, seconds], [count, 2]);
    // Its clock started behind ours: it may be slower than we think, and is never faster.
    for (const { end, closed: place, ms } of await Promise.all(ends)) {
      assert.deepEqual(end, { code: 3001, reason: 'shutdown' });
      assert.ok(place <= Math.floor((count * ms) / 2000) + 1, `number ${place} after ${ms} ms`);
    }
    const { left, ms } = await cluster.gateway.event('drained');
    assert.equal(left, 0);
    assert.ok(ms >= 1900 && ms < 20000, `${ms} ms`); // the last of 20 in 2 s
    assert.equal((await cluster.gateway.exited).code, 0);
  });

scenarioWith('without clients the end comes at once', { gateway: { drain_seconds: 600 } }, async (cluster) => {
  cluster.gateway.signal('SIGINT');
  assert.deepEqual(await within(patience, 'the end', cluster.gateway.exited), { code: 0, signal: null });
  assert.equal((await cluster.gateway.event('drained')).connections, 0);
});

scenarioWith('drain_seconds = 0: all clients at once', { gateway: { drain_seconds: 0 } }, async (cluster) => {
  const all = await clients(cluster, 20);
  cluster.gateway.signal('SIGTERM');
  for (const client of all) assert.equal((await client.closing()).code, 3001);
  assert.equal((await within(patience, 'the end', cluster.gateway.exited)).code, 0);
});

scenarioWith('while it drains: not ready, healthy, nobody gets in, and clients are served', { gateway: { drain_seconds: 600 } },
  async (cluster) => {
    const first = await Client.open(cluster);
    const second = await Client.open(cluster);
    await second.subscribe('served');
    cluster.gateway.signal('SIGTERM');
    assert.equal((await first.closing()).code, 3001);
    const ready = await fetch(`${cluster.gatewayAdmin}/readyz`);
    assert.equal(ready.status, 503);
    assert.deepEqual((await ready.json()).reasons, ['draining']);
    assert.equal((await fetch(`${cluster.gatewayAdmin}/healthz`)).status, 200);
    await assert.rejects(Client.open(cluster), /ECONNREFUSED/);
    await Backend.open(cluster).publish('served', { n: 1 });
    assert.deepEqual((await second.publication('served')).data, { n: 1 });
    // The second signal ends it at once.
    cluster.gateway.expectedToDie = true;
    cluster.gateway.signal('SIGTERM');
    assert.equal((await within(patience, 'the end', cluster.gateway.exited)).code, 128 + 15);
    assert.equal((await cluster.gateway.event('stopping_at_once')).left, 1);
    assert.equal((await second.closing()).code, 1006);
  });

scenarioWith('who has knocked before the signal gets an answer', { gateway: { drain_seconds: 1 } }, async (cluster) => {
  cluster.gateway.signal('SIGSTOP');
  const sockets = await Promise.all(Array.from({ length: 100 }, () => tcp(cluster.clientPort)));
  const answers = sockets.map((socket) => answerTo(socket, handshake(cluster.clientPort)));
  cluster.gateway.signal('SIGTERM');
  cluster.gateway.signal('SIGCONT');
  const statuses = (await Promise.all(answers)).map((answer) => answer.status);
  // Welcome and closed in its turn, or told that the gateway ends; never cut without a word.
  assert.deepEqual(statuses.filter((status) => status !== 101 && status !== 503), []);
  assert.equal((await within(patience, 'the end', cluster.gateway.exited)).code, 0);
});

node('clients of a drained gateway come back recovered on the other, whose own notice nothing',
  { gateway: { drain_seconds: 2 } }, async (cluster) => {
    const publisher = new Publisher(cluster, ['a', 'b'], 50); // 300 messages are 12 s
    await publisher.works();
    const followers = [
      ...Array.from({ length: 12 }, (_, i) => new RawFollower(cluster, ['a', 'b'], `raw ${i}`)),
      ...Object.keys(sdkVersions).flatMap((version) =>
        Array.from({ length: 4 }, () => new SdkFollower(cluster, ['a', 'b'], version))),
    ];
    const ofBoth = () => Promise.all(cluster.gateways.map((gateway) => gateway.metric('connections')));
    await until(patience, 'connections', async () => (await ofBoth()).reduce((a, b) => a + b) === followers.length);
    await caughtUp(followers, publisher);
    assert.deepEqual(followers.map((one) => one.connections), followers.map(() => 1));
    for (const [from, to] of [[0, 1], [1, 0]]) {
      const [moving, staying] = [from, to].map((at) => cluster.gateways[at]);
      const closedBefore = await staying.metric('closed_by_server_total');
      const moved = await moving.metric('connections');
      const connected = followers.reduce((sum, one) => sum + one.connections, 0);
      assert.equal((await moving.end('SIGTERM')).code, 0);
      const { connections, left } = await moving.child.event('drained');
      assert.deepEqual([connections, left], [moved, 0]);
      await until(patience, 'all to be back', async () => (await staying.metric('connections')) === followers.length);
      await publisher.works();
      await caughtUp(followers, publisher);
      assert.equal(await staying.metric('closed_by_server_total'), closedBefore);
      assert.equal(followers.reduce((sum, one) => sum + one.connections, 0), connected + moved, 'once each');
      await moving.start();
    }
    for (const { witnesses } of followers) for (const witness of witnesses) assert.equal(witness.lost, 0);
    await verify(followers, publisher);
  });

// --- one port ---

node('both gateways of a port get clients', {}, async (cluster) => {
  await clients(cluster, 64);
  const counts = await Promise.all(cluster.gateways.map((gateway) => gateway.metric('connections')));
  assert.equal(counts[0] + counts[1], 64);
  assert.ok(counts[0] > 0 && counts[1] > 0, `${counts}`);
});

const taken = (child) => child.event('start_failed', (event) => event.setting === '[gateway] listen_address, listen_port');

scenarioWith('a port that another gateway has for itself', {}, async (cluster) => {
  for (const share of ['no', 'yes']) {
    const second = new Gateway(cluster, 'second', await freePort());
    const child = second.spawn({ MILLRACE_GATEWAY_REUSE_PORT: share });
    child.expectedToDie = true;
    const { value, reason } = await taken(child);
    assert.equal(value, `127.0.0.1:${cluster.clientPort}`);
    assert.match(reason, /in use.*reuse_port = yes/);
    assert.equal((await child.exited).code, 1);
  }
});

scenarioWith('a port that gateways share and a newcomer does not', { gateway: { reuse_port: 'yes' } }, async (cluster) => {
  const second = new Gateway(cluster, 'second', await freePort());
  const child = second.spawn({ MILLRACE_GATEWAY_REUSE_PORT: 'no' });
  child.expectedToDie = true;
  assert.match((await taken(child)).reason, /in use; gateways share a port when each of them has reuse_port = yes/);
});

scenarioWith('a port that some other program has', {}, async (cluster) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(() => server.close());
  const second = new Gateway(cluster, 'second', await freePort());
  const child = second.spawn({ MILLRACE_GATEWAY_LISTEN_PORT: `${server.address().port}`, MILLRACE_GATEWAY_REUSE_PORT: 'yes' });
  child.expectedToDie = true;
  assert.match((await taken(child)).reason, /what listens there does not share the port/);
});

// --- one name ---

async function gets(client, channel, { offset }) {
  assert.equal((await client.publication(channel)).offset, offset);
}

scenarioWith('two gateways of one name: the newer has it, clients of the older notice nothing, and operators see it',
  { gateway: { name: 'twin' } }, slow, async (cluster) => {
    const older = cluster.gateway;
    const olderReady = () => readiness({ admin: cluster.gatewayAdmin });
    const client = await Client.open(cluster);
    await client.subscribe('news');
    const newer = new Gateway(cluster, 'twin', await freePort());
    const port = await freePort();
    await newer.start({ MILLRACE_GATEWAY_LISTEN_PORT: `${port}` });
    const reason = "a newer gateway has this one's name: each needs a [gateway] name of its own";
    assert.equal((await older.event('replaced')).gateway, 'twin');
    assert.equal((await cluster.broker.event('gateway_replaced')).gateway, 'twin');
    const seen = async () => {
      const { status, reasons, broker } = await olderReady();
      assert.deepEqual([status, reasons, broker], [503, [reason], 'connected']);
      assert.equal((await newer.readiness()).status, 200);
      assert.equal((await readiness({ admin: cluster.brokerAdmin })).gateways_replaced, 1);
      for (const [metric, value] of [['gateways', 2], ['gateways_replaced', 1]]) assert.equal(await cluster.metric(metric, 'broker'), value);
    };
    await seen();
    assert.equal((await fetch(`${cluster.gatewayAdmin}/healthz`)).status, 200);
    const other = await Client.open({ ...cluster, clientPort: port });
    await other.subscribe('news');
    const backend = Backend.open(cluster);
    for (let n = 1; n <= 2; n++) {
      const published = await backend.publish('news', { n });
      await gets(client, 'news', published);
      await gets(other, 'news', published);
    }
    assert.equal(older.events.filter(({ event }) => event === 'replaced').length, 1, 'told once');

    // Whoever says hello first, the newer one has the name.
    await cluster.broker.stop('SIGTERM');
    await cluster.startBroker();
    await until(patience, 'both to be back', async () => (await cluster.metric('gateways_replaced', 'broker')) === 1);
    await until(patience, 'the newer one to be ready', async () => (await newer.readiness()).status === 200);
    await until(patience, 'the older one to be told', async () => (await olderReady()).reasons[0] === reason);
    await seen();
    const published = await backend.publish('news', { n: 3 });
    await gets(client, 'news', published);
    await gets(other, 'news', published);

    await newer.end('SIGTERM');
    await older.event('reinstated');
    await cluster.broker.event('gateway_reinstated');
    await until(patience, 'it to be ready', async () => (await olderReady()).status === 200);
    await gets(client, 'news', await backend.publish('news', { n: 4 }));

    // Killed and started again under its name: nobody stands in its way.
    older.expectedToDie = true;
    await older.stop('SIGKILL');
    const alarms = () => cluster.broker.events.filter(({ event }) => event === 'gateway_replaced').length;
    const before = alarms();
    for (let round = 0; round < 5; round++) {
      await newer.start({ MILLRACE_GATEWAY_LISTEN_PORT: `${port}` });
      await until(patience, 'the old one to be gone', async () => (await cluster.metric('gateways', 'broker')) === 1);
      assert.equal((await newer.readiness()).status, 200);
      await newer.end('SIGKILL');
    }
    // At most a hello that overtook the end of the connection of the one that died.
    assert.ok(alarms() - before <= 1, `${alarms() - before} alarms`);
  });

scenarioWith('a gateway that hangs is noticed within 6 seconds, and goes on when it wakes, beside a newer one of its name',
  { gateway: { name: 'twin' } }, slow, async (cluster) => {
    const old = cluster.gateway;
    const patient = await Client.open(cluster);
    await patient.subscribe('news');
    const began = performance.now();
    const release = await hang(old, 'main'); // its connections live on
    if (!release) old.signal('SIGSTOP');
    atEnd(() => old.signal('SIGCONT'));
    assert.equal((await cluster.broker.event('gateway_silent')).gateway, 'twin');
    assert.ok(performance.now() - began < 6000);
    assert.equal((await readiness({ admin: cluster.brokerAdmin })).gateways_silent, 1);

    const second = new Gateway(cluster, 'twin', await freePort());
    const port = await freePort(); // on a port that they share, the kernel gives the one that hangs its part
    await second.start({ MILLRACE_GATEWAY_LISTEN_PORT: `${port}` });
    const client = await Client.open({ ...cluster, clientPort: port });
    await client.subscribe('news');
    const published = await Backend.open(cluster).publish('news', { n: 1 });
    await gets(client, 'news', published);

    if (release) await release();
    old.signal('SIGCONT');
    await old.event('replaced');
    await until(patience, 'it to say so', async () => (await readiness({ admin: cluster.gatewayAdmin })).status === 503);
    assert.equal((await second.readiness()).status, 200);
    await gets(patient, 'news', published);
    assert.ok(!second.child.events.some(({ event }) => event === 'broker_lost'), 'it is not disturbed');
  });

scenarioWith('the settings of docs/restarts.md', {}, async (cluster) => {
  const page = await readFile(join(root, 'docs/restarts.md'), 'utf8');
  const blocks = [...page.matchAll(/^```ini\n# (\w+)\.ini\n([^]*?)^```$/gm)];
  assert.deepEqual(blocks.map((block) => block[1]), ['one', 'two']);
  const port = await freePort();
  for (const [, name, text] of blocks) {
    const own = { ...cluster, file: join(cluster.directory, `${name}.ini`), ready: cluster.ready };
    await writeFile(own.file, text.replace('listen_port = 8000', `listen_port = ${port}`));
    const gateway = new Gateway(own, name, await freePort());
    await gateway.start({
      MILLRACE_GATEWAY_CONTROL: cluster.sections.broker.control,
      MILLRACE_GATEWAY_PUBLICATIONS: cluster.sections.broker.publications,
    });
    assert.equal((await gateway.child.event('started')).port, port);
    await cluster.broker.event('gateway_joined', (event) => event.gateway === name);
  }
});
