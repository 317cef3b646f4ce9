// The three ways to publish with our packages, behind one face: JavaScript, Python blocking, Python asyncio.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { connect } from '@millrace/backend';
import { decode, encode } from '@msgpack/msgpack';
import { Router } from 'zeromq';
import { atEnd, Child, freePort, patience, root, skipLarge, until, within } from './harness.mjs';

// Settings and options in JavaScript's words: timeoutMs, maxPending.
class JavaScript {
  static async open(settings) {
    const backend = connect(settings);
    atEnd(() => backend.close({ now: true }));
    return new JavaScript(backend);
  }

  constructor(backend) {
    this.backend = backend;
  }

  publish(channel, payload, options) {
    return this.backend.publish(channel, payload, options);
  }

  publishMany(items) {
    return this.backend.publishMany(items);
  }

  history(channel, options) {
    return this.backend.history(channel, options);
  }

  ping() {
    return this.backend.ping();
  }

  async state() {
    return this.backend.state;
  }

  close(options) {
    return this.backend.close(options);
  }
}

class PackageError extends Error {
  constructor(told) {
    super(told.message);
    Object.assign(this, told);
  }
}

// timeoutMs: 5 -> timeout: 0.005, maxPending -> max_pending
function pythonic(options = {}) {
  const words = Object.entries(options).map(([name, value]) =>
    name === 'timeoutMs' ? ['timeout', value / 1000] : [name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]);
  return Object.fromEntries(words);
}

export const python = '/usr/bin/python3';
export const pythonEnvironment = { PYTHONPATH: join(root, 'sdk/python'), PYTHONDONTWRITEBYTECODE: '1' };

class Python {
  static async open(kind, settings) {
    const child = new Child(`python ${kind}`, python, [join(root, 'tests/system/python_backend.py'), kind], { env: pythonEnvironment });
    const backend = new Python(child);
    atEnd(() => child.stop('SIGKILL'));
    await within(patience, 'python to start', backend.call('connect', [], settings));
    return backend;
  }

  constructor(child) {
    this.child = child;
    this.lastId = 0;
    this.waiting = new Map();
    child.on('line', (stream, line) => {
      if (stream === 'stdout') this.#decide(JSON.parse(line));
      if (stream !== 'end') return;
      for (const { fail } of this.waiting.values()) fail(new Error(`python ended\n${child.tail()}`));
    });
  }

  #decide({ id, value, error }) {
    const { done, fail } = this.waiting.get(id);
    this.waiting.delete(id);
    if (error) fail(new PackageError(error));
    else done(value);
  }

  call(op, args, options) {
    const id = ++this.lastId;
    const answer = new Promise((done, fail) => this.waiting.set(id, { done, fail }));
    this.child.process.stdin.write(`${JSON.stringify({ id, op, arguments: args, options: pythonic(options) })}\n`);
    return answer;
  }

  async publish(channel, payload, options) {
    return withoutFalse(await this.call('publish', [channel, payload], options));
  }

  async publishMany(items) {
    return (await this.call('publish_many', [items])).map(withoutFalse);
  }

  async history(channel, options = {}) {
    const { since, ...rest } = options;
    if (since) throw new Error('since is a tuple there: not for these tests');
    const { publications, ...position } = await this.call('history', [channel], rest);
    return { publications: publications.map(({ publisher, ...at }) => (publisher ? { ...at, publisher: { id: publisher } } : at)), ...position };
  }

  ping() {
    return this.call('ping', []);
  }

  state() {
    return this.call('state', []);
  }

  close(options) {
    return this.call('close', [], options);
  }
}

function withoutFalse({ duplicate, ...published }) {
  return duplicate ? { ...published, duplicate } : published;
}

// The broker does not see who asks: where it is slow, one is enough.
export const kinds = {
  'JavaScript': (settings) => JavaScript.open(settings),
  ...(!skipLarge && {
    'Python, blocking': (settings) => Python.open('blocking', settings),
    'Python, asyncio': (settings) => Python.open('asyncio', settings),
  }),
};

// A broker that answers pings by itself and nothing else unless it is told to.
export class FakeBroker {
  static async open() {
    const fake = new FakeBroker(`tcp://127.0.0.1:${await freePort()}`);
    atEnd(() => fake.close());
    await fake.#bind();
    return fake;
  }

  constructor(endpoint) {
    this.endpoint = endpoint;
    this.instance = 'one';
    this.requests = [];
    this.taker = null;
    this.sending = Promise.resolve();
  }

  async #bind() {
    const router = new Router({ linger: 0, sendHighWaterMark: 0, receiveHighWaterMark: 0 });
    // The port is free again a moment after the last socket was closed.
    await until(patience, `${this.endpoint} to be free`, () => router.bind(this.endpoint).then(() => true, () => false));
    this.router = router;
    this.receiving = this.#receive(router);
  }

  async #receive(router) {
    for await (const [peer, bytes] of router) {
      this.peer = peer;
      const request = decode(bytes);
      if (request.op === 'ping') this.reply(request, { instance: this.instance });
      else this.requests.push(request);
      this.taker?.();
    }
  }

  // The next `count` requests.
  async take(count) {
    await within(patience, `${count} requests`, new Promise((done) => {
      this.taker = () => this.requests.length >= count && done();
      this.taker();
    }));
    return this.requests.splice(0, count);
  }

  // To whoever asked last.
  raw(bytes) {
    const frames = [this.peer, bytes];
    this.sending = this.sending.then(() => this.router.send(frames));
    return this.sending;
  }

  reply({ id }, body) {
    return this.raw(encode({ id, ok: true, ...body }));
  }

  refuse({ id }, error) {
    return this.raw(encode({ id, ok: false, error }));
  }

  async close() {
    this.router.close();
    await this.receiving;
  }

  // Breaks all connections; when that was noticed, there is a broker again, the same one or another.
  async reopen(noticed, instance = this.instance) {
    await this.close();
    assert.deepEqual(this.requests, []);
    await noticed;
    this.instance = instance;
    await this.#bind();
  }
}
