// The broker's file: where it is, who may have it, what happens when it cannot be had.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Backend } from './backend.mjs';
import { Child, freePort, programs, scenarioWith } from './harness.mjs';

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

scenarioWith('without a path nothing is kept on the disk', { store: { path: '' } }, async (cluster) => {
  await Backend.open(cluster).publish('chat', { text: 'hello' });
  assert.deepEqual(await readdir(cluster.directory), ['millrace.ini']);
});
