// Hearts: what hangs though its connections live is noticed within 6 seconds, by what its main loop does not say.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Client } from './client.mjs';
import { hang } from './hung.mjs';
import { atEnd, Child, httpGet, patience, programs, root, run, scenarioWith, until } from './harness.mjs';
import { kinds } from './packages.mjs';
import { Worker } from './worker.mjs';

// A worker in a process of its own, which can be stopped.
async function workerProcess(cluster, read) {
  const text = `
    import { connect } from '@millrace/backend';
    const backend = connect();
    await backend.permissionsRouter.default(() => ({ read: ${read} }));
    setTimeout(() => console.log('registered'), 2500); // when it has answered a heartbeat or two`;
  const child = new Child('worker', 'node', ['--input-type=module', '-e', text], { env: { MILLRACE_BACKENDS: cluster.endpoint }, cwd: join(root, 'tests/system') });
  atEnd(() => child.stop('SIGKILL'));
  await child.line('stdout', (line) => line === 'registered');
  return child;
}

const silent = (cluster) => cluster.metric('workers_silent', 'broker');

scenarioWith('a handler that hangs is not asked any more, and is again when it wakes', {}, async (cluster) => {
  const hung = await workerProcess(cluster, false);
  await until(patience, 'heartbeats', async () => (await cluster.metric('workers', 'broker')) === 1);
  const other = await Worker.serve(cluster, [{}]);
  const began = performance.now();
  const release = await hang(hung, 'main'); // its connection lives on
  if (!release) hung.signal('SIGSTOP');
  atEnd(() => hung.signal('SIGCONT'));
  assert.equal((await cluster.broker.event('worker_silent')).site, 'default');
  assert.ok(performance.now() - began < 6000);
  assert.equal(await silent(cluster), 1);
  assert.equal(JSON.parse((await httpGet(`${cluster.brokerAdmin}/readyz`)).text).workers_silent, 1);
  const { code, stdout } = await run(programs.cli, ['status', '--url', cluster.brokerAdmin]);
  assert.equal(code, 1);
  assert.match(stdout, /^WRONG: 1 connections with permission handlers hang$/m);

  const again = await cluster.metric('checks_again_total', 'broker');
  for (let n = 0; n < 10; n++) await (await Client.open(cluster)).subscribe(`chat-${n}`); // all are allowed
  assert.equal(other.checks.length, 10);
  assert.equal(await cluster.metric('checks_again_total', 'broker'), again, 'at once, not when a second worker was asked');

  if (release) await release();
  hung.signal('SIGCONT');
  await until(patience, 'it to be heard', async () => (await silent(cluster)) === 0 && (await cluster.metric('workers', 'broker')) === 2);
  await other.close();
  const reader = await Client.open(cluster);
  const { error } = await reader.command('subscribe', { channel: 'chat' });
  assert.equal(error.code, 403, 'it is asked again');
});

scenarioWith('when the only handler hangs nobody is let in, and nobody waits for it', {}, async (cluster, context) => {
  const hung = await workerProcess(cluster, true);
  const release = await hang(hung, 'main');
  if (!release) return context.skip('no process may stop a thread of another here');
  await cluster.broker.event('worker_silent');
  const reader = await Client.open(cluster);
  const began = performance.now();
  const { error } = await reader.command('subscribe', { channel: 'chat' });
  assert.equal(error.code, 503);
  assert.match(error.message, /hangs/);
  assert.ok(performance.now() - began < 900);
  await release();
  await cluster.broker.event('worker_heard');
  await reader.subscribe('chat');
});

const ends = (promise) => promise.then(() => 'published', (error) => `${error.name}: ${error.outcome}`);

for (const [kind, open] of Object.entries(kinds)) {
  scenarioWith(`${kind}: a broker that hangs is noticed; what waits says what became of it`, {}, async (cluster, context) => {
    const backend = await open({ endpoint: cluster.endpoint, timeoutMs: 60000 });
    assert.equal(await backend.state(), 'connecting');
    await backend.publish({ name: 'chat' }, { n: 1 });
    assert.equal(await backend.state(), 'connected');
    const began = performance.now();
    const release = await hang(cluster.broker, 'main'); // its connections live on
    if (!release) return context.skip('no process may stop a thread of another here');
    const underWay = ends(backend.publish({ name: 'chat' }, { n: 2 }, { timeoutMs: 8000 }));
    await until(patience, 'the broker to hang', async () => (await backend.state()) === 'hung');
    assert.ok(performance.now() - began < 6000, `${performance.now() - began} ms`);

    assert.equal(await ends(backend.publish({ name: 'chat' }, { n: 3 }, { timeoutMs: 300 })), 'TimeoutError: not sent');
    const waiting = backend.publish({ name: 'chat' }, { n: 4 });
    assert.equal(await underWay, 'TimeoutError: unknown');
    assert.ok(performance.now() - began < 12000);
    assert.equal(await ends(backend.publish({ name: 'chat' }, { n: 5 }, { timeoutMs: 300 })), 'TimeoutError: not sent');
    await release();
    await waiting;
    assert.equal(await backend.state(), 'connected');
    const { publications } = await backend.history({ name: 'chat' });
    assert.deepEqual(publications.map(({ payload }) => payload.n), [1, 4], 'what was given up is not published when it wakes');
    assert.equal(await cluster.metric('refused_expired_total', 'broker'), 1);
    await backend.close();
    if (kind === 'JavaScript') assert.equal(await backend.state(), 'closed');
  });
}
