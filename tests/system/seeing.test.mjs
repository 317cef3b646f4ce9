// Seeing inside: /metrics, /healthz and /readyz of both processes, and the log.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { httpGet, patience, root, scenarioWith, sharedCluster, until } from './harness.mjs';

const { cluster, scenario } = sharedCluster();

const admins = () => ({ broker: cluster.brokerAdmin, gateway: cluster.gatewayAdmin });

scenario('/metrics is Prometheus text with help and type for each metric', async () => {
  for (const [process, admin] of Object.entries(admins())) {
    const { status, text, headers } = await httpGet(`${admin}/metrics`);
    assert.equal(status, 200);
    assert.match(headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
    const lines = text.trimEnd().split('\n');
    assert.equal(lines.length % 3, 0);
    const names = new Set();
    for (let i = 0; i < lines.length; i += 3) {
      const name = lines[i].match(/^# HELP (\S+) \S/)?.[1];
      assert.ok(name, lines[i]);
      assert.ok(name.startsWith(`millrace_${process}_`), name);
      assert.match(lines[i + 1], new RegExp(`^# TYPE ${name} (counter|gauge)$`));
      assert.match(lines[i + 2], new RegExp(`^${name} \\d+$`));
      assert.equal(name.endsWith('_total'), lines[i + 1].endsWith('counter'), name);
      assert.ok(!names.has(name), `${name} twice`);
      names.add(name);
    }
  }
});

scenario('docs/metrics.md lists exactly the metrics that there are', async () => {
  const page = await readFile(join(root, 'docs/metrics.md'), 'utf8');
  const listed = [...page.matchAll(/^\| `(millrace_\w+)` \| (\w+) \| (.*) \|$/gm)].map((at) => at.slice(1, 4));
  const served = [];
  for (const admin of Object.values(admins())) {
    const { text } = await httpGet(`${admin}/metrics`);
    for (const [, name, help, type] of text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\w+)$/gm)) {
      served.push([name, type, help]);
    }
  }
  const sorted = (list) => list.map((row) => row.join(' | ')).sort();
  assert.deepEqual(sorted(listed), sorted(served));
});

scenario('metrics count what happens', async () => {
  const before = await cluster.metric('deliveries_total');
  const clients = await Promise.all(Array.from({ length: 5 }, () => Client.open(cluster)));
  for (const client of clients) await client.subscribe('counted');
  const backend = Backend.open(cluster);
  for (let n = 1; n <= 4; n++) await backend.publish('counted', { n });
  for (const client of clients) await client.publications('counted', 4);
  assert.equal(await cluster.metric('deliveries_total'), before + 20);
  assert.equal(await cluster.metric('connections'), 5);
  assert.equal(await cluster.metric('subscriptions'), 5);
  assert.equal(await cluster.metric('addresses'), 1);
  assert.equal(await cluster.metric('broker_up'), 1);
  assert.equal(await cluster.metric('acknowledged_total', 'broker'), 4);
  assert.equal(await cluster.metric('gateways', 'broker'), 1);
  clients.forEach((client) => client.cut());
  await until(patience, 'no connections', async () => (await cluster.metric('connections')) === 0);
  assert.equal(await cluster.metric('subscriptions'), 0);
  assert.equal(await cluster.metric('bytes_queued'), 0);
});

scenario('/healthz and /readyz answer, other pages and methods do not', async () => {
  for (const admin of Object.values(admins())) {
    assert.equal((await httpGet(`${admin}/healthz`)).status, 200);
    const ready = await httpGet(`${admin}/readyz`);
    assert.equal(ready.status, 200);
    assert.equal(typeof JSON.parse(ready.text), 'object');
    assert.equal((await httpGet(`${admin}/`)).status, 404);
    assert.equal((await httpGet(`${admin}/metrics/x`)).status, 404);
    assert.equal((await httpGet(`${admin}/metrics`, { method: 'POST', body: 'x' })).status, 405);
    assert.equal((await httpGet(`${admin}/metrics`, { method: 'HEAD' })).status, 200);
  }
  for (const page of ['metrics', 'healthz', 'readyz']) {
    const client = await httpGet(`http://127.0.0.1:${cluster.clientPort}/${page}`);
    assert.equal(client.status, 404, 'the clients\' port has no admin pages');
  }
});

scenarioWith('/readyz of the gateway goes red without the broker, /healthz stays green', {}, { timeout: 240000 },
  async (own) => {
    own.broker.expectedToDie = true;
    await own.broker.stop('SIGKILL');
    await until(patience, 'red', async () => (await httpGet(`${own.gatewayAdmin}/readyz`)).status === 503);
    assert.equal((await httpGet(`${own.gatewayAdmin}/healthz`)).status, 200);
    const red = JSON.parse((await httpGet(`${own.gatewayAdmin}/readyz`)).text);
    assert.ok(Object.keys(red).length > 0, 'with a reason');
    await own.startBroker();
    await until(patience, 'green', async () => (await httpGet(`${own.gatewayAdmin}/readyz`)).status === 200);
  });

scenarioWith('the log: one JSON object a line, of the level that is set', { log: { level: 'debug' } }, async (own) => {
  const client = await Client.open(own);
  await client.subscribe('log:\u001b[31m"\n{"event":"forged"}\u2028');
  client.send('nonsense');
  await client.closing();
  await own.gateway.stop();
  await own.broker.stop();
  for (const [name, child] of Object.entries({ broker: own.broker, gateway: own.gateway })) {
    assert.ok(child.stderr.length >= 2, `${name} logs its start and its end`);
    for (const line of child.stderr) {
      const event = JSON.parse(line);
      assert.equal(event.process, name);
      assert.match(event.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.match(event.level, /^(debug|info|warn|error)$/);
      assert.match(event.event, /^[a-z_]+$/);
      assert.notEqual(event.event, 'forged');
      assert.doesNotMatch(line, /[\u0000-\u001f\u007f\u2028\u2029]/);
    }
    assert.ok(child.events.some((event) => event.event === 'started'));
    assert.ok(child.events.some((event) => event.event === 'stopping'));
  }
});

scenarioWith('an idle node stays quiet', { log: { level: 'error' } }, async (own) => {
  const client = await Client.open(own);
  await client.subscribe('quiet');
  const before = await own.metric('canary_number', 'broker');
  await until(patience, 'three canaries', async () => (await own.metric('canary_number', 'broker')) >= before + 3);
  await until(patience, 'a fresh canary', async () => (await own.metric('canary_age_ms')) < 3000);
  assert.deepEqual([own.broker.stderr, own.gateway.stderr], [[], []]);
  for (const name of ['gaps_total', 'canaries_missed_total', 'lost_told_total', 'broker_down_total']) {
    assert.equal(await own.metric(name), 0, name);
  }
  assert.deepEqual(client.pushes, []);
});
