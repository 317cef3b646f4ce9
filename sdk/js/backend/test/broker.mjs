// broker - the other end of the socket, played in this process.
//
// Answers by itself what the broker answers (ping, handle, unhandle); tests replace answers, ask
// checks, go away and come back.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { connect } from '@millrace/backend';
import { decode, encode } from '@msgpack/msgpack';
import { Router } from 'zeromq';

const PATIENCE_MS = 20000;

export async function eventually(condition, what = 'the condition') {
  const end = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`still waiting for ${what}: ${condition}`);
    await pause(5);
  }
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

export class FakeBroker {
  requests = []; // all that came, without pings, each with its `peer`
  answers = []; // all that came, each with its `peer`
  log = []; // the ops of all that came, in order, pings included
  backends = []; // that are closed before it
  worker = null; // the peer that said `handle` last
  instance = 'one';
  reply = {
    ping: () => ({ instance: this.instance }),
    handle: () => ({}),
    unhandle: ({ handlers }) => ({ removed: handlers.length }),
    publish: () => ({ epoch: 'e', offset: 1 }),
  };
  #sending = Promise.resolve();
  #lastId = 0;

  // test: the context, at whose end it is closed. isAway: until start() it is not there.
  static async open(test, { isAway = false } = {}) {
    const broker = new FakeBroker();
    broker.endpoint = `tcp://127.0.0.1:${await freePort()}`;
    test.after(async () => {
      await Promise.all(broker.backends.map((backend) => backend.close({ now: true })));
      await broker.stop();
    });
    if (!isAway) await broker.start();
    return broker;
  }

  async start() {
    const router = new Router({ linger: 0, sendHighWaterMark: 0, receiveHighWaterMark: 0 });
    const end = performance.now() + PATIENCE_MS;
    // The port is free again a moment after the last socket was closed.
    while (!(await router.bind(this.endpoint).then(() => true, () => false))) {
      if (performance.now() > end) throw new Error(`${this.endpoint} does not become free`);
      await pause(10);
    }
    this.router = router;
    this.receiving = this.#receive(router);
  }

  async stop() {
    this.router?.close();
    await this.receiving;
  }

  async #receive(router) {
    for await (const [peer, bytes] of router) {
      const request = { ...decode(bytes, { useBigInt64: true }), peer: peer.toString('hex') };
      this.log.push(request.op);
      if (request.op === 'answer') this.answers.push(request);
      else this.#requested(request);
    }
  }

  // reply.OP: the reply's body; {error}: a refusal; null: no reply.
  #requested(request) {
    const { op, id, peer } = request;
    if (op !== 'ping') this.requests.push(request);
    if (op === 'handle') this.worker = peer;
    const body = this.reply[op]?.(request) ?? null;
    if (body) this.send(peer, { id, ok: !body.error, ...body });
  }

  send(peer, message) {
    return this.raw(peer, encode(message, { useBigInt64: true, ignoreUndefined: true }));
  }

  raw(peer, bytes) {
    const { router } = this;
    this.#sending = this.#sending.then(() => router.send([Buffer.from(peer, 'hex'), bytes])).catch(() => {});
    return this.#sending;
  }

  // Asks the worker, and returns its answers. A check: 'chat', 'chat:room' or what goes over the wire.
  async check(checks, id = ++this.#lastId) {
    await this.ask(checks, id);
    await eventually(() => this.answersTo(id).length > 0, `the answers to check ${id}`);
    const [answer] = this.answersTo(id);
    return answer.answers;
  }

  async ask(checks, id) {
    await eventually(() => this.worker, 'a worker');
    await this.send(this.worker, { op: 'check', id, checks: checks.map(wire) });
  }

  answersTo(id) {
    return this.answers.filter((at) => at.id === id);
  }

  of(op) {
    return this.requests.filter((at) => at.op === op);
  }

  // What was registered, in order: ['', 'chat', 'chat:room'], one list a request.
  registered(op = 'handle') {
    return this.of(op).map(({ handlers }) => handlers.map(({ channel = '', resource }) => channel + (resource ? `:${resource}` : '')));
  }
}

export function wire(check) {
  if (typeof check !== 'string') return check;
  const [channel, resource] = check.split(':');
  return { channel, resource, subscriber: { id: 'u-1', type: 'MEMBER' }, site: 'main', context: { request_id: 'r-1' } };
}

// A connection to it, and what its onHandlerError was told.
export function backendOf(broker, settings = {}) {
  const reports = [];
  const backend = connect({ endpoint: broker.endpoint, onHandlerError: (error, about) => reports.push({ error, about }), ...settings });
  broker.backends.push(backend);
  return { backend, router: backend.permissionsRouter, reports };
}

export function refusal(name, rule) {
  return (error) => {
    assert.equal(error.name, name, `${error.stack}`);
    assert.match(error.message, rule);
    return true;
  };
}
