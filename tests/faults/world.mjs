// What a fault happens to: a broker with its file, two gateways, a thousand subscribers of fifty
// addresses, two hundred publications a second, and the records of all that.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Gateway } from '../system/gateways.mjs';
import { atEnd, Child, Cluster, delay, freePort, httpGet, patience, programs, undoAll, until } from '../system/harness.mjs';
import { Herd, killed } from '../system/herd.mjs';
import { footprint } from '../system/mortal.mjs';
import { checkFiles } from './checker.mjs';
import { Publisher } from './publisher.mjs';
import { now, Records } from './records.mjs';

export const channels = 50;
export const prefix = 'load:room-';
const handlerFile = fileURLToPath(new URL('handler.mjs', import.meta.url));
const SETTLE_MS = 60000;

// A cluster with two gateways, each with a port of its own for clients, so that a client can leave one
// for the other. `environment(name)` gives a process what only this fault wants.
export class FaultCluster extends Cluster {
  constructor(settings, environment = () => ({})) {
    super(settings);
    this.environment = environment;
  }

  child(name) {
    const child = new Child(name, programs[name], ['--config', this.file], { env: this.environment(name) });
    this.children.push(child);
    return child;
  }

  async startGateway() {
    this.gateways = [];
    for (const name of ['one', 'two']) {
      const gateway = new Gateway(this, name, await freePort());
      gateway.clientPort = await freePort();
      this.gateways.push(gateway);
    }
    await Promise.all(this.gateways.map((gateway) => this.run(gateway)));
  }

  // The process of a gateway, until it is ready.
  async run(gateway) {
    await gateway.start({ MILLRACE_GATEWAY_LISTEN_PORT: `${gateway.clientPort}`, ...this.environment(gateway.name) });
  }
}

export class World {
  // fault: {id, settings?, environment?, prepare?}; size: {clients, perSecond, sideMs}; say(text): progress.
  constructor(fault, { seed, random, size, directory, say }) {
    Object.assign(this, { fault, seed, random, size, say });
    this.name = `${fault.id}-${seed}`;
    this.directory = join(directory, this.name);
    this.herds = [];
    this.paths = [];
    this.repairs = 0;
    this.descriptors = new Map(); // by process, before the fault
    this.isOver = false;
  }

  async start() {
    await mkdir(this.directory, { recursive: true });
    this.records = new Records(join(this.directory, 'suite.jsonl'));
    this.paths.push(this.records.path);
    this.cluster = new FaultCluster({ gateway: { drain_seconds: 3 } }, (name) => this.fault.environment?.(this, name) ?? {});
    await this.fault.prepare?.(this);
    const own = this.fault.settings?.(this) ?? {};
    for (const [section, values] of Object.entries(own)) {
      this.cluster.settings[section] = { ...this.cluster.settings[section], ...values };
    }
    atEnd(() => this.cluster.stop());
    await this.cluster.start();
    const half = Math.floor(this.size.clients / 2);
    const [one, two] = this.cluster.gateways;
    await Promise.all([
      this.herd([one, two], { connections: half, channels, prefix }),
      this.herd([two, one], { connections: this.size.clients - half, channels, prefix }),
    ]);
    this.publisher = new Publisher(this, { perSecond: this.size.perSecond, channels, prefix });
    await this.publisher.more(this.size.perSecond);
  }

  // Clients that are judged in the end; resolves when all are subscribed unless `wait` is false.
  // isWhole: all of them are to be subscribed in the end.
  async herd(gateways, options, { wait = true, isWhole = true } = {}) {
    const record = join(this.directory, `herd-${this.herds.length}.jsonl`);
    this.paths.push(record);
    const herd = Herd.start(gateways.map((gateway) => gateway.clientPort), { ...options, record });
    herd.size = options.connections;
    herd.isWhole = isWhole;
    herd.file = this.paths.length - 1;
    this.herds.push(herd);
    this.records.write('expect', { subscriptions: options.connections * (options.subscriptions ?? 1) });
    if (wait) await herd.event('subscribed');
    return herd;
  }

  // They go home before the end, with all that was acknowledged until now.
  async dismiss(herd) {
    const tops = new Map(this.publisher.tops);
    this.records.write('leaving', { of: herd.file });
    await until(SETTLE_MS, 'those who leave to have everything', () => this.haveAll([herd], tops)).catch((error) => this.say(error.message));
    const { faults } = await herd.report();
    this.records.write('left', { of: herd.file });
    this.records.write('faults', { faults });
    herd.isWhole = false;
    await herd.end();
  }

  // A process with the permission handler of the guarded addresses (handler.mjs), once it is registered.
  async handler(mode) {
    const path = join(this.directory, `handler-${this.paths.length}.jsonl`);
    const child = new Child(`handler ${mode}`, process.execPath, [handlerFile, this.cluster.endpoint, path, mode]);
    this.paths.push(path);
    await child.line('stdout', (line) => line === 'registered');
    atEnd(() => child.stop('SIGKILL'));
    return child;
  }

  // `ms` of load with nothing wrong, or with what was just injected.
  async load(ms) {
    const end = performance.now() + ms;
    while (performance.now() < end) {
      await delay(Math.min(1000, Math.max(0, end - performance.now())));
      this.status();
    }
  }

  status(what = '') {
    const { sent, acknowledged, open, refused } = this.publisher;
    this.say(`${what} published ${sent}, acknowledged ${acknowledged}, refused ${refused}, open ${open.size}`.trim());
  }

  inject(text) {
    this.records.write('inject', { text });
    this.say(text);
  }

  // From here on it may cost something, and whoever loses it is told.
  mayLose() {
    this.records.write('may_lose');
  }

  // Recovery counts from here.
  over() {
    this.isOver = true;
    this.records.write('over');
    this.say('over');
  }

  // How soon others than this herd have what is published is compared: before the fault, and with it.
  aside(herd) {
    this.records.write('aside', { of: herd.file });
  }

  async pace(when, work) {
    this.records.write('pace', { when });
    await work;
    this.records.write('pace', { when: null, judged: !this.size.isShort });
  }

  // The system did not keep what it promises for this fault.
  broken(invariant, text) {
    this.records.write('broken', { invariant, text });
    this.say(`${invariant}: ${text}`);
  }

  // As until(), but what does not come is a violation and not the end.
  async expect(ms, invariant, what, ask) {
    const began = now();
    try {
      await until(ms, what, ask);
    } catch (error) {
      this.broken(invariant, error.message);
    }
    return Math.round(now() - began);
  }

  // --- what may happen to processes ---

  async #countRepairs(gateway) {
    this.repairs += await gateway.metric('repaired_total').catch(() => 0);
  }

  async killGateway(gateway) {
    await this.#countRepairs(gateway);
    await gateway.end('SIGKILL');
  }

  async killBroker() {
    await killed(this.cluster.broker);
  }

  // All are subscribed, wherever.
  async whole(ms = SETTLE_MS) {
    await this.expect(ms, 'I4', 'all clients to be subscribed', async () => {
      const reports = await Promise.all(this.herds.filter((herd) => herd.isWhole).map((herd) => herd.report()));
      return reports.every((report) => report.whole === report.connections);
    });
  }

  // Nobody is left behind: each process says that it can do its work.
  async ready(ms = 30000) {
    const pages = { broker: this.cluster.brokerAdmin };
    for (const { name, admin } of this.cluster.gateways) pages[name] = admin;
    for (const [name, page] of Object.entries(pages)) {
      await this.expect(ms, 'I4', `${name} to be ready again`, async () => {
        const answer = await httpGet(`${page}/readyz`).catch(() => null);
        return answer?.status === 200;
      });
    }
  }

  processes() {
    const all = { broker: this.cluster.broker };
    for (const gateway of this.cluster.gateways) all[gateway.name] = gateway.child;
    return all;
  }

  // Without the sockets of clients, who may be at another gateway now, and without the history that was published.
  async sizeOf(name, child) {
    const gateway = this.cluster.gateways.find((one) => one.name === name);
    const size = await footprint(child);
    if (gateway) return { ...size, descriptors: size.descriptors - (await gateway.metric('sockets')) };
    return { ...size, rss: size.rss - (await this.cluster.metric('retained_bytes', 'broker')) };
  }

  async measure(when) {
    for (const [process, child] of Object.entries(this.processes())) {
      const size = await this.sizeOf(process, child).catch(() => null);
      if (size && when === 'before') this.descriptors.set(process, size.descriptors);
      if (size) this.records.write('footprint', { process, when, ...size });
      else this.broken('I6', `${process} does not live ${when} the fault`);
    }
  }

  // --- the end ---

  // Are they subscribed, and have what was acknowledged last at each address?
  async #hasAll(herd, tops) {
    const report = await herd.report();
    if (herd.isWhole && report.whole !== report.connections) return false;
    const positions = await herd.positions();
    for (const [address, { epoch, offset }] of tops) {
      const place = positions[address];
      if (place?.live && (place.mixed || place.epoch !== epoch || place.lowest < offset)) return false;
    }
    return true;
  }

  // So it is for all of these herds; tops: those of the publisher, or what they were.
  async haveAll(herds, tops = this.publisher.tops) {
    for (const herd of herds) if (!(await this.#hasAll(herd, tops))) return false;
    return true;
  }

  // Descriptors of clients that came and went are given back within seconds.
  async #rested() {
    await until(15000, 'descriptors', async () => {
      for (const [name, child] of Object.entries(this.processes())) {
        const { descriptors } = await this.sizeOf(name, child);
        if (descriptors > this.descriptors.get(name) + 15) return false;
      }
      return true;
    }).catch(() => {});
  }

  // The whole run; its row.
  async run() {
    try {
      await this.start();
      await this.load(this.size.sideMs);
      await this.measure('before');
      await this.fault.run(this);
      if (!this.isOver) this.over();
      await this.load(this.size.sideMs);
      await this.whole();
      await this.ready();
      await this.publisher.stop();
      await until(SETTLE_MS, 'all to have everything', () => this.haveAll(this.herds.filter(({ child }) => !child.end))).catch((error) => this.say(error.message));
      await this.#rested();
      await this.measure('after');
      return await this.#judge();
    } finally {
      await this.publisher?.stop();
      await undoAll();
    }
  }

  async #judge() {
    await Promise.all(this.cluster.gateways.map((gateway) => this.#countRepairs(gateway)));
    this.records.write('repaired', { count: this.repairs });
    for (const herd of this.herds) {
      if (herd.child.end) continue;
      const { faults } = await herd.report();
      this.records.write('faults', { faults });
      await herd.end();
    }
    await this.records.end();
    const row = await checkFiles(this.paths);
    this.say(`checked: ${row.violations} violations; the last trouble was ${row.last_trouble || 'none'}, ${row.recovery_ms} ms after the fault`);
    if (row.pace) this.say(`others, p99: ${row.pace.p99_during_ms} ms, before ${row.pace.p99_before_ms} ms`);
    if (row.violations === 0) await rm(this.directory, { recursive: true });
    return { ...row, directory: this.directory };
  }

  logs() {
    return this.cluster?.logs() ?? '';
  }
}

export { delay, patience, until };
