// Ten thousand subscribers of one gateway: all get everything, a subscription costs little memory,
// and everything is given back when they leave.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildDir, Child, patience, run, scenarioWith, skipLarge, until } from './harness.mjs';

const connections = 10000;
const messages = 20;
const bytesPerConnection = 3072;

async function residentBytes(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) * 1024;
}

scenarioWith('10,000 subscribers', {}, { skip: skipLarge && 'needs 10,000 connections', timeout: 240000 }, async (cluster) => {
  const before = await residentBytes(cluster.gateway.pid);
  const args = ['--port', cluster.clientPort, '--connections', connections, '--messages', messages];
  const subscribers = new Child('subscribers', join(buildDir, 'bench/subscribers'), args);
  await until(patience, 'all to be subscribed', async () => (await cluster.metric('subscriptions')) === connections);

  const each = ((await residentBytes(cluster.gateway.pid)) - before) / connections;
  assert.ok(each <= bytesPerConnection, `${Math.round(each)} bytes for each subscribed connection`);

  await run(join(buildDir, 'bench/publisher'), ['--endpoint', cluster.endpoint, '--rate', 50, '--count', messages]);
  const { code } = await subscribers.exited;
  const result = JSON.parse(subscribers.stdout.at(-1));
  assert.equal(code, 0, subscribers.tail());
  assert.equal(result.delivered, connections * messages);
  for (const fault of ['lost', 'duplicated', 'reordered', 'closed']) assert.equal(result[fault], 0, fault);

  await until(patience, 'all to have left', async () => (await cluster.metric('connections')) === 0);
  assert.equal(await cluster.metric('bytes_queued'), 0);
});
