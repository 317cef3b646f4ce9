// A link that is a network: a namespace of its own with a veth pair, so that the kernel loses what is
// to be lost. The relay in there hands on to a socket of the broker. Only root may make one.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { atEnd, Child, run } from '../system/harness.mjs';

const relay = fileURLToPath(new URL('proxy.mjs', import.meta.url));
const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
let last = 0;

// Why not, or null.
export async function unableToPartition() {
  if (process.getuid() !== 0) return 'network namespaces need root';
  const { code, stderr } = await run('ip', ['netns', 'add', `millrace-${process.pid}-try`]).catch((error) => ({ code: 1, stderr: error.message }));
  if (code !== 0) return `no network namespace: ${stderr.trim()}`;
  ip('netns', 'del', `millrace-${process.pid}-try`);
  return null;
}

export class Network {
  // host: the address of its far end.
  static open() {
    const network = new Network();
    const { name, near, far, subnet } = network;
    ip('netns', 'add', name);
    atEnd(() => network.close());
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far);
    ip('link', 'set', far, 'netns', name);
    ip('addr', 'add', `${subnet}.1/30`, 'dev', near);
    ip('link', 'set', near, 'up');
    network.inside('ip', 'addr', 'add', `${subnet}.2/30`, 'dev', far);
    network.inside('ip', 'link', 'set', far, 'up');
    network.inside('ip', 'link', 'set', 'lo', 'up');
    return network;
  }

  constructor() {
    const number = ++last;
    this.name = `millrace-${process.pid}-${number}`;
    this.near = `mr${process.pid % 100000}n${number}`;
    this.far = `mr${process.pid % 100000}f${number}`;
    this.subnet = `10.${200 + (process.pid % 50)}.${(process.pid >> 6) % 250}`;
    this.host = `${this.subnet}.2`;
    this.relays = [];
  }

  inside(...command) {
    execFileSync('ip', ['netns', 'exec', this.name, ...command], { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  // Listens at host:port and hands on to the socket at `path`.
  async relay(port, path) {
    const child = new Child('relay', 'ip', ['netns', 'exec', this.name, process.execPath, relay, `${this.host}:${port}`, path]);
    this.relays.push(child);
    await child.line('stdout', (line) => line === 'listening');
  }

  // What is sent from the near end gets lost ('near'), from the far end ('far'), from both, or from none.
  lose(which) {
    const wrong = '02:00:00:00:00:99';
    const ways = {
      near: [(...args) => ip(...args), `${this.subnet}.2`, this.near],
      far: [(...args) => this.inside('ip', ...args), `${this.subnet}.1`, this.far],
    };
    for (const [name, [command, address, device]] of Object.entries(ways)) {
      const isLost = which === 'both' || which === name;
      // To an Ethernet address that nobody has: the kernel of the other end throws it away.
      if (isLost) command('neigh', 'replace', address, 'lladdr', wrong, 'dev', device, 'nud', 'permanent');
      else command('neigh', 'flush', 'dev', device, 'nud', 'permanent');
    }
  }

  async close() {
    for (const child of this.relays) await child.stop('SIGKILL');
    ip('netns', 'del', this.name);
  }
}
