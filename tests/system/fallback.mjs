// Clients that cannot have a WebSocket: the fallback over plain HTTP, spoken by hand (`Client` on an
// `HttpStream`) and by the stock SDK (`fallbackSdk`), and a network that blocks WebSocket.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import { Client, keepEvents, sdkVersions } from './client.mjs';
import { atEnd, patience, within } from './harness.mjs';
import { answerTo, tcp } from './websocket.mjs';

export const forms = { http_stream: '/connection/http_stream', sse: '/connection/sse' };

export function requestText(port, path, { method = 'POST', body = '', headers = {} } = {}) {
  const all = {
    Host: `127.0.0.1:${port}`,
    ...(method === 'POST' && { 'Content-Length': Buffer.byteLength(body) }),
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== undefined);
  return `${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}

// One request on a connection of its own, answered to its end: {status, head, text}.
export async function ask(port, path, options) {
  const socket = await tcp(port);
  const ended = new Promise((done) => socket.once('close', done));
  let { rest, ...answer } = await answerTo(socket, requestText(port, path, options));
  socket.on('data', (data) => (rest = Buffer.concat([rest, data])));
  await within(patience, `the end of the answer to ${path}`, ended);
  return { ...answer, text: rest.toString() };
}

// Like a WebSocketClient: emits 'text' for each message and once 'closed', with what the server said in
// its disconnect push; without one the code is 1006. send() posts to `commandPort`.
export class HttpStream extends EventEmitter {
  static async open(port, first, { form = 'http_stream', method = 'POST', headers, socket: options } = {}) {
    const socket = await tcp(port, options);
    const query = method === 'GET' ? `?cf_connect=${encodeURIComponent(first)}` : '';
    const body = method === 'GET' ? '' : first;
    const answer = await answerTo(socket, requestText(port, forms[form] + query, { method, body, headers }));
    if (answer.status !== 200) throw new Error(`no stream: ${answer.head}`);
    return new HttpStream(socket, answer, port, form);
  }

  constructor(socket, { head, rest }, port, form) {
    super();
    this.setMaxListeners(0);
    Object.assign(this, { socket, head, form, commandPort: port, close: { code: 1006, reason: '' }, statuses: [], sending: new Set() });
    this.decoder = new TextDecoder('utf-8', { fatal: true });
    this.text = '';
    this.closed = new Promise((done) => {
      socket.once('close', () => {
        this.isClosed = true;
        this.emit('closed', this.close);
        done(this.close);
      });
    });
    setImmediate(() => this.#take(rest)); // when somebody listens
    socket.on('data', (data) => setImmediate(() => this.#take(data)));
  }

  // Commands, as the SDK sends them. Resolves with the answer's status.
  send(text) {
    const { session, node } = this;
    const sent = this.post({ session, node, data: text });
    this.sending.add(sent);
    return sent.finally(() => this.sending.delete(sent));
  }

  async post(body) {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const { status } = await ask(this.commandPort, '/emulation', { body: text }).catch(() => ({ status: 0 }));
    this.statuses.push(status);
    return status;
  }

  cut() {
    this.socket.destroy();
  }

  #take(data) {
    this.text += this.decoder.decode(data, { stream: true });
    const end = this.form === 'sse' ? '\n\n' : '\n';
    for (let at; (at = this.text.indexOf(end)) >= 0; this.text = this.text.slice(at + end.length)) {
      this.#message(this.text.slice(0, at));
    }
  }

  #message(text) {
    if (this.form === 'sse' && text === '\r') return; // the empty line in front
    const line = this.form === 'sse' ? text.replace(/^\r\n/, '').replace(/^data: /, '') : text;
    const { connect, push } = JSON.parse(line);
    if (connect) ({ session: this.session, node: this.node } = connect);
    if (push?.disconnect) this.close = push.disconnect;
    else this.emit('text', line);
  }
}

// A Client whose connection is a stream.
export async function streamClient(cluster, { connect = {}, port = cluster.clientPort, ...options } = {}) {
  const stream = await HttpStream.open(port, JSON.stringify({ id: 1, connect }), options);
  const client = new Client(stream);
  client.lastId = 1;
  const connected = new Promise((done) => client.replies.set(1, done));
  const reply = await within(patience, 'the reply to connect', connected);
  assert.ok(reply.connect, JSON.stringify(reply));
  client.connected = reply.connect;
  return client;
}

// A client of the stock SDK that has this transport only.
export function fallbackSdk(port, version = '5.8.0', options = {}) {
  const base = `http://127.0.0.1:${port}`;
  const client = new sdkVersions[version]([{ transport: 'http_stream', endpoint: `${base}/connection/http_stream` }], {
    emulationEndpoint: `${base}/emulation`, timeout: patience, minReconnectDelay: 100, maxReconnectDelay: 1000, ...options,
  });
  keepEvents(client, ['connecting', 'connected', 'disconnected', 'error', 'message']);
  atEnd(() => client.disconnect());
  return client;
}

// Passes everything on to `port` but requests for a WebSocket, as some proxies of companies do. What is
// blocked and what passes is counted.
export async function blockingProxy(port) {
  const sockets = new Set();
  const proxy = { blocked: 0, passed: 0 };
  const server = createServer((near) => {
    sockets.add(near);
    near.on('error', () => {}).on('close', () => sockets.delete(near));
    near.once('data', (first) => {
      if (/^upgrade: *websocket/im.test(first.toString('latin1'))) {
        proxy.blocked++;
        near.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
        return;
      }
      proxy.passed++;
      const far = connectTcp(port(), '127.0.0.1');
      far.on('error', () => {}).on('close', () => near.destroy());
      near.on('close', () => far.destroy());
      far.write(first);
      near.pipe(far);
      far.pipe(near);
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  atEnd(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((done) => server.close(done));
  });
  proxy.port = server.address().port;
  return proxy;
}
