// Publications are lost between broker and gateway, and nothing else shows it: what canary, digest,
// audit and the end of the link are for, each on its own.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { LossyLink } from './gateways.mjs';
import { atEnd, Cluster, delay, httpGet, patience, scenario, until } from './harness.mjs';
import { hang } from './hung.mjs';

// The first byte of a message says what it is.
const [publication, digest, canary] = [...'PDC'].map((letter) => letter.charCodeAt(0));
const losing = (...kinds) => (body) => kinds.includes(body[0]);

function overLossyLink(name, settings, body) {
  const cluster = new Cluster(settings);
  scenario(name, cluster, { timeout: 240000 }, async () => {
    atEnd(() => cluster.stop());
    const link = await LossyLink.open(cluster);
    await cluster.start();
    const client = await Client.open(cluster);
    await client.subscribe('news');
    const backend = Backend.open(cluster);
    await backend.publish('news', { n: 1 });
    assert.equal((await client.publication('news')).offset, 1);
    await body({ cluster, link, client, backend });
    assert.deepEqual(client.pushes, []);
  });
}

const metrics = (cluster, ...names) => Promise.all(names.map((name) => cluster.metric(name)));

overLossyLink('a lost last message shows in the digest', { gateway: { audit_seconds: 0 } },
  async ({ cluster, link, client, backend }) => {
    link.lose = losing(publication);
    await backend.publish('news', { n: 2 });
    assert.deepEqual(await client.publication('news'), { data: { n: 2 }, offset: 2 });
    assert.equal(link.lost, 1);
    assert.deepEqual(await metrics(cluster, 'repaired_total', 'audit_holes_total'), [1, 0]);
  });

overLossyLink('a lost digest shows in the canary behind it', { gateway: { audit_seconds: 0 } },
  async ({ cluster, link, client, backend }) => {
    link.lose = losing(publication, digest, canary);
    await backend.publish('news', { n: 2 });
    await until(patience, 'a canary to be lost', () => link.lost >= 3);
    link.lose = losing(publication, digest);
    assert.deepEqual(await client.publication('news'), { data: { n: 2 }, offset: 2 });
    // On a machine that keeps a canary for 3 s the silence was noticed before.
    await until(patience, 'the canary behind it', async () => (await cluster.metric('canaries_missed_total')) >= 1);
  });

overLossyLink('the audit finds what neither digest nor canary shows', { gateway: { audit_seconds: 2 } },
  async ({ cluster, link, client, backend }) => {
    link.lose = losing(publication, digest);
    await backend.publish('news', { n: 2 });
    assert.deepEqual(await client.publication('news'), { data: { n: 2 }, offset: 2 });
    const [holes, missed, silent] = await metrics(cluster, 'audit_holes_total', 'canaries_missed_total', 'canaries_silent_total');
    assert.equal(missed, 0);
    assert.ok(holes === 1 || silent > 0, 'the audit was it, or this machine has kept a canary for 3 s');
  });

overLossyLink('a link that breaks shows by itself, while the other one to the broker works', { gateway: { audit_seconds: 0 } },
  async ({ cluster, link, client, backend }) => {
    const began = performance.now();
    link.lose = losing(publication, digest, canary);
    await backend.publish('news', { n: 2 });
    await until(patience, 'the message to be lost', () => link.lost >= 1);
    link.cut();
    assert.deepEqual(await client.publication('news'), { data: { n: 2 }, offset: 2 });
    const took = performance.now() - began;
    const [broken, missed, silent, down] = await metrics(
      cluster, 'publications_link_lost_total', 'canaries_missed_total', 'canaries_silent_total', 'broker_down_total');
    assert.deepEqual([broken, missed, down], [1, 0, 0]);
    assert.ok(silent === 0 || took > 1500, 'nobody had waited for a canary yet');

    link.lose = () => false;
    await backend.publish('news', { n: 3 });
    assert.deepEqual(await client.publication('news'), { data: { n: 3 }, offset: 3 });
    assert.equal(await cluster.metric('lost_told_total'), 0);
  });

overLossyLink('silence: all is asked for again, then /readyz is red; the connection stays', { gateway: { audit_seconds: 0 } },
  async ({ cluster, link, client, backend }) => {
    link.lose = losing(publication, digest, canary);
    await backend.publish('news', { n: 2 });
    assert.deepEqual(await client.publication('news'), { data: { n: 2 }, offset: 2 }, 'after 3 s');
    assert.ok((await cluster.metric('canaries_silent_total')) >= 1);

    const readyz = async () => {
      const { status, text } = await httpGet(`${cluster.gatewayAdmin}/readyz`);
      return { status, ...JSON.parse(text) };
    };
    const red = await until(patience, 'red', async () => {
      const now = await readyz();
      assert.equal(now.status === 200, now.canary_age_ms < 6000, JSON.stringify(now));
      return now.status === 503 && now;
    });
    assert.deepEqual(red.reasons, ['no canary of the broker was heard for 6 s']);
    assert.equal(red.broker, 'connected');
    assert.equal((await httpGet(`${cluster.gatewayAdmin}/healthz`)).status, 200);

    link.lose = () => false;
    await until(patience, 'green', async () => (await readyz()).status === 200);
    await backend.publish('news', { n: 3 });
    assert.deepEqual(await client.publication('news'), { data: { n: 3 }, offset: 3 });
    assert.equal(await cluster.metric('lost_told_total'), 0);
  });

overLossyLink('more is missing than a queue holds: it comes in pieces, and nobody who reads is cut off',
  { gateway: { audit_seconds: 0, queue_bytes: 65536 } },
  async ({ cluster, link, client, backend }) => {
    const texts = Array.from({ length: 10 }, (_, i) => ({ i, t: 'x'.repeat(9000) }));
    await client.subscribe('more');
    link.lose = losing(publication, digest); // no digest before all are published
    for (const channel of ['news', 'more']) await backend.publishMany(channel, texts);
    link.lose = losing(publication);
    for (const [channel, first] of [['news', 2], ['more', 1]]) {
      const got = await client.publications(channel, texts.length);
      assert.deepEqual(got, texts.map((data, i) => ({ data, offset: first + i })));
    }
    assert.deepEqual(await metrics(cluster, 'repaired_total', 'closed_slow_total', 'lost_told_total'), [20, 0, 0]);
  });

// A gateway that hears nothing for too long: its clients would not hear anything either, and not know it.
const lost = () => ({ gateway: { broker_lost_seconds: 1, drain_seconds: 1 } });

scenario('a gateway that has lost its broker sends its clients to another one, and takes them again later', null, { timeout: 240000 }, async () => {
  const cluster = new Cluster(lost());
  atEnd(() => cluster.stop());
  const link = await LossyLink.open(cluster);
  await cluster.start();
  const clients = await Promise.all(Array.from({ length: 10 }, () => Client.open(cluster)));
  const began = performance.now();
  link.lose = () => true;
  const ends = await Promise.all(clients.map((client) => client.closed.then((end) => ({ ...end, ms: performance.now() - began }))));
  assert.deepEqual(new Set(ends.map(({ code, reason }) => `${code} ${reason}`)), new Set(['3011 force reconnect: this gateway has lost its broker']));
  const [first, last] = [Math.min(...ends.map(({ ms }) => ms)), Math.max(...ends.map(({ ms }) => ms))];
  assert.ok(first >= 5000, `${first} ms: 6 s without a canary, and one more`);
  assert.ok(last - first >= 700, `${last - first} ms: one after the other`);
  const { connections } = await cluster.gateway.event('broker_missed');
  assert.equal(connections, 10);
  await assert.rejects(Client.open(cluster), /503/);
  assert.ok(await cluster.metric('refused_broker_total') >= 1);
  assert.equal((await httpGet(`${cluster.gatewayAdmin}/readyz`)).status, 503);

  link.lose = () => false;
  await cluster.gateway.event('broker_back');
  const client = await Client.open(cluster);
  await client.subscribe('news');
  const { offset } = await Backend.open(cluster).publish('news', { n: 1 });
  assert.equal((await client.publication('news')).offset, offset);
});

scenario('a broker that hangs is noticed within 6 seconds, and missed when it does not come back', null, { timeout: 240000 }, async () => {
  const cluster = new Cluster(lost());
  atEnd(() => cluster.stop());
  await cluster.start();
  const client = await Client.open(cluster);
  await client.subscribe('news');
  cluster.broker.signal('SIGSTOP');
  atEnd(() => cluster.broker.signal('SIGCONT'));
  const stopped = performance.now();
  await until(patience, 'the gateway to be unready', async () => (await httpGet(`${cluster.gatewayAdmin}/readyz`)).status === 503);
  await cluster.gateway.event('broker_silent');
  assert.ok(performance.now() - stopped < 9000, 'six seconds after the last canary, which is at most a second old');
  assert.equal((await client.closing()).code, 3011);
  cluster.broker.signal('SIGCONT');
  await cluster.gateway.event('broker_back');
  await (await Client.open(cluster)).subscribe('news');
});

scenario('a broker whose main thread alone hangs is noticed as well, and nobody leaves', null, { timeout: 240000 }, async (context) => {
  const cluster = new Cluster();
  atEnd(() => cluster.stop());
  await cluster.start();
  const client = await Client.open(cluster);
  await client.subscribe('news');
  const stopped = performance.now();
  const release = await hang(cluster.broker, 'main');
  if (!release) return context.skip('no process may stop a thread of another here');
  await cluster.gateway.event('broker_silent');
  assert.ok(performance.now() - stopped < 6000);
  await until(patience, 'the gateway to be unready', async () => (await httpGet(`${cluster.gatewayAdmin}/readyz`)).status === 503);
  assert.equal(await cluster.metric('broker_up'), 1, 'its connection works');
  await release();
  await cluster.gateway.event('broker_heard');
  await until(patience, 'the gateway to be ready', async () => (await httpGet(`${cluster.gatewayAdmin}/readyz`)).status === 200);
  const { offset } = await Backend.open(cluster).publish('news', { n: 1 });
  assert.equal((await client.publication('news')).offset, offset);
  assert.ok(!cluster.broker.events.some(({ event }) => event === 'gateway_silent'), 'who hung blames nobody');
});

scenario('a broker that is away for a moment costs nobody a connection', null, { timeout: 240000 }, async () => {
  const cluster = new Cluster({ gateway: { broker_lost_seconds: 0 } });
  atEnd(() => cluster.stop());
  await cluster.start();
  const client = await Client.open(cluster);
  await client.subscribe('news');
  await cluster.broker.stop();
  await until(patience, 'the gateway to be unready', async () => (await httpGet(`${cluster.gatewayAdmin}/readyz`)).status === 503);
  await delay(3000);
  await cluster.startBroker();
  await until(patience, 'the gateway to be ready', async () => (await httpGet(`${cluster.gatewayAdmin}/readyz`)).status === 200);
  const { offset } = await Backend.open(cluster).publish('news', { n: 1 });
  assert.equal((await client.publication('news')).offset, offset);
  assert.deepEqual(client.pushes, []);
});
