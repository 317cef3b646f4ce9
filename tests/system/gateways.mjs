// A node with several gateways, each of which may be stopped, killed and started on its own. They
// share one port for clients. And a link to the broker that loses what a test says.
import { connect, createServer } from 'node:net';
import { atEnd, Child, Cluster, deploySettings, freePort, httpGet, once, programs } from './harness.mjs';

export class Gateway {
  constructor(cluster, name, adminPort) {
    this.cluster = cluster;
    this.name = name;
    this.adminPort = adminPort;
    this.admin = `http://127.0.0.1:${adminPort}`;
  }

  // Starts the process and does not wait for anything.
  spawn(env = {}) {
    this.child = new Child(this.name, programs.gateway, ['--config', this.cluster.file], {
      env: { MILLRACE_GATEWAY_NAME: this.name, MILLRACE_GATEWAY_ADMIN_PORT: `${this.adminPort}`, ...env },
    });
    this.cluster.children.push(this.child);
    return this.child;
  }

  async start(env) {
    this.spawn(env);
    await this.ready();
  }

  ready() {
    return this.cluster.ready(this.child, this.admin);
  }

  // By this signal; a killed process is not expected to say goodbye.
  async end(signal) {
    this.child.expectedToDie = signal === 'SIGKILL';
    return this.child.stop(signal);
  }

  async readiness() {
    const { status, text } = await httpGet(`${this.admin}/readyz`);
    return { status, ...JSON.parse(text) };
  }

  async metric(name) {
    const { text } = await httpGet(`${this.admin}/metrics`);
    return Number(text.match(new RegExp(`^millrace_gateway_${name} (\\d+)$`, 'm'))[1]);
  }
}

export class ManyGateways extends Cluster {
  constructor(settings = {}, names = ['one', 'two'], { base } = {}) {
    const shared = base === deploySettings ? {} : { reuse_port: 'yes' };
    super({ ...settings, gateway: { ...shared, ...settings.gateway } }, { base });
    this.names = names;
  }

  // Instead of the one gateway of a cluster.
  async startGateway() {
    this.gateways = await Promise.all(this.names.map(async (name) => new Gateway(this, name, await freePort())));
    await Promise.all(this.gateways.map((gateway) => gateway.start()));
  }

  async endBroker(signal) {
    this.broker.expectedToDie = signal === 'SIGKILL';
    return this.broker.stop(signal);
  }
}

// Between the SUB socket of a cluster's gateway and the broker's XPUB: `lose(body)` says of each
// message whether it is dropped on its way. Connections, heartbeats and all else pass, until `cut`.
export class LossyLink {
  static async open(cluster) {
    const link = new LossyLink();
    const port = await freePort();
    link.target = () => cluster.sections.broker.publications; // known when the cluster starts
    link.server = createServer((socket) => link.#join(socket)).listen(port, '127.0.0.1');
    await once(link.server, 'listening');
    atEnd(() => link.#close());
    cluster.settings.gateway = { ...cluster.settings.gateway, publications: `tcp://127.0.0.1:${port}` };
    return link;
  }

  constructor() {
    this.lose = () => false;
    this.lost = 0;
    this.sockets = new Set();
  }

  #close() {
    this.server.close();
    this.cut();
  }

  // Every connection breaks, once; the gateway may come again.
  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  #join(near) {
    const far = connect(Number(this.target().split(':').at(-1)), '127.0.0.1');
    for (const [socket, other] of [[near, far], [far, near]]) {
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
    near.on('data', (data) => far.write(data));
    let rest = Buffer.alloc(0);
    let greeting = 64; // bytes of it to come; each side waits for parts of the other's
    far.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      const out = [rest.subarray(0, greeting)];
      greeting -= out[0].length;
      rest = rest.subarray(out[0].length);
      for (let frame; greeting === 0 && (frame = zmtpFrame(rest)); rest = rest.subarray(frame.size)) {
        if (!frame.isCommand && this.lose(frame.body)) this.lost++;
        else out.push(rest.subarray(0, frame.size));
      }
      near.write(Buffer.concat(out));
    });
  }
}

// ZMTP 3, section "framing": flags (2: long, 4: command), a length of 1 or 8 bytes, the body.
function zmtpFrame(bytes) {
  if (bytes.length < 2) return null;
  const isLong = (bytes[0] & 2) !== 0;
  const head = isLong ? 9 : 2;
  if (bytes.length < head) return null;
  const size = head + (isLong ? Number(bytes.readBigUInt64BE(1)) : bytes[1]);
  if (bytes.length < size) return null;
  return { size, isCommand: (bytes[0] & 4) !== 0, body: bytes.subarray(head, size) };
}
