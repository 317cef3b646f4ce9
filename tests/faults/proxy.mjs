// A TCP proxy that does to a link what networks do: delay, stall, loss in one direction, bytes flipped,
// connections that end after so many bytes. For any protocol; it reads nothing.
//
// As a program (for a network namespace of its own): node proxy.mjs LISTEN TARGET, where LISTEN is
// HOST:PORT and TARGET the same or the path of a socket; says "listening" and obeys a line of JSON
// each, the arguments of behave().
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const target = (text) => (text.includes('/') ? { path: text } : { host: text.split(':')[0], port: Number(text.split(':')[1]) });

export class Proxy {
  // `to` may be a function: known when the first connection comes.
  static async open(listen, to) {
    const proxy = new Proxy(to);
    const [host, port] = listen.split(':');
    proxy.server = createServer((socket) => proxy.#join(socket)).listen(Number(port), host);
    await once(proxy.server, 'listening');
    proxy.port = proxy.server.address().port;
    return proxy;
  }

  constructor(to) {
    this.to = to;
    this.sockets = new Set();
    this.flows = new Set();
    this.flipped = 0;
    this.behave();
  }

  // What it does from now on, to bytes towards the target (`up`) and from it (`down`):
  //   up, down     'pass', or 'stall': nothing goes that way until it passes again; then all of it does
  //   delayMs      how much later bytes arrive, up to jitterMs more
  //   flip         {first, last, way}: one bit between these two bytes of each new connection is flipped; way:
  //                'up' or 'down', without it both
  //   endAfter     a new connection ends after so many bytes
  //   cut          true: all connections end now
  behave({ up = 'pass', down = 'pass', delayMs = 0, jitterMs = 0, flip = null, endAfter = Infinity, cut = false } = {}) {
    Object.assign(this, { up, down, delayMs, jitterMs, flip, endAfter });
    if (cut) for (const socket of this.sockets) socket.destroy();
    for (const flow of this.flows) flow.go();
  }

  close() {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  #join(near) {
    const to = typeof this.to === 'function' ? this.to() : this.to;
    const far = connect(target(to));
    for (const [socket, other] of [[near, far], [far, near]]) {
      this.sockets.add(socket);
      socket.setNoDelay?.(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
    const both = [new Flow(this, 'up', near, far), new Flow(this, 'down', far, near)];
    for (const flow of both) this.flows.add(flow);
    near.on('close', () => both.forEach((flow) => this.flows.delete(flow)));
  }
}

// One direction of one connection. Bytes keep their order, whatever their delays.
class Flow {
  constructor(proxy, direction, from, to) {
    Object.assign(this, { proxy, direction, from, to, seen: 0, queue: [], lastMs: 0, timer: null });
    const flip = proxy.flip?.way === undefined || proxy.flip.way === direction ? proxy.flip : null;
    this.flipAt = flip ? flip.first + Math.floor(Math.random() * (flip.last - flip.first)) : -1;
    this.endAfter = proxy.endAfter;
    from.on('data', (data) => this.#take(data));
  }

  #take(data) {
    const { proxy } = this;
    const at = this.flipAt - this.seen;
    if (at >= 0 && at < data.length) {
      data[at] ^= 1 << Math.floor(Math.random() * 8);
      proxy.flipped++;
    }
    this.seen += data.length;
    const due = performance.now() + proxy.delayMs + Math.random() * proxy.jitterMs;
    this.lastMs = Math.max(this.lastMs, due);
    this.queue.push({ data, due: this.lastMs });
    this.go();
  }

  // Sends what is due. Stalled, the sender is stopped too: its socket fills, as in life.
  go() {
    clearTimeout(this.timer);
    if (this.proxy[this.direction] === 'stall') {
      this.from.pause();
      return;
    }
    this.from.resume();
    while (this.queue.length > 0 && this.queue[0].due <= performance.now()) this.to.write(this.queue.shift().data);
    if (this.queue.length > 0) this.timer = setTimeout(() => this.go(), Math.max(1, this.queue[0].due - performance.now()));
    if (this.seen >= this.endAfter) this.from.destroy();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [listen, to] = process.argv.slice(2);
  const proxy = await Proxy.open(listen, to);
  console.log('listening');
  createInterface({ input: process.stdin }).on('line', (line) => proxy.behave(JSON.parse(line))).on('close', () => process.exit(0));
}
