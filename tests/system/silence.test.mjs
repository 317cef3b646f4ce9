// Publications are lost between broker and gateway, and nothing else shows it: what canary, digest,
// audit and the end of the link are for, each on its own.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { LossyLink } from './gateways.mjs';
import { atEnd, Cluster, httpGet, patience, scenario, until } from './harness.mjs';

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
