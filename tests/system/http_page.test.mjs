// The demo page's files and its control on the clients' port: served as they are, to this machine
// alone, and nothing else of the disk; a client on the same gateway notices nothing.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFile, mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { atEnd, Child, httpGet, patience, scenarioWith, sharedCluster, skipLarge, temporaryDirectory, until, within } from './harness.mjs';
import { answerTo, tcp } from './websocket.mjs';

const directory = await temporaryDirectory();
const control = join(directory, 'control');
const { cluster, scenario } = sharedCluster({
  gateway: { name: 'gateway-7', demo: 'yes', demo_root: join(directory, 'www'), demo_control: control },
});
after(() => rm(directory, { recursive: true }));

const inRoot = (name) => join(directory, 'www', name);
const big = 'x'.repeat(3 * 1024 * 1024);

before(async () => {
  await mkdir(inRoot('folder'), { recursive: true });
  await mkdir(inRoot('folder.js'));
  await writeFile(inRoot('index.html'), '<!doctype html><title>the page</title>\n');
  await writeFile(inRoot('page.js'), 'export {};\n');
  await writeFile(inRoot('folder/inner.js'), 'inner');
  await writeFile(inRoot('.hidden.js'), 'hidden');
  await writeFile(inRoot('key'), 'secret');
  await writeFile(inRoot('empty.js'), '');
  await writeFile(inRoot('big.json'), big);
  await writeFile(join(directory, 'outside.js'), 'outside');
  await symlink(join(directory, 'outside.js'), inRoot('link.js'));
  execFileSync('mkfifo', [inRoot('pipe.js')]);
});

const page = (path, options) => httpGet(`http://127.0.0.1:${cluster.clientPort}${path}`, options);

// One request with a path and headers that no HTTP library would send; the status, or 'closed'.
async function raw(path, { method = 'GET', headers = {}, body = '' } = {}) {
  const socket = await tcp(cluster.clientPort);
  const all = { Host: `127.0.0.1:${cluster.clientPort}`, ...headers };
  const lines = Object.entries(all).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}: ${value}\r\n`);
  return answerTo(socket, `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
    .then((answer) => answer.status, () => 'closed');
}

// The body, then the proof that a client that was there before is served as ever.
function served(name, ...rest) {
  const body = rest.pop();
  scenario(name, ...rest, async () => {
    const backend = Backend.open(cluster);
    const witness = await Client.open(cluster);
    await witness.subscribe('witness');
    await body();
    const { offset } = await backend.publish('witness', { name });
    assert.deepEqual(await witness.publication('witness'), { data: { name }, offset });
  });
}

served('the page and its files, with their types', async () => {
  const root = await page('/');
  assert.equal(root.status, 200);
  assert.equal(root.text, '<!doctype html><title>the page</title>\n');
  assert.equal(root.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal((await page('/index.html?a=b')).text, root.text);
  const script = await page('/page.js');
  assert.equal(script.headers.get('content-type'), 'text/javascript; charset=utf-8');
  assert.equal((await page('/big.json')).text, big);
  assert.ok(await cluster.metric('demo_served_total') >= 4);
});

served('HEAD gives the head alone', async () => {
  const socket = await tcp(cluster.clientPort);
  const ended = new Promise((done) => socket.once('close', done));
  const { status, head, rest } = await answerTo(socket, 'HEAD /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n');
  assert.equal(status, 200);
  assert.match(head, /content-length: 11/i);
  assert.equal(rest.length, 0);
  await within(patience, 'the end', ended);
});

const policy = /^default-src 'none'; script-src 'self'; style-src 'self'; .*frame-ancestors 'none'$/;
served('answers forbid what the page does not need', async () => {
  for (const path of ['/', '/none.js']) {
    const { headers } = await page(path);
    assert.match(headers.get('content-security-policy'), policy);
    assert.doesNotMatch(headers.get('content-security-policy'), /unsafe|https?:/);
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.equal(headers.get('cross-origin-resource-policy'), 'same-origin');
    assert.equal(headers.get('access-control-allow-origin'), null);
  }
});

const nowhere = [
  '/none.js', '/key', '/folder', '/folder/', '/folder/inner.js', '/folder%2finner.js', '/folder.js', '/.hidden.js',
  '/../outside.js', '/%2e%2e/outside.js', '/%2e%2e%2foutside.js', '/folder/../../outside.js', '/..%5coutside.js',
  '/./index.html/', '/link.js', '/pipe.js', '/empty.js', '/page.js%00.html', '/page.js/', '/PAGE.JS',
  '/%ff.js', '/demo', '/demo/kill', `/${'x'.repeat(2000)}.js`, `/${'../'.repeat(500)}etc/passwd`,
];
served('nothing else of the disk', async () => {
  for (const path of nowhere) {
    const status = await raw(path);
    assert.ok([404, 403, 'closed'].includes(status), `${path}: ${status}`);
  }
  assert.equal(await raw('/page.js%0a'), 400);
  assert.equal(await raw('/none.js'), 404);
  assert.equal(await raw('/link.js'), 404);
  for (const path of ['/..', '/../', '/%2e%2e/', '//index.html', '/folder/../index.html']) { // libwebsockets tidies them up
    const socket = await tcp(cluster.clientPort);
    const { head } = await answerTo(socket, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    assert.match(head, /^HTTP\/1.1 (404|200 OK\r\ncontent-type: text\/html; charset=utf-8\r\ncontent-length: 39\r\n)/, path);
  }
});

served('other methods', async () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) assert.equal(await raw('/', { method }), 405, method);
  for (const method of ['TRACE', 'BREW']) {
    const status = await raw('/', { method });
    assert.ok(status === 'closed' || status >= 400, `${method}: ${status}`);
  }
  assert.equal(await raw('/connection/websocket'), 426);
});

served('another Host is refused: its page could be anybody\'s', async () => {
  for (const Host of ['evil.example', `evil.example:${cluster.clientPort}`, '127.0.0.1.evil.example', '0.0.0.0', undefined]) {
    assert.equal(await raw('/', { headers: { Host } }), 403, Host);
  }
  for (const Host of ['localhost', `localhost:${cluster.clientPort}`, '[::1]:1']) {
    assert.equal(await raw('/', { headers: { Host } }), 200, Host);
  }
});

served('requests that are too long', async () => {
  const long = await raw('/', { headers: { 'X-Long': 'x'.repeat(70000) } });
  assert.ok(long === 'closed' || long >= 400, `${long}`);
  const origin = await raw('/demo/kill/a', { method: 'POST', headers: { Origin: `http://${'x'.repeat(2000)}` } });
  assert.equal(origin, 403);
  const host = await raw('/', { headers: { Host: 'x'.repeat(3000) } });
  assert.ok(host === 'closed' || host === 403, `${host}`);
});

served('one request a connection', async () => {
  const socket = await tcp(cluster.clientPort);
  let text = '';
  socket.on('data', (data) => { text += data; });
  const ended = new Promise((done) => socket.once('close', done));
  socket.write('GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(3));
  await within(patience, 'the end', ended);
  assert.equal(text.match(/HTTP\/1.1/g).length, 1);
});

// --- the control ---

const kill = (name, options) => raw(`/demo/kill/${name}`, { method: 'POST', ...options });

served('a kill without a supervisor', async () => {
  assert.equal(await kill('gateway-7'), 503); // no FIFO
  execFileSync('mkfifo', [control]);
  assert.equal(await kill('gateway-7'), 503); // nobody reads it
  assert.equal(await raw('/demo/revoke', { method: 'POST' }), 503);
  assert.equal(await cluster.metric('demo_kills_total'), 0);
});

served('a kill is one line to the supervisor', async () => {
  // Like the supervisor: open for both directions, so that it is never at its end.
  const supervisor = new Child('supervisor', 'bash', ['-c', 'exec <>"$0"; echo open; exec cat', control]);
  atEnd(() => supervisor.stop());
  await supervisor.line('stdout', (line) => line === 'open');
  const own = `http://127.0.0.1:${cluster.clientPort}`;
  assert.equal(await kill('gateway-7'), 202);
  for (const Origin of ['https://evil.example', 'null', `${own}0`]) assert.equal(await kill('a', { headers: { Origin } }), 403, Origin);
  for (const method of ['GET', 'HEAD', 'PUT']) assert.equal(await raw('/demo/kill/a', { method }), 405, method);
  for (const name of ['', 'a%20b', 'a/b', '%c3%a4', 'x'.repeat(65)]) assert.equal(await kill(name), 400, name);
  const newline = await kill('a%0akill%20b'); // libwebsockets refuses some escapes itself
  assert.ok([400, 403].includes(newline), `${newline}`);
  assert.equal(await kill('with-a-body', { headers: { 'Content-Length': 4, Origin: own }, body: 'abcd' }), 202);
  assert.equal(await kill('x'.repeat(64), { headers: { Origin: own } }), 202);
  await supervisor.line('stdout', (line) => line === `kill ${'x'.repeat(64)}`);
  assert.deepEqual(supervisor.stdout, ['open', 'kill gateway-7', 'kill with-a-body', `kill ${'x'.repeat(64)}`]);
  assert.equal(await cluster.metric('demo_kills_total'), 3);
});

served('a revoke is a line of one fixed word', async () => {
  const supervisor = new Child('supervisor', 'bash', ['-c', 'exec <>"$0"; echo open; exec cat', control]);
  atEnd(() => supervisor.stop());
  await supervisor.line('stdout', (line) => line === 'open');
  const own = `http://127.0.0.1:${cluster.clientPort}`;
  const revoke = (rest, options) => raw(`/demo/revoke${rest}`, { method: 'POST', ...options });
  for (const Origin of ['https://evil.example', 'null', `${own}0`]) assert.equal(await revoke('', { headers: { Origin } }), 403, Origin);
  for (const method of ['GET', 'HEAD', 'PUT']) assert.equal(await revoke('', { method }), 405, method);
  assert.equal(await revoke('', { headers: { Host: 'evil.example' } }), 403);
  for (const rest of ['/all', '%20all', 'd', '%c3%a4']) assert.equal(await revoke(rest), 404, rest);
  assert.notEqual(await revoke('%0akill%20b'), 202);
  assert.equal(await revoke('?channel=chat', { headers: { Origin: own } }), 202);
  assert.equal(await revoke('', { headers: { Origin: own, 'Content-Length': 4 }, body: 'chat' }), 202);
  assert.equal(await kill('last'), 202);
  await supervisor.line('stdout', (line) => line === 'kill last');
  assert.deepEqual(supervisor.stdout, ['open', 'revoke', 'revoke', 'kill last']);
});

scenarioWith('a control that is no FIFO is left alone', {
  gateway: { demo: 'yes', demo_root: '/nonexistent', demo_control: (at) => join(at.directory, 'plain') },
}, async (other) => {
  await appendFile(join(other.directory, 'plain'), '');
  const at = `http://127.0.0.1:${other.clientPort}`;
  assert.equal((await httpGet(`${at}/demo/kill/a`, { method: 'POST' })).status, 503);
  assert.equal((await httpGet(`${at}/`)).status, 404);
});

// --- its clients ---

scenario('the reply to connect names the gateway', async () => {
  const client = await Client.open(cluster);
  assert.deepEqual(client.connected.data, { gateway: 'gateway-7' });
});

scenarioWith('without demo there is no page, no control and no name', {}, async (plain) => {
  const at = `http://127.0.0.1:${plain.clientPort}`;
  assert.equal((await httpGet(`${at}/`)).status, 404);
  assert.equal((await httpGet(`${at}/demo/kill/gateway`, { method: 'POST' })).status, 404);
  assert.equal((await httpGet(`${at}/demo/revoke`, { method: 'POST' })).status, 404);
  assert.equal((await Client.open(plain)).connected.data, undefined);
});

// --- readers that are slow, files that change ---

served('a file that shrinks while it is sent ends the connection', async () => {
  await writeFile(inRoot('shrinks.js'), big);
  const socket = await tcp(cluster.clientPort);
  const ended = new Promise((done) => socket.once('close', done));
  await answerTo(socket, 'GET /shrinks.js HTTP/1.1\r\nHost: localhost\r\n\r\n');
  socket.pause();
  await truncate(inRoot('shrinks.js'), 10);
  socket.resume();
  await within(patience, 'the end', ended);
});

served('one who asks for a file and does not read is cut', { skip: skipLarge }, async () => {
  const socket = await tcp(cluster.clientPort);
  socket.write('GET /big.json HTTP/1.1\r\nHost: localhost\r\n\r\n');
  socket.pause();
  // The witness stays.
  await until(patience, 'the gateway to let go of it', async () => (await cluster.metric('sockets')) === 1);
});
