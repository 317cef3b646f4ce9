// A WebSocket client on a bare TCP socket: it can break every rule of RFC 6455 on purpose.
import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { connect } from 'node:net';
import { atEnd, patience, within } from './harness.mjs';

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

// One frame. `length` overrides the announced length, `reserved` sets RSV bits (0x40, 0x20, 0x10).
export function frame(payload, options = {}) {
  const { opcode = opcodes.text, final = true, masked = true, reserved = 0 } = options;
  const body = Buffer.from(payload);
  const announced = BigInt(options.length ?? body.length);
  const head = [(final ? 0x80 : 0) | reserved | opcode];
  const mark = masked ? 0x80 : 0;
  if (announced < 126n) {
    head.push(mark | Number(announced));
  } else if (announced < 65536n) {
    head.push(mark | 126, Number(announced >> 8n), Number(announced & 255n));
  } else {
    head.push(mark | 127);
    for (let shift = 56n; shift >= 0n; shift -= 8n) head.push(Number((announced >> shift) & 255n));
  }
  if (!masked) return Buffer.concat([Buffer.from(head), body]);
  const key = randomBytes(4);
  const hidden = Buffer.alloc(body.length);
  for (let i = 0; i < body.length; i++) hidden[i] = body[i] ^ key[i & 3];
  return Buffer.concat([Buffer.from(head), key, hidden]);
}

export function handshake(port, { path = '/connection/websocket', headers = {} } = {}) {
  const all = {
    Host: `127.0.0.1:${port}`,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    ...headers,
  };
  const lines = Object.entries(all).filter(([, value]) => value !== undefined);
  return `GET ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

// Bytes in and out of a TCP connection; what arrived is in `received`.
export async function tcp(port, options = {}) {
  const socket = connect({ port, host: '127.0.0.1', ...options });
  socket.on('error', () => {});
  atEnd(() => socket.destroy());
  await within(patience, `a TCP connection to ${port}`, new Promise((done, fail) => {
    socket.once('connect', done);
    socket.once('error', fail);
  }));
  return socket;
}

// The head of the HTTP answer to `request`, as {status, head}; fails when the connection ends first.
export async function answerTo(socket, request, ms = patience) {
  if (request) socket.write(request);
  let text = Buffer.alloc(0);
  return within(ms, 'an HTTP answer', new Promise((done, fail) => {
    const onData = (data) => {
      text = Buffer.concat([text, data]);
      const end = text.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', onData);
      socket.off('close', onClose);
      const head = text.subarray(0, end).toString();
      done({ status: Number(head.split(' ')[1]), head, rest: text.subarray(end + 4) });
    };
    const onClose = () => fail(new Error(`closed after: ${text}`));
    socket.on('data', onData);
    socket.on('close', onClose);
  }));
}

// Emits 'text' (string), 'frame' ({opcode, payload, masked, final}) and once 'closed'
// ({code, reason}; 1006 when no close frame came).
export class WebSocketClient extends EventEmitter {
  static async open(port, options) {
    const socket = await tcp(port, options?.socket);
    const answer = await answerTo(socket, handshake(port, options));
    if (answer.status !== 101) throw new Error(`no WebSocket: ${answer.head}`);
    return new WebSocketClient(socket, answer);
  }

  constructor(socket, answer) {
    super();
    this.setMaxListeners(0);
    this.socket = socket;
    this.head = answer.head;
    this.close = { code: 1006, reason: '' };
    this.buffer = [];
    this.buffered = 0;
    this.closed = new Promise((done) => {
      socket.once('close', () => {
        this.isClosed = true;
        this.emit('closed', this.close);
        done(this.close);
      });
    });
    socket.on('data', (data) => this.#take(data));
    if (answer.rest.length > 0) this.#take(answer.rest);
  }

  send(text, options) {
    this.socket.write(frame(text, options));
  }

  raw(bytes) {
    this.socket.write(bytes);
  }

  // Without a goodbye, as a lost network would do it.
  cut() {
    this.socket.destroy();
  }

  #take(data) {
    let bytes = this.rest?.length > 0 ? Buffer.concat([this.rest, data]) : data;
    for (;;) {
      const one = parseFrame(bytes);
      if (!one) break;
      bytes = bytes.subarray(one.size);
      this.#frame(one);
    }
    this.rest = bytes;
  }

  #frame(one) {
    if (this.gotClose) return; // RFC 6455, 5.5.1: nothing counts behind it
    this.emit('frame', one);
    if (one.opcode === opcodes.close) {
      this.gotClose = true;
      const code = one.payload.length >= 2 ? one.payload.readUInt16BE(0) : 1005;
      this.close = { code, reason: one.payload.subarray(2).toString() };
      this.socket.write(frame(one.payload, { opcode: opcodes.close }));
      this.socket.end();
    } else if (one.opcode === opcodes.text) {
      this.emit('text', one.payload.toString());
    }
  }
}

function parseFrame(bytes) {
  if (bytes.length < 2) return null;
  let length = bytes[1] & 127;
  let head = 2;
  if (length === 126) {
    if (bytes.length < 4) return null;
    length = bytes.readUInt16BE(2);
    head = 4;
  } else if (length === 127) {
    if (bytes.length < 10) return null;
    length = Number(bytes.readBigUInt64BE(2));
    head = 10;
  }
  if (bytes.length < head + length) return null;
  return {
    final: (bytes[0] & 0x80) !== 0,
    opcode: bytes[0] & 15,
    masked: (bytes[1] & 0x80) !== 0,
    payload: bytes.subarray(head, head + length),
    size: head + length,
  };
}
