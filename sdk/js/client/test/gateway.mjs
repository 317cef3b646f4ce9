// gateway - the other side of the SDK's WebSocket, played in this process: the real SDK, no network.
//
// Answers by itself what a gateway answers (connect, subscribe, unsubscribe); tests replace answers
// and push, lose and close as they like.
import { Centrifuge } from 'centrifuge';
import { Client } from '../src/client.js';

// Turns of the event loop until the condition holds.
export async function eventually(condition, what = 'the condition') {
  const end = performance.now() + 20000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`still waiting for ${what}: ${condition}`);
    await new Promise((done) => setImmediate(done));
  }
}

// All that was started without a timer is done.
export async function settled() {
  for (let turn = 0; turn < 10; turn++) await new Promise((done) => setImmediate(done));
}

export class FakeGateway {
  sockets = []; // all that were ever opened
  commands = []; // all that ever came, without connect and its id: {subscribe: {…}}
  connects = []; // the connect commands
  refuse = false; // new sockets fail
  answers = {
    connect: () => ({ connect: { client: `client-${this.connects.length}`, ping: 25, pong: true } }),
    subscribe: () => ({ subscribe: { recoverable: true, positioned: true, epoch: 'e', offset: 0 } }),
    unsubscribe: () => ({ unsubscribe: {} }),
    refresh: () => ({ refresh: {} }),
  };

  constructor() {
    const gateway = this;
    this.WebSocket = class {
      constructor(url) {
        this.url = url;
        this.readyState = 0;
        gateway.sockets.push(this);
        setImmediate(() => gateway.#opened(this));
      }

      send(text) {
        for (const line of text.split('\n')) gateway.#received(JSON.parse(line));
      }

      close() {
        this.readyState = 3;
      }
    };
  }

  get socket() {
    return this.sockets.at(-1);
  }

  #opened(socket) {
    if (socket.readyState !== 0) return;
    socket.readyState = this.refuse ? 3 : 1;
    if (this.refuse) socket.onclose({ code: 1006, reason: '' });
    else socket.onopen();
  }

  #received(command) {
    const { id, ...rest } = command;
    const [method] = Object.keys(rest);
    if (!method) return; // a pong
    if (method === 'connect') this.connects.push(rest.connect);
    else this.commands.push(rest);
    const answer = this.answers[method](rest[method]);
    if (answer) this.line({ id, ...answer });
  }

  // Lines that are sent in one turn make one frame, as a gateway's do.
  line(line) {
    const { socket } = this;
    if (!socket.frame) {
      socket.frame = [];
      setImmediate(() => {
        const frame = socket.frame.map((at) => JSON.stringify(at)).join('\n');
        socket.frame = null;
        if (socket.readyState === 1) socket.onmessage({ data: frame });
      });
    }
    socket.frame.push(line);
  }

  publish(channel, data, more = {}) {
    this.line({ push: { channel, pub: { data, ...more } } });
  }

  unsubscribe(channel, code, reason) {
    this.line({ push: { channel, unsubscribe: { code, reason } } });
  }

  lose(code = 1006, reason = '') {
    const { socket } = this;
    socket.readyState = 3;
    socket.onclose({ code, reason });
  }

  // What was subscribed and unsubscribed, in order: ['+chat', '-chat'].
  get joins() {
    return this.commands.filter((at) => at.subscribe || at.unsubscribe)
      .map((at) => (at.subscribe ? `+${at.subscribe.channel}` : `-${at.unsubscribe.channel}`));
  }
}

// A client whose gateway is fake. test: the context, at whose end it is closed.
export function clientOf(test, gateway, options = {}) {
  const client = new Client(
    {
      url: 'ws://gateway.test', websocket: gateway.WebSocket, fallback: false, minReconnectDelay: 1, maxReconnectDelay: 2,
      ...options,
    },
    Centrifuge,
  );
  test.after(() => client.close());
  return client;
}

// A subscription that writes down all that its handlers are told.
export function recorded(client, channel, seen = [], name = '') {
  const note = (text) => seen.push(name ? `${name} ${text}` : text);
  seen.errors ??= [];
  const id = client.subscribe(
    channel,
    ({ payload }, at, { restored }) => note(`${restored ? 'restored' : 'message'} ${JSON.stringify(payload)}`),
    {
      onSubscribed: (told, isSynced) => note(`subscribed ${isSynced}${told === id ? '' : ' with a wrong id'}`),
      onSubscriptionError: (error, told) => {
        seen.errors.push(error);
        note(`${error.errorCode} ${error.recoverable}${told === id ? '' : ' with a wrong id'}`);
      },
    },
  );
  return { id, seen };
}

// What is reported as uncaught during this test.
export function reports(test) {
  const reported = [];
  test.mock.method(console, 'error', (error) => reported.push(error));
  return reported;
}

