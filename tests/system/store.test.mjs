// The broker's file: where it is, who may have it, what happens when it cannot be had.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copyStore } from '../faults/damage.mjs';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { atEnd, Child, freePort, httpGet, patience, programs, scenarioWith, until } from './harness.mjs';

// A broker with the settings of the cluster, on ports of its own, that must end by itself with this reason.
async function refused(cluster, env, reason) {
  const tcp = async () => `tcp://127.0.0.1:${await freePort()}`;
  const child = new Child('second broker', programs.broker, ['--config', cluster.file], {
    cwd: cluster.directory,
    env: {
      MILLRACE_BROKER_CONTROL: await tcp(),
      MILLRACE_BROKER_PUBLICATIONS: await tcp(),
      MILLRACE_BROKER_BACKENDS: await tcp(),
      MILLRACE_BROKER_ADMIN_PORT: '0',
      ...env,
    },
  });
  cluster.children.push(child);
  child.expectedToDie = true;
  const failure = await child.event('start_failed');
  assert.deepEqual(await child.exited, { code: 1, signal: null });
  assert.equal(failure.setting, 'store.path');
  assert.match(failure.reason, reason);
  return failure.value;
}

scenarioWith('the store is beside the settings, for the broker alone, and outlives kill -9', {}, async (cluster) => {
  const file = join(cluster.directory, 'millrace.db');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await cluster.broker.event('started')).store, file);
  assert.equal(await refused(cluster, {}, /another process has it open/), file);

  cluster.broker.expectedToDie = true;
  await cluster.broker.stop('SIGKILL');
  await cluster.startBroker();
  await Backend.open(cluster).publish('chat', { text: 'again' });
  assert.deepEqual(await cluster.broker.stop(), { code: 0, signal: null });
  assert.ok(!existsSync(`${file}-wal`), 'it was closed');
});

scenarioWith('a store that cannot be had: the broker refuses to start and says why', {}, async (cluster) => {
  const at = (name) => join(cluster.directory, name);
  await writeFile(at('text'), 'no database at all, but a text\n');
  await mkdir(at('folder'));
  const cases = [
    ['none/a.db', /its folder does not exist/],
    ['text', /it is no database/],
    ['text/a.db', /Not a directory/],
    ['folder', /it cannot be opened/],
  ];
  for (const [path, reason] of cases) {
    assert.equal(await refused(cluster, { MILLRACE_STORE_PATH: path }, reason), at(path));
  }
});

scenarioWith('engine = memory: nothing is kept on the disk', { store: { engine: 'memory' } }, async (cluster) => {
  await Backend.open(cluster).publish('chat', { text: 'hello' });
  assert.deepEqual(await readdir(cluster.directory), ['millrace.ini']);
});

// --- an older copy ---

// What its subscriber has as 4 and 5 is something else now, and 6 must not follow it.
scenarioWith('an older copy that was published to before its gateway came back: subscribers are told', {}, async (cluster) => {
  const kill = async () => {
    cluster.broker.expectedToDie = true;
    await cluster.broker.stop('SIGKILL');
  };
  const publish = async (...numbers) => {
    const backend = Backend.open(cluster);
    for (const n of numbers) await backend.publish('chat', { n });
  };
  const reader = await Client.open(cluster);
  const { epoch } = await reader.subscribe('chat');
  const older = join(cluster.directory, 'older');
  await mkdir(older);
  await publish(1, 2, 3);
  await kill();
  await copyStore(cluster.directory, older);
  await cluster.startBroker();
  await publish(4, 5);
  assert.deepEqual((await reader.publications('chat', 5)).map(({ offset }) => offset), [1, 2, 3, 4, 5]);

  process.kill(cluster.gateway.pid, 'SIGSTOP');
  await kill();
  await copyStore(older, cluster.directory);
  await cluster.startBroker();
  await publish(104, 105, 106);
  process.kill(cluster.gateway.pid, 'SIGCONT');
  const { channel, unsubscribe } = await reader.push();
  assert.deepEqual([channel, unsubscribe?.code], ['chat', 2500]);
  assert.notEqual((await reader.subscribe('chat')).epoch, epoch);
  await publish(7);
  assert.equal((await reader.publication('chat')).data.n, 7);
});

// --- when writing fails ---

const padded = (n) => ({ n, t: 'x'.repeat(8000) });

// Publishes until it is refused; how many were acknowledged, and the refusal.
async function publishUntilRefused(backend, channel, from) {
  for (let n = from; n < from + 5000; n++) {
    const reply = await backend.request('publish', { channel, payload: padded(n) });
    if (!reply.ok) return { acknowledged: n - 1, error: reply.error };
  }
  throw new Error('5000 publications, and the store is not full');
}

const readyz = async (cluster) => {
  const { status, text } = await httpGet(`${cluster.brokerAdmin}/readyz`);
  return { status, ...JSON.parse(text) };
};

// The store fails by `fail`, and works again after `mend`: nothing is delivered that was not stored, readers go
// on, and it heals by itself.
async function failAndHeal(cluster, { fail, mend, status, rule }) {
  const backend = Backend.open(cluster);
  const reader = await Client.open(cluster);
  const { epoch } = await reader.subscribe('chat');
  await backend.publish('chat', padded(1));
  await fail();
  const { acknowledged, error } = await publishUntilRefused(backend, 'chat', 2);
  assert.equal(error.status, status);
  assert.match(error.message, rule);
  const got = await reader.publications('chat', acknowledged);
  assert.deepEqual(got.map((at) => at.data.n), Array.from({ length: acknowledged }, (_, i) => i + 1));
  assert.deepEqual(reader.pushes, []);

  // Reading, recovery and new subscriptions.
  const second = await Client.open(cluster);
  const from = Math.max(0, acknowledged - 20);
  const resumed = await second.subscribe('chat', { recover: true, epoch, offset: from });
  const { recovered, publications } = resumed;
  assert.equal(recovered, true, JSON.stringify({ ...resumed, from, acknowledged, epoch }));
  assert.deepEqual(publications.map((at) => at.offset), got.slice(from).map((at) => at.offset));
  await second.subscribe('another');
  const history = await backend.request('history', { channel: 'chat', limit: 1 });
  assert.deepEqual([history.ok, history.offset], [true, acknowledged]);
  const red = await readyz(cluster);
  assert.deepEqual([red.status, red.reasons], [503, ['the store cannot be written to']]);
  assert.equal(await cluster.metric('store_failing', 'broker'), 1);
  const { reason } = await cluster.broker.event('store_failed');
  assert.ok(reason.length > 0);

  await mend();
  await until(patience, 'the store to heal by itself', async () => (await readyz(cluster)).status === 200);
  await cluster.broker.event('store_recovered');
  const after = await backend.publish('chat', padded(acknowledged + 1));
  assert.deepEqual([after.epoch, after.offset], [epoch, acknowledged + 1]);
  assert.equal((await reader.publication('chat')).offset, acknowledged + 1);

  // What was acknowledged is there for the next broker, too, and nothing else.
  cluster.broker.expectedToDie = true;
  await cluster.broker.stop('SIGKILL');
  await cluster.startBroker();
  const { publications: kept, offset } = await Backend.open(cluster).request('history', { channel: 'chat', limit: 300 });
  assert.equal(offset, acknowledged + 1);
  const last = kept.slice(-20).map((at) => at.offset);
  assert.deepEqual(last, last.map((_, i) => acknowledged + 2 - last.length + i));
}

scenarioWith('a file that may not grow: 507, and it heals by itself', {}, async (cluster) => {
  const limit = (bytes) => execFileSync('prlimit', ['--pid', `${cluster.broker.pid}`, `--fsize=${bytes}`]);
  await failAndHeal(cluster, { fail: () => limit('400000:'), mend: () => limit('unlimited:'), status: 507, rule: /no space left/ });
});

// A small file system of its own; nobody but root may make one.
function smallDisk(cluster) {
  const disk = join(cluster.directory, 'disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', disk]);
  return join(disk, 'millrace.db');
}

scenarioWith('a full disk: 507, and it heals by itself', { store: { path: smallDisk } }, { skip: process.getuid() !== 0 }, async (cluster) => {
  const disk = join(cluster.directory, 'disk');
  const filler = join(disk, 'filler');
  atEnd(() => execFileSync('umount', ['--lazy', disk]));
  await failAndHeal(cluster, {
    fail: () => writeFile(filler, Buffer.alloc(1000000)),
    mend: () => rm(filler),
    status: 507,
    rule: /no space left/,
  });
});
