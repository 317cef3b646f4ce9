// `./dev run` on free ports, and what it started.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildDir, Child, freePort, httpGet, patience, root, until, within } from './harness.mjs';

// MILLRACE_ variables for a node of its own with this many gateways; `ports` are the numbers.
export async function freeNode(gateways) {
  const [control, publications, backends, brokerAdmin, client] = await Promise.all(Array.from({ length: 5 }, freePort));
  const admin = await freeRange(gateways);
  const tcp = (port) => `tcp://127.0.0.1:${port}`;
  return {
    ports: { control, publications, backends, brokerAdmin, client, admin },
    env: {
      BUILD_DIR: buildDir,
      MILLRACE_BROKER_CONTROL: tcp(control),
      MILLRACE_BROKER_PUBLICATIONS: tcp(publications),
      MILLRACE_BROKER_BACKENDS: tcp(backends),
      MILLRACE_BROKER_ADMIN_PORT: `${brokerAdmin}`,
      MILLRACE_GATEWAY_CONTROL: tcp(control),
      MILLRACE_GATEWAY_PUBLICATIONS: tcp(publications),
      MILLRACE_GATEWAY_LISTEN_PORT: `${client}`,
      MILLRACE_GATEWAY_ADMIN_PORT: `${admin}`,
    },
  };
}

// The first of so many free ports in a row.
export async function freeRange(count) {
  for (let first = await freePort(), last = first; ; last = await freePort()) {
    if (last - first === count - 1) return first;
    if (last - first >= count || last < first) first = last;
  }
}

// What a process is, by its program and, for a gateway, its settings; undefined for any other.
function nameOf(pid) {
  try {
    const [program, script] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').map((word) => word.split('/').at(-1));
    if (script === 'permissions.mjs') return 'permissions';
    if (program === 'millrace-broker') return 'broker';
    if (program !== 'millrace-gateway') return undefined;
    return readFileSync(`/proc/${pid}/environ`, 'utf8').match(/(?:^|\0)MILLRACE_GATEWAY_NAME=([^\0]*)/)[1];
  } catch {
    return undefined; // it has ended meanwhile
  }
}

export class DevRun {
  // Starts it and waits until it says that it runs.
  static async start(args = [], env = {}) {
    const started = await DevRun.launch(args, env);
    await started.line('Ctrl-C stops', 2 * patience);
    return started;
  }

  static async launch(args = [], env = {}) {
    const gateways = Math.max(1, Number(args[args.indexOf('--gateways') + 1]) || 1);
    const free = await freeNode(gateways);
    return new DevRun(new Child('./dev run', join(root, 'dev'), ['run', ...args], { env: { ...free.env, ...env }, input: '' }), free.ports);
  }

  constructor(child, ports) {
    this.child = child;
    this.ports = ports;
    this.page = `http://127.0.0.1:${ports.client}/`;
    this.endpoint = `tcp://127.0.0.1:${ports.backends}`;
  }

  // The first line it printed, from line number `from` on, with this text in it.
  line(text, ms = patience, from = 0) {
    return this.child.line('stdout', (line) => line.includes(text), ms, from);
  }

  // {name: pid} of the processes that it has started and that live: broker, permissions, gateway-1 ...
  get processes() {
    const { pid } = this.child;
    const names = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/ +/).map((child) => [nameOf(child), Number(child)]);
    return Object.fromEntries(names.filter(([name]) => name));
  }

  pid(name) {
    const { [name]: pid } = this.processes;
    assert.ok(pid, `no ${name} among ${JSON.stringify(this.processes)}`);
    return pid;
  }

  adminPort(name) {
    return name === 'broker' ? this.ports.brokerAdmin : this.ports.admin + Number(name.split('-').at(-1)) - 1;
  }

  signalGateway(name, signal) {
    process.kill(this.pid(name), signal);
  }

  async ready(name) {
    await until(patience, `${name} to be ready`, async () => {
      const page = await httpGet(`http://127.0.0.1:${this.adminPort(name)}/readyz`).catch(() => null);
      return page?.status === 200;
    });
  }

  // Returns how it ended. Nothing that it started is left; what is left is killed, and that fails.
  // (SIGINT is what Ctrl-C sends, but a shell that was started in the background never gets it.)
  async stop(signal = 'SIGTERM', ms = patience) {
    const before = Object.entries(this.child.end ? {} : this.processes);
    this.child.signal(signal);
    const end = await within(ms, 'the end of ./dev run', this.child.exited).catch((error) => ({ error }));
    const left = before.filter(([name, pid]) => nameOf(pid) === name);
    this.child.signal('SIGKILL');
    for (const [, pid] of left) process.kill(pid, 'SIGKILL');
    if (end.error) throw end.error;
    assert.deepEqual(left, [], 'processes that are left');
    return end;
  }
}
