// The packages' permission handlers at a real broker: what they decide, what their failures become, and that they are
// there again when the broker was gone.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Client } from './client.mjs';
import { atEnd, Child, Cluster, patience, root, scenario, until } from './harness.mjs';
import { python, pythonEnvironment } from './packages.mjs';
import { makeToken, newKey, writeKeys } from './tokens.mjs';

const at = (name) => join(root, 'tests/system', name);
const programs = {
  'JavaScript': (endpoint) => new Child('handlers', process.execPath, [at('handling_backend.mjs'), endpoint]),
  'Python, blocking': (endpoint) => new Child('handlers', python, [at('handling_backend.py'), 'blocking', endpoint], { env: pythonEnvironment }),
  'Python, asyncio': (endpoint) => new Child('handlers', python, [at('handling_backend.py'), 'asyncio', endpoint], { env: pythonEnvironment }),
};

const key = newKey('HS256', 'k1');

async function started() {
  const cluster = new Cluster({ 'site "default"': { keys: 'default.jwks' } });
  const start = cluster.startGateway.bind(cluster);
  cluster.startGateway = async () => {
    await writeKeys(cluster.directory, 'default.jwks', key);
    await start();
  };
  atEnd(() => cluster.stop());
  await cluster.start();
  return cluster;
}

async function client(cluster, sub, type = 'MEMBER') {
  const one = await Client.open(cluster, { connect: false });
  assert.ok((await one.command('connect', { token: makeToken(key, { sub, type }) })).connect);
  return one;
}

// What the program says next; `word` is what it is told before.
async function said(program, word) {
  const seen = program.stdout.length;
  if (word) program.process.stdin.write(`${word}\n`);
  return JSON.parse(await program.line('stdout', () => true, patience, word ? seen : 0));
}

async function serving(name, cluster) {
  const program = programs[name](cluster.endpoint);
  atEnd(() => program.stop('SIGKILL'));
  assert.deepEqual(await said(program), { ready: true });
  return program;
}

const verdict = async (one, channel) => (await one.command('subscribe', { channel })).error?.code ?? 0;
const handlers = (cluster) => cluster.metric('handlers', 'broker');

for (const name of Object.keys(programs)) {
  scenario(`${name}: decides, fails closed, takes back`, null, async () => {
    const cluster = await started();
    const program = await serving(name, cluster);
    const ann = await client(cluster, 'ann'), root = await client(cluster, 'root', 'ADMIN');
    assert.equal(await verdict(root, 'chat'), 0);
    assert.equal(await verdict(ann, 'chat'), 403);
    assert.equal(await verdict(ann, 'chat:lobby'), 0);
    const wrong = await ann.command('subscribe', { channel: 'chat:wrong' });
    assert.deepEqual([wrong.error.code, wrong.error.message], [400, 'no such room']);
    const broken = await ann.command('subscribe', { channel: 'chat:broken' });
    assert.equal(broken.error.code, 503);
    assert.doesNotMatch(broken.error.message, /secret/);
    assert.equal(await verdict(ann, 'chat:slow'), 503);

    assert.deepEqual(await said(program, 'revoke ann'), { affected: 1, ended: 1, unconfirmed: 0 });
    assert.equal((await ann.push()).unsubscribe.code, 2410);
    assert.deepEqual(await said(program, 'disconnect ann'), { affected: 1, unconfirmed: 0 });
    assert.equal((await ann.closing()).code, 3503);

    assert.deepEqual(await said(program, 'close'), { closed: true });
    assert.equal(await handlers(cluster), 0);
    assert.equal(await verdict(await client(cluster, 'bob'), 'chat'), 0);
  });

  scenario(`${name}: is there again when the broker was gone, and missed when it was killed`, null, async () => {
    const cluster = await started();
    const program = await serving(name, cluster);
    const root = await client(cluster, 'root', 'ADMIN');
    cluster.broker.expectedToDie = true;
    await cluster.broker.stop('SIGKILL');
    await cluster.startBroker();
    await until(patience, 'the handlers to be back', async () => (await cluster.metric('workers', 'broker')) === 2);
    await until(patience, 'the gateway to be back', async () => (await verdict(root, 'chat')) === 0);
    await program.stop('SIGKILL');
    await until(patience, 'its end to be seen', async () => (await cluster.metric('workers', 'broker')) === 0);
    assert.equal(await handlers(cluster), 2);
    assert.equal(await verdict(root, 'chat:lobby'), 503);
  });
}
