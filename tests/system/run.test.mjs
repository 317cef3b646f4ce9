// `./dev run`: it keeps its processes alive, obeys the demo page's button and nothing else, says what
// is in its way, and leaves nothing behind.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { DevRun, freeNode, freeRange } from './dev_run.mjs';
import { atEnd, Child, httpGet, patience, root, scenario, temporaryDirectory, until, within } from './harness.mjs';

let directory;
before(async () => {
  directory = await temporaryDirectory();
});
after(() => rm(directory, { recursive: true, force: true }));

const fresh = (name) => ({ RUN_DIR: join(directory, name) });

// Starts it, and waits for the end that must come by itself.
async function fails(name, args, env) {
  const node = await DevRun.launch(args, { ...fresh(name), ...env });
  atEnd(() => node.child.signal('SIGKILL'));
  const { code } = await within(patience, `the end of ./dev run ${args.join(' ')}`, node.child.exited);
  assert.notEqual(code, 0);
  return node.child.stderr.join('\n');
}

scenario('two gateways on one port: what ends is started again, what is asked is killed', null, { timeout: 240000 }, async () => {
  const node = await DevRun.start(['--gateways', '2'], fresh('two'));
  atEnd(() => node.stop());
  const first = node.processes;
  assert.deepEqual(Object.keys(first).sort(), ['broker', 'gateway-1', 'gateway-2', 'permissions']);
  await Promise.all(['broker', 'gateway-1', 'gateway-2'].map((name) => node.ready(name)));
  await node.line(node.page);

  // By a signal.
  process.kill(first['gateway-2'], 'SIGKILL');
  await node.line('gateway-2 ended (SIGKILL); starting it again in 1 s');
  await node.ready('gateway-2');
  assert.notEqual(node.pid('gateway-2'), first['gateway-2']);
  process.kill(first.broker, 'SIGTERM');
  await node.line('broker ended');
  await node.ready('broker');
  assert.notEqual(node.pid('broker'), first.broker);

  process.kill(first.permissions, 'SIGKILL');
  await node.line('permissions ended (SIGKILL); starting it again in 1 s');
  await until(patience, 'another backend of the demo', () => node.processes.permissions);

  // By the page: its own gateways only.
  for (const name of ['broker', 'permissions', 'gateway-3', `${first['gateway-1']}`, 'gateway-1']) {
    assert.equal((await httpGet(`${node.page}demo/kill/${name}`, { method: 'POST' })).status, 202);
  }
  await node.line('killing gateway-1, as the demo page asks');
  await node.line('gateway-1 ended (SIGKILL); starting it again in 1 s');
  await node.ready('gateway-1');
  assert.deepEqual(node.child.stdout.filter((line) => /^(broker|permissions|gateway-\d) ended/.test(line)).map((line) => line.split(' ')[0]),
    ['gateway-2', 'broker', 'permissions', 'gateway-1']);

  // All of it still works, with the tokens that it has made, and nobody else can read the key.
  const { tokens, gateways } = JSON.parse((await httpGet(`${node.page}config.json`)).text);
  assert.deepEqual(gateways, ['gateway-1', 'gateway-2']);
  assert.deepEqual(Object.keys(tokens), ['visitor', 'member', 'admin']);
  const backend = Backend.open({ endpoint: node.endpoint });
  for (const token of Object.values(tokens)) {
    const client = await Client.open({ clientPort: node.ports.client }, { connect: false });
    const reply = await client.command('connect', { token });
    assert.ok(gateways.includes(reply.connect?.data?.gateway), JSON.stringify(reply));
    await client.subscribe('chat');
    await backend.publish('chat', { text: 'hello' });
    assert.deepEqual((await client.publication('chat')).data, { text: 'hello' });
  }
  const secret = ['demo-key.json', 'control', 'permissions.in'].map((name) => join(directory, 'two', name));
  assert.equal(`${execFileSync('stat', ['-c', '%a', ...secret])}`, '600\n600\n600\n');
  assert.equal((await httpGet(`${node.page}demo-key.json`)).status, 404);

  // The members' room: refused to a visitor, and open to a member until the right is taken back.
  const [visitor, member] = await Promise.all(['visitor', 'member'].map(async (name) => {
    const client = await Client.open({ clientPort: node.ports.client }, { connect: false });
    await client.command('connect', { token: tokens[name] });
    return client;
  }));
  await until(patience, 'the refusal', async () => (await visitor.command('subscribe', { channel: 'chat:members' })).error?.code === 403);
  await member.subscribe('chat:members');
  const news = await Client.open({ clientPort: node.ports.client }, { connect: false });
  await news.command('connect', { token: tokens.visitor });
  await news.subscribe('demo');
  assert.equal((await httpGet(`${node.page}demo/revoke`, { method: 'POST' })).status, 202);
  const { data } = await news.publication('demo');
  assert.deepEqual({ ...data, ms: 0 }, { members: false, affected: 1, ended: 1, unconfirmed: 0, ms: 0, pauseMs: 15000 });
  assert.equal((await member.command('subscribe', { channel: 'chat:members' })).error?.code, 403);

  // With clients connected it is over within seconds, and the demo's handler is off the broker.
  const began = performance.now();
  const { code } = await node.stop();
  assert.equal(code, 0);
  assert.ok(performance.now() - began < 30000);
  assert.match(await readFile(join(directory, 'two/permissions.log'), 'utf8'), /"event":"ended"\}\n$/);
});

scenario('a port that is taken is named', null, async () => {
  const server = createServer();
  const port = (await freeRange(3)) + 2;
  await new Promise((done) => server.listen(port, '127.0.0.1', done));
  atEnd(() => server.close());
  const said = await fails('taken', [], { MILLRACE_GATEWAY_LISTEN_PORT: `${port}` });
  assert.match(said, new RegExp(`127\\.0\\.0\\.1:${port} is taken.*set \\[gateway\\] listen_port`));
  assert.match(await fails('taken', ['--gateways', '3'], { MILLRACE_GATEWAY_ADMIN_PORT: `${port - 2}` }),
    new RegExp(`127\\.0\\.0\\.1:${port} is taken.*set \\[gateway\\] admin_port`));
});

scenario('a process that cannot start ends the run, with its last word', null, async () => {
  const said = await fails('cannot', [], { MILLRACE_GATEWAY_LISTEN_ADDRESS: '127.0.0.1', MILLRACE_GATEWAY_ADMIN_ADDRESS: '192.0.2.1' });
  assert.match(said, /the gateway-1 ended: \{.*"setting":"\[gateway\] admin_address, admin_port"/);
});

scenario('wrong arguments and settings', null, async () => {
  for (const count of ['0', '100', 'two', '-1', '']) assert.match(await fails('wrong', ['--gateways', count]), /--gateways: .* from 1 to 99/);
  assert.match(await fails('wrong', ['--gateways']), /--gateways needs a value/);
  assert.match(await fails('wrong', ['--fast']), /'--fast' is no option of it/);
  assert.match(await fails('wrong', [], { MILLRACE_GATEWAY_SUBSCRIPTIONS: 'x' }), /MILLRACE_GATEWAY_SUBSCRIPTIONS/);
  assert.match(await fails('wrong', ['--gateways', '2'], { MILLRACE_GATEWAY_LISTEN_PORT: '0' }), /set \[gateway\] listen_port/);
});

scenario('a file of settings is obeyed; beyond loopback there is no demo', null, { timeout: 240000 }, async () => {
  const file = join(directory, 'own.ini');
  await writeFile(file, '[gateway]\nname = edge\nlisten_address = 0.0.0.0\nanonymous = yes\n');
  const node = await DevRun.start(['--config', file], fresh('own'));
  atEnd(() => node.stop());
  assert.deepEqual(Object.keys(node.processes).sort(), ['broker', 'edge-1']);
  assert.equal((await httpGet(node.page)).status, 404);
  assert.ok(!node.child.stdout.some((line) => line.includes('demo page')));
  assert.equal(await readFile(join(directory, 'own/demo-key.json')).catch(() => 'none'), 'none');

  // SIGHUP goes on to the processes, unless the file has an error.
  const logOf = (name) => readFile(join(directory, `own/${name}.log`), 'utf8');
  await writeFile(file, '[gateway]\nname = edge\nlisten_address = 0.0.0.0\nanonymous = yes\npong_seconds = zero\n');
  node.child.signal('SIGHUP');
  assert.match(await node.line('the settings are wrong'), /own\.ini:5: \[gateway\] pong_seconds/);
  await writeFile(file, '[gateway]\nname = edge\nlisten_address = 0.0.0.0\nanonymous = yes\npong_seconds = 9\n');
  node.child.signal('SIGHUP');
  await node.line('reading the settings again');
  await until(patience, 'both to have read them', async () => (await Promise.all(['broker', 'edge-1'].map(logOf)))
    .every((log) => log.includes('"event":"reloaded"')));
  assert.match(await logOf('edge-1'), /"setting":"\[gateway\] pong_seconds","before":"10","after":"9"/);
  assert.doesNotMatch(await logOf('edge-1'), /reload_refused/);
});

// The terminal, and the window around it, that ./dev run was started in.
const terminal = `
import os, pty, sys
child, descriptor = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
os.set_blocking(descriptor, True)
text = b''
while b'Ctrl-C stops' not in text:
    text += os.read(descriptor, 4096)
os.close(descriptor)
print(os.waitpid(child, 0)[1], flush=True)
`;

scenario('when its terminal goes, all end', null, { timeout: 240000 }, async () => {
  const { env } = await freeNode(1);
  const child = new Child('a terminal', '/usr/bin/python3', ['-c', terminal, join(root, 'dev'), 'run'], { env: { ...env, ...fresh('terminal') } });
  atEnd(() => child.signal('SIGKILL'));
  assert.equal(await child.line('stdout', () => true), '0');
  for (const name of ['broker', 'gateway-1']) assert.match(await readFile(join(directory, `terminal/${name}.log`), 'utf8'), /"event":"stopping"/);
});

scenario('without an endpoint for backends there is nobody to decide, and no members\' room', null, { timeout: 240000 }, async () => {
  const node = await DevRun.start([], { ...fresh('closed'), MILLRACE_BROKER_BACKENDS: '' });
  atEnd(() => node.stop());
  assert.deepEqual(Object.keys(node.processes).sort(), ['broker', 'gateway-1']);
  assert.equal(JSON.parse((await httpGet(`${node.page}config.json`)).text).permissions, false);
  assert.equal((await httpGet(`${node.page}demo/revoke`, { method: 'POST' })).status, 202);
  await node.ready('gateway-1');
});
