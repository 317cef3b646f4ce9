// harness - real processes on free ports with a configuration of their own, and their end.
//
// Every wait is for an event and has a limit, which only a failure ever reaches: `patience` is far more
// than a loaded machine needs. Nothing here sleeps. Only processes that were started
// here are ever signalled. `scenario` is a test that cleans up after itself and shows the logs of
// the processes when it fails.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createSocket } from 'node:dgram';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const buildDir = resolve(root, process.env.BUILD_DIR ?? 'build');
export const skipLarge = process.env.SKIP_LARGE === '1';
export const patience = 60000; // ms

export const programs = {
  broker: join(buildDir, 'broker/millrace-broker'),
  gateway: join(buildDir, 'gateway/millrace-gateway'),
  cli: join(buildDir, 'cli/millrace'),
};

// The environment without settings of whoever runs the tests.
export function cleanEnvironment(extra = {}) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('MILLRACE_'));
  return { ...Object.fromEntries(own), ...extra };
}

// --- waiting ---

// Resolves with `promise`, or fails after `ms`, saying what was waited for.
export async function within(ms, what, promise) {
  const timer = new AbortController();
  const late = delay(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`after ${ms} ms still waiting for ${what}`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

// Asks every 20 ms until the answer is true: for what cannot tell us by itself (an HTTP page).
export async function until(ms, what, ask) {
  const end = performance.now() + ms;
  let last;
  while (performance.now() < end) {
    last = await ask();
    if (last) return last;
    await delay(20);
  }
  throw new Error(`after ${ms} ms still waiting for ${what}`);
}

// --- free ports ---

// Below the range from which the kernel takes ports for outgoing connections. Between our look at a port
// and the moment that a process of ours listens there, another test process may look at it too: so each
// holds the UDP port of the same number, which nobody else wants, as long as it lives.
let nextPort = 20000 + ((process.pid * 64) % 10000);

function reserve(port) {
  return new Promise((done) => {
    const socket = createSocket('udp4');
    socket.unref();
    socket.once('error', () => done(false));
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => done(true));
  });
}

function isFree(port) {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}

export async function freePort() {
  for (let tries = 0; tries < 1000; tries++) {
    const port = nextPort++;
    if (nextPort >= 30000) nextPort = 20000;
    if ((await reserve(port)) && (await isFree(port))) return port;
  }
  throw new Error('no free port');
}

// --- processes ---

export const living = new Set();

export class Child extends EventEmitter {
  constructor(name, file, args, { env = {}, input, cwd = root } = {}) {
    super();
    this.setMaxListeners(0);
    this.name = name;
    this.stdout = [];
    this.stderr = [];
    this.process = spawn(file, args, { env: cleanEnvironment(env), stdio: 'pipe', cwd });
    this.pid = this.process.pid;
    for (const stream of ['stdout', 'stderr']) {
      createInterface({ input: this.process[stream] }).on('line', (line) => {
        this[stream].push(line);
        this.emit('line', stream, line);
      });
    }
    this.process.stdin.on('error', () => {});
    if (input !== undefined) this.process.stdin.end(input);
    this.exited = new Promise((done) => {
      this.process.once('error', (error) => done({ code: null, signal: null, error: `${error}` }));
      this.process.once('close', (code, signal) => done({ code, signal }));
    });
    living.add(this);
    this.exited.then((end) => {
      this.end = end;
      living.delete(this);
      this.emit('line', 'end', '');
    });
  }

  // The first line of `stream`, from line number `from` on, that `accept` likes (returns true for).
  async line(stream, accept, ms = patience, from = 0) {
    const find = () => this[stream].slice(from).find(accept);
    const found = new Promise((done, fail) => {
      const look = () => {
        const line = find();
        if (line !== undefined) done(line);
        else if (this.end) fail(new Error(`${this.name} ended: ${JSON.stringify(this.end)}`));
        else return;
        this.off('line', look);
      };
      this.on('line', look);
      look();
    });
    return within(ms, `a line of ${this.name}`, found).catch((error) => {
      throw new Error(`${error.message}\n${this.tail()}`);
    });
  }

  // The log events so far; what is no JSON object is kept as {event: 'unreadable', line}.
  get events() {
    return this.stderr.map((line) => {
      try {
        return JSON.parse(line);
      } catch {
        return { event: 'unreadable', line };
      }
    });
  }

  // The first log event of this name that `accept` likes.
  async event(name, accept = () => true, ms = patience) {
    const line = await this.line('stderr', (text) => {
      if (!text.includes(`"${name}"`)) return false;
      const event = JSON.parse(text);
      return event.event === name && accept(event);
    }, ms);
    return JSON.parse(line);
  }

  signal(name) {
    if (!this.end) this.process.kill(name);
  }

  // Ends the process; returns how it ended. A process that does not obey is killed, and that fails.
  async stop(signal = 'SIGTERM', ms = patience) {
    this.signal(signal);
    try {
      return await within(ms, `the end of ${this.name}`, this.exited);
    } catch (error) {
      this.signal('SIGKILL');
      await this.exited;
      throw error;
    }
  }

  tail(lines = 15) {
    const last = (stream) => this[stream].slice(-lines).map((line) => `  ${this.name} ${line}`);
    return [...last('stdout'), ...last('stderr')].join('\n');
  }
}

// Runs a program to its end: {code, stdout, stderr} with whole texts.
export async function run(file, args, { env, input = '', ms = patience } = {}) {
  const child = new Child(file.split('/').pop(), file, args, { env, input });
  try {
    const { code, signal, error } = await within(ms, `${file} ${args.join(' ')}`, child.exited);
    if (error) throw new Error(error);
    const whole = (lines) => lines.map((line) => `${line}\n`).join('');
    return { code, signal, stdout: whole(child.stdout), stderr: whole(child.stderr) };
  } finally {
    child.signal('SIGKILL');
  }
}

// --- what a scenario leaves behind is undone at its end ---

const undo = [];

export function atEnd(action) {
  undo.push(action);
}

// All of it, then the first failure.
export async function undoAll() {
  const results = [];
  for (const action of undo.splice(0).reverse()) results.push(await settled(action));
  const failed = results.find((result) => result?.error);
  if (failed) throw failed.error;
}

async function settled(action) {
  try {
    await action();
  } catch (error) {
    return { error };
  }
}

process.on('exit', () => {
  for (const child of living) child.process.kill('SIGKILL');
});

// --- a node: one broker, one gateway ---

// The file with these sections; a value may be a function of the cluster.
export function iniText(sections, cluster) {
  let text = '';
  for (const [section, values] of Object.entries(sections)) {
    text += `[${section}]\n`;
    for (const [key, value] of Object.entries(values)) {
      text += `${key} = ${typeof value === 'function' ? value(cluster) : value}\n`;
    }
  }
  return text;
}

export async function temporaryDirectory() {
  return mkdtemp(join(tmpdir(), 'millrace-'));
}

// What operators begin with. It is made for a machine of its own: its store is below /var.
export const deploySettings = join(root, 'deploy/settings/millrace.ini');

export class Cluster {
  // Settings by section: {gateway: {subscriptions: 5}, 'channel "chat"': {messages: 10}}. A value may
  // be a function of the cluster, whose directory and ports are known then. `base`: a file that comes
  // first, of which no key may be set again.
  constructor(settings = {}, { base } = {}) {
    this.settings = settings;
    this.base = base;
    this.children = [];
  }

  async start() {
    const [control, publications, backends, brokerAdmin, client, gatewayAdmin] = await Promise.all(
      Array.from({ length: 6 }, freePort),
    );
    const tcp = (port) => `tcp://127.0.0.1:${port}`;
    this.endpoint = tcp(backends);
    this.clientPort = client;
    this.gatewayAdminPort = gatewayAdmin;
    this.url = `ws://127.0.0.1:${client}/connection/websocket`;
    this.brokerAdmin = `http://127.0.0.1:${brokerAdmin}`;
    this.gatewayAdmin = `http://127.0.0.1:${gatewayAdmin}`;
    this.sections = {
      ...this.settings,
      broker: {
        control: tcp(control),
        publications: tcp(publications),
        backends: tcp(backends),
        admin_port: brokerAdmin,
        ...this.settings.broker,
      },
      gateway: {
        control: tcp(control),
        publications: tcp(publications),
        listen_port: client,
        admin_port: gatewayAdmin,
        drain_seconds: 1,
        ...this.settings.gateway,
      },
    };
    this.directory = await temporaryDirectory(); // where its store is, too: beside its settings
    this.file = join(this.directory, 'millrace.ini');
    const include = this.base ? `include = ${this.base}\n` : '';
    await writeFile(this.file, include + iniText(this.sections, this));
    await this.startBroker();
    await this.startGateway();
  }

  child(name) {
    const env = this.base ? { MILLRACE_STORE_PATH: join(this.directory, 'millrace.db') } : {};
    const child = new Child(name, programs[name], ['--config', this.file], { env });
    this.children.push(child);
    return child;
  }

  async startBroker() {
    this.broker = this.child('broker');
    await this.ready(this.broker, this.brokerAdmin);
  }

  async startGateway() {
    this.gateway = this.child('gateway');
    await this.ready(this.gateway, this.gatewayAdmin);
  }

  async ready(child, admin) {
    await until(patience, `${child.name} to be ready`, async () => {
      assert.ok(!child.end, `${child.name} ended: ${JSON.stringify(child.end)}\n${child.tail()}`);
      const page = await httpGet(`${admin}/readyz`).catch(() => null);
      return page?.status === 200;
    });
  }

  // Every process must obey SIGTERM, end with status 0 and have written nothing but log events.
  async stop() {
    const problems = [];
    for (const child of this.children.reverse()) {
      const end = child.end ?? (await child.stop().catch((error) => ({ error })));
      const unreadable = child.events.filter((event) => event.event === 'unreadable');
      if (!child.expectedToDie && end.code !== 0) {
        problems.push(`${child.name} ended with ${JSON.stringify(end)} ${end.error ?? ''}`);
      }
      if (unreadable.length > 0) {
        problems.push(`${child.name} wrote: ${unreadable.map((at) => at.line).join('\n')}`);
      }
    }
    if (this.directory) await rm(this.directory, { recursive: true, force: true });
    assert.deepEqual(problems, []);
  }

  logs() {
    return this.children.map((child) => child.tail()).join('\n');
  }

  // Value of a metric of the gateway or the broker, by its name without prefix.
  async metric(name, process = 'gateway') {
    const page = await httpGet(`${this[`${process}Admin`]}/metrics`);
    const line = page.text.split('\n').find((at) => at.startsWith(`millrace_${process}_${name} `));
    assert.ok(line, `no metric ${name} in\n${page.text}`);
    return Number(line.split(' ')[1]);
  }
}

// A cluster for all scenarios of a file, and `scenario` to write them with.
export function sharedCluster(settings, options) {
  const cluster = new Cluster(settings, options);
  before(() => cluster.start(), { timeout: 3 * patience });
  after(() => cluster.stop(), { timeout: 3 * patience });
  return { cluster, scenario: (name, ...rest) => scenario(name, cluster, ...rest) };
}

// A test; `cluster` (or null) only says whose logs to show. options: those of node:test.
export function scenario(name, cluster, ...rest) {
  const body = rest.pop();
  test(name, { timeout: 3 * patience, ...rest[0] }, async (context) => {
    try {
      await body(context);
    } catch (error) {
      if (cluster) console.error(`logs at the failure of "${name}":\n${cluster.logs()}`);
      await undoAll().catch((second) => console.error(second));
      throw error;
    }
    await undoAll();
  });
}

// A scenario with a cluster of its own.
export function scenarioWith(name, settings, ...rest) {
  const body = rest.pop();
  const cluster = new Cluster(settings);
  scenario(name, cluster, ...rest, async (context) => {
    atEnd(() => cluster.stop());
    await cluster.start();
    await body(cluster, context);
  });
}

// --- HTTP ---

export async function httpGet(url, options) {
  const response = await fetch(url, { signal: AbortSignal.timeout(patience / 2), ...options });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

export { delay, once };
