// Clients: the client protocol spoken by hand (`Client`), and the stock SDK (`sdkClient`).
import assert from 'node:assert/strict';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as Centrifuge57 } from 'centrifuge-5-7';
import WebSocket from 'ws';
import { atEnd, patience, within } from './harness.mjs';
import { WebSocketClient } from './websocket.mjs';

export class Client {
  // `connect: false` leaves out the connect command; `options` go to the handshake.
  static async open(cluster, { connect = true, ...options } = {}) {
    const client = new Client(await WebSocketClient.open(cluster.clientPort, options));
    if (connect) {
      const reply = await client.command('connect', {});
      assert.ok(reply.connect, JSON.stringify(reply));
      client.connected = reply.connect;
    }
    return client;
  }

  constructor(socket) {
    this.socket = socket;
    this.closed = socket.closed;
    this.lines = []; // everything that came, in order
    this.pushes = []; // not yet taken by push()
    this.lastId = 0;
    this.replies = new Map(); // id -> resolve
    this.waiters = new Set();
    this.onPush = null; // instead of collecting: called with each push
    this.answerPings = true;
    socket.on('text', (text) => text.split('\n').forEach((line) => this.#line(JSON.parse(line))));
    socket.on('closed', () => this.#wake());
  }

  #line(message) {
    if (Object.keys(message).length === 0) {
      this.pings = (this.pings ?? 0) + 1;
      if (this.answerPings) this.socket.send('{}');
    } else if (message.push && this.onPush) {
      this.onPush(message.push);
      return;
    } else if (message.push) {
      this.pushes.push(message.push);
    } else {
      this.replies.get(message.id)?.(message);
      this.replies.delete(message.id);
    }
    this.lines.push(message);
    this.#wake();
  }

  #wake() {
    for (const waiter of this.waiters) waiter();
  }

  // Sends text as it is.
  send(text, options) {
    this.socket.send(text, options);
  }

  // The command as text, with a new id, and the promise of its reply.
  prepare(method, body) {
    const id = ++this.lastId;
    const reply = new Promise((done) => this.replies.set(id, done));
    return { id, text: JSON.stringify({ id, [method]: body }), reply };
  }

  async command(method, body, ms = patience) {
    const { text, reply } = this.prepare(method, body);
    this.send(text);
    return within(ms, `the reply to ${text.slice(0, 200)}`, Promise.race([reply, this.#ended(text)]));
  }

  // Several commands in one frame; all their replies.
  async commands(list, ms = patience) {
    const prepared = list.map(([method, body]) => this.prepare(method, body));
    this.send(prepared.map((one) => one.text).join('\n'));
    const all = Promise.all(prepared.map((one) => one.reply));
    return within(ms, `${list.length} replies`, Promise.race([all, this.#ended('commands')]));
  }

  async #ended(what) {
    const close = await this.closed;
    throw new Error(`closed with ${JSON.stringify(close)} before the reply to ${what}`);
  }

  async subscribe(channel, options = {}) {
    const reply = await this.command('subscribe', {
      channel, recoverable: true, positioned: true, ...options,
    });
    assert.ok(reply.subscribe, `subscribe ${channel}: ${JSON.stringify(reply)}`);
    return reply.subscribe;
  }

  async unsubscribe(channel) {
    const reply = await this.command('unsubscribe', { channel });
    assert.deepEqual(reply.unsubscribe, {}, JSON.stringify(reply));
  }

  // Takes the first push that `accept` likes.
  async push(accept = () => true, ms = patience) {
    const found = new Promise((done, fail) => {
      const look = () => {
        const at = this.pushes.findIndex(accept);
        if (at >= 0) done(this.pushes.splice(at, 1)[0]);
        else if (this.socket.isClosed) fail(new Error(`closed: ${JSON.stringify(this.socket.close)}`));
        else return;
        this.waiters.delete(look);
      };
      this.waiters.add(look);
      look();
    });
    return within(ms, 'a push', found);
  }

  // Takes the next publication of this channel.
  async publication(channel, ms) {
    return (await this.push((push) => push.channel === channel && push.pub, ms)).pub;
  }

  async publications(channel, count, ms) {
    const list = [];
    while (list.length < count) list.push(await this.publication(channel, ms));
    return list;
  }

  // How the server closes the connection.
  async closing(ms = patience) {
    return within(ms, 'the connection to be closed', this.closed);
  }

  cut() {
    this.socket.cut();
  }
}

// --- the stock SDK ---

export const sdkVersions = { '5.8.0': Centrifuge, '5.7.1': Centrifuge57 };

// A client of the stock SDK whose events are kept: `client.seen` and `subscription.seen` are lists of
// {event, context}, `expect(event, accept)` waits for one and takes it.
export function sdkClient(cluster, version = '5.8.0', options = {}) {
  const client = new sdkVersions[version](cluster.url, {
    websocket: WebSocket, timeout: patience, minReconnectDelay: 100, maxReconnectDelay: 1000, ...options,
  });
  keepEvents(client, ['connecting', 'connected', 'disconnected', 'error', 'message']);
  atEnd(() => client.disconnect());
  return client;
}

const subscriptionEvents = ['subscribing', 'subscribed', 'unsubscribed', 'publication', 'error'];

export function sdkSubscription(client, channel, options) {
  const subscription = client.newSubscription(channel, options);
  keepEvents(subscription, subscriptionEvents);
  return subscription;
}

export function keepEvents(emitter, names) {
  emitter.seen = [];
  const waiters = new Set();
  for (const event of names) {
    emitter.on(event, (context) => {
      emitter.seen.push({ event, context });
      for (const waiter of waiters) waiter();
    });
  }
  emitter.expect = (event, accept = () => true, ms = patience) => {
    const found = new Promise((done) => {
      const look = () => {
        const at = emitter.seen.findIndex((one) => one.event === event && accept(one.context));
        if (at < 0) return;
        waiters.delete(look);
        done(emitter.seen.splice(at, 1)[0].context);
      };
      waiters.add(look);
      look();
    });
    return within(ms, `the event ${event} of the SDK`, found);
  };
}
