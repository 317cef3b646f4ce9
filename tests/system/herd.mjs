// Load for the processes: herds of clients (bench/herd.c), a steady flow of publications that knows
// what was acknowledged, one more gateway, and a look at what else uses the machine.
import assert from 'node:assert/strict';
import { encode } from '@msgpack/msgpack';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Backend } from './backend.mjs';
import { Gateway } from './gateways.mjs';
import { atEnd, buildDir, Child, delay, freePort, living, patience, until, within } from './harness.mjs';

// --- processes ---

// One more gateway of a cluster, on a port of its own for clients.
export async function otherGateway(cluster, name) {
  const [clientPort, adminPort] = await Promise.all([freePort(), freePort()]);
  const gateway = new Gateway(cluster, name, adminPort);
  await gateway.start({ MILLRACE_GATEWAY_LISTEN_PORT: `${clientPort}` });
  return Object.assign(gateway, { clientPort });
}

// As kill -9 does; returns when it is gone.
export async function killed(child) {
  child.expectedToDie = true;
  child.signal('SIGKILL');
  await within(patience, `the end of ${child.name}`, child.exited);
}

// --- the machine ---

const ticksPerSecond = 100; // of /proc on every Linux that Node.js runs on

// CPU time in /proc/PID/stat, from field `first` (counted from 1) on, of `count` fields.
async function ticks(pid, first, count) {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields.slice(first - 3, first - 3 + count).reduce((sum, field) => sum + Number(field), 0);
}

// CPU seconds that others than this test and its processes have used so far.
async function othersSeconds() {
  const [, user, nice, system, , , irq, softirq, steal] = (await readFile('/proc/stat', 'utf8')).split(/\s+/, 9).map(Number);
  const own = await Promise.all([ticks('self', 14, 4), ...[...living].map(({ pid }) => ticks(pid, 14, 2))]);
  return (user + nice + system + irq + softirq + steal - own.reduce((sum, one) => sum + one, 0)) / ticksPerSecond;
}

// Begins to watch; the returned function says how many processors others have used on average since:
// times mean little on a machine that has no time.
export async function watchOthers() {
  const began = performance.now();
  const before = await othersSeconds();
  return async () => Math.max(0, (await othersSeconds()) - before) / ((performance.now() - began) / 1000);
}

// --- clients ---

export class Herd {
  // options: the arguments of bench/herd, {connections: 100, inFlight: 10}. `ports`: where a client goes
  // first, and then in turn whenever it loses a connection or cannot get one.
  static start(ports, options) {
    const targets = ports.map((port) => `127.0.0.1:${port}`).join(',');
    const args = Object.entries({ targets, ...options }).flatMap(([name, value]) => [
      `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, value,
    ]);
    const herd = new Herd(new Child('herd', join(buildDir, 'bench/herd'), args));
    atEnd(() => herd.end());
    return herd;
  }

  constructor(child) {
    this.child = child;
    this.lines = 0; // of standard output that ask() has looked at
    this.asking = Promise.resolve();
  }

  // Commands are answered in turn; events may come in between.
  ask(command, key) {
    this.asking = this.asking.then(async () => {
      const from = this.child.stdout.length;
      this.child.process.stdin.write(`${command}\n`);
      return JSON.parse(await this.child.line('stdout', (line) => line.startsWith(`{"${key}"`), patience, from));
    });
    return this.asking;
  }

  report() {
    return this.ask('report', 'connections');
  }

  async positions() {
    return (await this.ask('positions', 'positions')).positions;
  }

  reset() {
    return this.ask('reset', 'reset');
  }

  // The first time that all are connected or subscribed.
  async event(name, ms = patience) {
    return JSON.parse(await this.child.line('stdout', (line) => line.startsWith(`{"event":"${name}"`), ms));
  }

  // A report that `accept` likes.
  async reports(what, accept, ms) {
    let report;
    try {
      return await until(ms, what, async () => {
        report = await this.report();
        return accept(report) && report;
      });
    } catch (error) {
      throw new Error(`${error.message}: ${JSON.stringify(report)}\n${this.child.tail(3)}`);
    }
  }

  async end() {
    if (this.child.end) return;
    this.child.process.stdin.end('quit\n');
    const { code } = await within(patience, 'the end of the herd', this.child.exited);
    assert.equal(code, 0, this.child.tail());
  }
}

// --- publications ---

// About `perSecond` publications a second over `channels` addresses, prefix0, prefix1 ..., without
// waiting for answers. Each payload says which address it is for and the how-manieth one there.
export class Flow {
  constructor(cluster, { perSecond, channels, prefix }) {
    const [channel, resource] = prefix.split(':');
    Object.assign(this, { perSecond, channels, channel, resource });
    this.backend = Backend.open(cluster);
    this.numbers = new Array(channels).fill(0);
    this.pending = new Map(); // id -> when it was sent
    this.sent = 0;
    this.acknowledged = 0;
    this.lastAck = 0;
    this.firstAcks = []; // resolve functions
    this.final = new Map(); // address -> {epoch, offset} of the last acknowledged publication
    this.slowest = 0; // ms from a request to its acknowledgement
    this.work = this.#run();
    atEnd(() => this.#end());
  }

  #publish() {
    const at = this.sent++ % this.channels;
    const resource = `${this.resource}${at}`;
    const address = `${this.channel}:${resource}`;
    const id = ++this.backend.lastId;
    const sent = performance.now();
    this.pending.set(id, sent);
    this.backend.replies.set(id, (reply) => this.#acknowledge(id, address, sent, reply));
    const payload = { n: ++this.numbers[at], a: address, pad: 'x'.repeat(64) };
    this.backend.raw(encode({ op: 'publish', id, channel: this.channel, resource, payload }));
  }

  #acknowledge(id, address, sent, reply) {
    this.pending.delete(id);
    this.failure ??= reply.ok ? null : reply;
    if (!reply.ok) return;
    this.acknowledged++;
    this.lastAck = performance.now();
    this.slowest = Math.max(this.slowest, this.lastAck - sent);
    this.final.set(address, { epoch: reply.epoch, offset: reply.offset });
    for (const done of this.firstAcks.splice(0)) done({ sent, at: this.lastAck });
  }

  async #run() {
    const began = performance.now();
    while (!this.stopped) {
      const due = ((performance.now() - began) / 1000) * this.perSecond;
      while (this.sent < due) this.#publish();
      await delay(10);
    }
  }

  // The next acknowledgement: {sent, at}.
  nextAck(ms = patience) {
    return within(ms, 'an acknowledgement', new Promise((done) => this.firstAcks.push(done)));
  }

  // Resolves when `count` more have been acknowledged.
  async more(count, ms = patience) {
    const goal = this.acknowledged + count;
    await until(ms, `${count} acknowledgements`, () => this.acknowledged >= goal);
  }

  #end() {
    this.stopped = true;
    return this.work;
  }

  // Ends the flow; all requests but `lost` ones (sent to a broker that died) must have been accepted.
  async stop(lost = () => false) {
    await this.#end();
    await until(patience, 'the last acknowledgements', () => [...this.pending.values()].every(lost));
    assert.equal(this.failure, null, JSON.stringify(this.failure));
  }
}

// Every subscription is at the last acknowledged publication of its address: nothing is missing.
export async function settled(herds, flow, ms = patience) {
  for (const herd of herds) {
    let positions;
    const isThere = ([address, { epoch, offset }]) => {
      const place = positions[address];
      return !place.mixed && place.epoch === epoch && place.lowest === place.highest && place.lowest >= offset;
    };
    try {
      await until(ms, 'all clients to have everything', async () => {
        positions = await herd.positions();
        return [...flow.final].every(isThere);
      });
    } catch (error) {
      const [address, final] = [...flow.final].find((entry) => !isThere(entry));
      throw new Error(`${error.message}: ${address} is at ${JSON.stringify(final)}, ` +
        `clients at ${JSON.stringify(positions[address])}`);
    }
  }
}

export function assertNoFaults(report) {
  const none = Object.fromEntries(Object.keys(report.faults).map((name) => [name, 0]));
  assert.deepEqual(report.faults, none);
}
