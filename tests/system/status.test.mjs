// `millrace status`: what gateways tell the broker each second, as a table, as JSON, again and again.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import * as zmq from 'zeromq';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { atEnd, Child, freePort, httpGet, patience, programs, run, scenario, scenarioWith, sharedCluster, until, within } from './harness.mjs';

const status = (url, ...args) => run(programs.cli, ['status', '--url', url, ...args]);

async function statusJson(url) {
  const { stdout } = await status(url, '--json');
  assert.match(stdout, /^[\x20-\x7e]+\n$/, 'one line of ASCII');
  return JSON.parse(stdout);
}

const gatewayOf = (page, name) => page.gateways.find((at) => at.name === name);

// Waits until /status satisfies `accept`; returns it.
function statusUntil(cluster, what, accept) {
  return until(patience, what, async () => {
    const page = JSON.parse((await httpGet(`${cluster.brokerAdmin}/status`)).text);
    return accept(page) && page;
  });
}

// Soon all is well, and the exit status says so.
function fine(ask) {
  return until(patience, 'exit status 0', async () => {
    const result = await ask();
    return result.code === 0 && result;
  });
}

async function addGateway(cluster, name) {
  const [clientPort, admin] = [await freePort(), await freePort()];
  const env = {
    MILLRACE_GATEWAY_NAME: name,
    MILLRACE_GATEWAY_LISTEN_PORT: `${clientPort}`,
    MILLRACE_GATEWAY_ADMIN_PORT: `${admin}`,
  };
  const child = new Child('gateway', programs.gateway, ['--config', cluster.file], { env });
  cluster.children.push(child);
  await cluster.ready(child, `http://127.0.0.1:${admin}`);
  return { child, clientPort, name };
}

scenarioWith('two gateways under load, one falls silent, one is killed', { node: { name: 'n-1' } }, { timeout: 240000 },
  async (cluster) => {
    const second = await addGateway(cluster, 'a-second-gateway-with-a-name-of-forty-bytes');
    const clients = [await Client.open(cluster), await Client.open(second), await Client.open(second)];
    for (const client of clients) await client.subscribe('load');
    const backend = Backend.open(cluster);

    const page = await (async () => {
      let page;
      for (let n = 1; !page; n++) {
        await backend.publishMany('load', Array.from({ length: 50 }, (_, i) => ({ n, i })));
        const now = await statusJson(cluster.brokerAdmin);
        const moves = (name) => gatewayOf(now, name)?.rates?.deliveries_total > 0 && gatewayOf(now, name).figures.subscriptions > 0;
        if (moves('gateway') && moves(second.name) && now.rates.acknowledged_total > 0) page = now;
        assert.ok(n < 5000, 'rates never come');
      }
      return page;
    })();
    assert.equal(page.node, 'n-1');
    assert.match(page.version, /^\d+\.\d+\.\d+$/);
    assert.equal(page.broker.gateways, 2);
    assert.ok(page.broker.acknowledged_total >= 50 && page.memory_bytes > 1e6 && page.uptime_ms > 0);
    const metrics = (await httpGet(`${cluster.brokerAdmin}/metrics`)).text;
    for (const name of Object.keys(page.broker)) assert.ok(metrics.includes(`\nmillrace_broker_${name} `), name);
    for (const [name, connections] of [['gateway', 1], [second.name, 2]]) {
      const { figures, rates, state, age_ms: age, incarnation } = gatewayOf(page, name);
      assert.equal(state, 'ok');
      assert.match(incarnation, /^[0-9a-f]{16}$/);
      assert.ok(age < 10000);
      assert.deepEqual([figures.connections, figures.subscriptions, figures.addresses], [connections, connections, 1]);
      assert.deepEqual([figures.ready, figures.draining], [true, false]);
      assert.ok(figures.memory_bytes > 1e6 && figures.uptime_ms > 0 && figures.canary_age_ms < 10000);
      assert.ok(rates.publications_total > 0 && figures.deliveries_total > 0);
      assert.equal(figures.lost_told_total + figures.closed_slow_total, 0);
    }

    const table = await fine(() => status(cluster.brokerAdmin));
    assert.match(table.stdout, /^node n-1, Millrace \d/);
    assert.match(table.stdout, /^a-second-gateway-with-a-name-of-forty-bytes {2}ok +2 /m);
    assert.match(table.stdout, /^gateway {38}ok +1 /m);
    assert.match(table.stdout, /^together +3 /m);
    assert.doesNotMatch(table.stdout, /[^\n\x20-\x7e]/, 'no colours, no cursor movements');

    second.child.signal('SIGSTOP');
    atEnd(() => second.child.signal('SIGCONT'));
    const silent = await statusUntil(cluster, 'silent', (now) =>
      gatewayOf(now, second.name)?.state === 'silent' && gatewayOf(now, 'gateway')?.state === 'ok');
    assert.ok(gatewayOf(silent, second.name).age_ms >= 3000);
    assert.equal(gatewayOf(silent, second.name).figures.connections, 2, 'its last figures');
    const wrong = await status(cluster.brokerAdmin);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stdout, new RegExp(`^WRONG: ${second.name} has told nothing for \\d`, 'm'));
    assert.equal((await status(cluster.brokerAdmin, '--json')).code, 1);

    second.child.signal('SIGCONT');
    await statusUntil(cluster, 'well again', (now) => gatewayOf(now, second.name)?.state === 'ok');

    second.child.expectedToDie = true;
    second.child.signal('SIGKILL');
    const gone = await statusUntil(cluster, 'gone', (now) => now.gateways.length === 1);
    assert.equal(gone.gateways[0].name, 'gateway');
    assert.ok(gone.broker.gateways_gone_total >= 1); // more when its silence was long enough to count as its end
    const after = await status(cluster.brokerAdmin);
    assert.match(after.stdout, /^gateways {2}1 here, [1-9] gone since the start$/m);
  });

scenarioWith('without a gateway something is wrong', {}, async (cluster) => {
  await cluster.gateway.stop();
  await statusUntil(cluster, 'no gateway', (page) => page.gateways.length === 0);
  const { code, stdout } = await status(cluster.brokerAdmin);
  assert.equal(code, 1);
  assert.match(stdout, /^WRONG: no gateway is connected/m);
});

const { cluster, scenario: shared } = sharedCluster();

shared('the settings say where the broker is', async () => {
  const { stdout } = await fine(() => run(programs.cli, ['status', '--config', cluster.file]));
  assert.match(stdout, /^node node, /);
  await fine(() => status(`${cluster.brokerAdmin}/`)); // a slash at the end does no harm
});

shared('--watch without a terminal repeats the table, Ctrl-C ends it with 0', async () => {
  for (const [args, signal] of [[['--watch'], 'SIGINT'], [['--watch', '1'], 'SIGTERM'], [['--watch=1'], 'SIGINT']]) {
    const child = new Child('millrace', programs.cli, ['status', '--url', cluster.brokerAdmin, ...args]);
    atEnd(() => child.signal('SIGKILL'));
    const tables = () => child.stdout.filter((line) => line.startsWith('node node, ')).length;
    await until(patience, 'two tables', () => tables() >= 2);
    child.signal(signal);
    const end = await within(patience, 'its end', child.exited);
    assert.equal(end.code, 0);
    assert.doesNotMatch(child.stdout.join('\n'), /[^\n\x20-\x7e]/);
    assert.deepEqual(child.stderr, []);
  }
});

shared('--watch --json prints one object a line', async () => {
  const child = new Child('millrace', programs.cli, ['status', '--url', cluster.brokerAdmin, '--json', '--watch']);
  atEnd(() => child.signal('SIGKILL'));
  await until(patience, 'two objects', () => child.stdout.length >= 2);
  for (const line of child.stdout) assert.equal(JSON.parse(line).node, 'node');
  child.signal('SIGINT');
  assert.equal((await within(patience, 'its end', child.exited)).code, 0);
});

shared('--watch on a terminal draws over the last table, within its size', async () => {
  const command = `stty rows 8 cols 40; exec ${programs.cli} status --url ${cluster.brokerAdmin} --watch`;
  const child = new Child('script', 'script', ['-qec', command, '/dev/null']);
  atEnd(() => child.signal('SIGKILL'));
  const screens = () => child.stdout.join('\n').split('\x1b[H').slice(1);
  await until(patience, 'three screens', () => screens().length >= 3);
  child.process.stdin.write('\x03');
  const end = await within(patience, 'its end', child.exited);
  assert.equal(end.code, 0, child.tail());
  const [first, second] = screens();
  assert.match(first, /^\x1b\[2Jnode node/, 'the first one clears the terminal');
  assert.match(second, /^node node/, 'the next ones do not');
  const lines = second.replaceAll('\r', '').replace(/\x1b\[J[^]*$/, '').split('\n').filter((line) => line !== '');
  assert.ok(lines.length <= 7, second);
  assert.match(lines.at(-1), /^\.\.\. \d+ more lines/);
  for (const line of lines) assert.ok(line.replaceAll('\x1b[K', '').length <= 40, line);
});

shared('names of gateways cannot steer a terminal', async () => {
  const socket = new zmq.Dealer({ linger: 0 });
  atEnd(() => socket.close());
  socket.connect(cluster.sections.broker.control);
  const name = Buffer.from('evil"\\\x1b]0;owned\x07\x1b[2J\n{"x":1}\u009b31m\u202e', 'utf8');
  const hello = Buffer.alloc(5 + name.length + 32); // behind the incarnation: no broker known, nothing revoked, started in 1970
  hello.writeUInt8(1, 0);
  hello.writeUInt16BE(4, 1);
  hello.writeUInt16BE(name.length, 3);
  name.copy(hello, 5);
  hello.writeBigUInt64BE(77n, 5 + name.length);
  await socket.send(hello);
  await within(patience, 'a welcome', socket.receive());
  const page = await statusJson(cluster.brokerAdmin);
  assert.ok(page.gateways.some((gateway) => gateway.name.startsWith('evil"\\\ufffd]0;owned')), JSON.stringify(page));
  const raw = await httpGet(`${cluster.brokerAdmin}/status`);
  assert.match(raw.text, /^[\x20-\x7e]+$/);
  assert.equal(raw.headers.get('content-type'), 'application/json');
  const { stdout } = await status(cluster.brokerAdmin);
  assert.match(stdout, /^evil"\\\?/m);
  assert.doesNotMatch(stdout, /[^\n\x20-\x7e]/);
});

shared('/status is the broker\'s alone, and only read', async () => {
  assert.equal((await httpGet(`${cluster.gatewayAdmin}/status`)).status, 404);
  assert.equal((await httpGet(`${cluster.brokerAdmin}/status`, { method: 'POST', body: 'x' })).status, 405);
  const { code, stdout, stderr } = await status(cluster.gatewayAdmin);
  assert.equal(code, 70);
  assert.equal(stdout, '');
  assert.match(stderr, /HTTP status 404: is it the admin listener of a broker\?/);
});

// --- no broker ---

scenario('no broker: what was asked, what happened, what to check', null, async () => {
  const url = `http://127.0.0.1:${await freePort()}`;
  const { code, stdout, stderr } = await status(url);
  assert.equal(code, 69);
  assert.equal(stdout, '');
  assert.ok(stderr.includes(`no broker answers at ${url}/status: `), stderr);
  assert.match(stderr, /admin_port/);
  assert.match(stderr, /--url/);
});

scenario('a broker that does not answer in time', null, async () => {
  const server = createTcpServer((socket) => socket.on('error', () => {}));
  const port = await freePort();
  await new Promise((done) => server.listen(port, '127.0.0.1', done));
  atEnd(() => server.close());
  const { code, stderr } = await status(`http://127.0.0.1:${port}`, '--timeout', '200');
  assert.equal(code, 69);
  assert.match(stderr, /timed out after \d+ milli/i);
});

// What a server says instead of a status: [name, status, body, exit status, words]
const pages = [
  ['text', 200, 'hello\x1b[31m', 70, /is no Millrace broker: /],
  ['another object', 200, '{"ready":true}', 70, /"broker" and "gateways"/],
  ['a redirect', 302, '', 70, /HTTP status 302/],
  ['an error', 500, 'oh', 70, /HTTP status 500/],
  ['more than is bearable', 200, '[' + ' '.repeat(9 * 1024 * 1024), 69, /too long/],
  ['hostile strings', 200, '{"node":"\u009b\u202e\x7f","broker":{},\n"gateways":[{"name":"\\u001b[2J","state":"ok"}]}', 0, null],
];
for (const [name, code, body, exit, words] of pages) {
  scenario(`a server that answers with ${name}`, null, async () => {
    const server = createServer((request, response) => response.writeHead(code, { location: '/' }).end(body));
    const port = await freePort();
    await new Promise((done) => server.listen(port, '127.0.0.1', done));
    atEnd(() => new Promise((done) => server.close(done)));
    for (const more of [[], ['--json']]) {
      const got = await status(`http://127.0.0.1:${port}`, ...more);
      assert.equal(got.code, exit, got.stderr);
      if (words) assert.match(got.stderr, words);
      if (words) assert.equal(got.stdout, '');
      assert.doesNotMatch(got.stdout + got.stderr, /[^\n\x20-\x7e]/);
    }
  });
}

scenarioWith('--watch goes on when the broker comes back', {}, async (own) => {
  const child = new Child('millrace', programs.cli, ['status', '--url', own.brokerAdmin, '--watch', '--timeout', '1000']);
  atEnd(() => child.signal('SIGKILL'));
  await child.line('stdout', (line) => line.startsWith('node '));
  await own.broker.stop();
  await child.line('stderr', (line) => line.includes('no broker answers'));
  const before = child.stdout.length;
  await own.startBroker();
  await child.line('stdout', (line) => line.startsWith('node '), patience, before);
  child.signal('SIGINT');
  assert.equal((await within(patience, 'its end', child.exited)).code, 0);
});
