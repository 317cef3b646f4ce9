// A backend on ZeroMQ and msgpack: as documented (`request`), and with any bytes (`raw`).
import assert from 'node:assert/strict';
import { decode, encode } from '@msgpack/msgpack';
import * as zmq from 'zeromq';
import { atEnd, patience, within } from './harness.mjs';

export class Backend {
  // kind: 'dealer' (one frame) or 'delimited' (a DEALER that sends the empty frame of a REQ).
  static open(cluster, { kind = 'dealer', endpoint = cluster.endpoint } = {}) {
    const socket = new zmq.Dealer({ linger: 0, sendHighWaterMark: 0, receiveHighWaterMark: 0 });
    socket.connect(endpoint);
    const backend = new this(socket, kind);
    atEnd(() => backend.close());
    return backend;
  }

  constructor(socket, kind) {
    this.socket = socket;
    this.kind = kind;
    this.lastId = 0;
    this.replies = new Map();
    this.strays = []; // replies that nobody waits for
    this.sending = Promise.resolve();
    this.receiving = this.#receive();
  }

  async #receive() {
    for await (const frames of this.socket) {
      if (this.kind === 'delimited') assert.equal(frames.shift().length, 0);
      assert.equal(frames.length, 1, 'a reply is one frame');
      const reply = decode(frames[0]);
      const take = this.replies.get(reply.id);
      if (take) take(reply);
      else this.strays.push(reply);
      this.replies.delete(reply.id);
    }
  }

  close() {
    this.socket.close();
    return this.receiving;
  }

  // Any bytes as one message. ZeroMQ allows one send at a time.
  raw(bytes) {
    const frames = this.kind === 'delimited' ? ['', bytes] : [bytes];
    return this.frames(frames);
  }

  frames(frames) {
    this.sending = this.sending.then(() => this.socket.send(frames));
    return this.sending;
  }

  // The reply to a request that was, or will be, sent by raw() with this id.
  async reply(id, ms = patience) {
    return within(ms, `the reply to request ${id}`, new Promise((done) => this.replies.set(id, done)));
  }

  // One request with a new id; its reply, whatever it says.
  request(op, body = {}, ms = patience) {
    return this.ask(op, ++this.lastId, body, ms);
  }

  async ask(op, id, body, ms = patience) {
    const reply = this.reply(id, ms);
    await this.raw(encode({ ...body, op, id }));
    return reply;
  }

  // {epoch, offset} of a publication that must be accepted.
  async publish(channel, payload, more = {}) {
    const [name, ...resource] = channel.split(':');
    const target = resource.length > 0 ? { channel: name, resource: resource.join(':') } : { channel: name };
    const reply = await this.request('publish', { ...target, payload, ...more });
    assert.equal(reply.ok, true, JSON.stringify(reply));
    return reply;
  }

  // Publishes the payloads by publish_many; their results, all of which must be ok.
  async publishMany(channel, payloads) {
    const items = payloads.map((payload) => ({ channel, payload }));
    const reply = await this.request('publish_many', { items });
    assert.equal(reply.ok, true, JSON.stringify(reply));
    for (const result of reply.results) assert.equal(result.ok, true, JSON.stringify(result));
    return reply.results;
  }
}
