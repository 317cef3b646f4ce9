// A backend that dies in the middle of a publication: ZMTP by hand, for no library sends half a message.
import { connect } from 'node:net';
import { decode, encode } from '@msgpack/msgpack';

// Where it dies.
export const stages = ['between two frames', 'inside a frame', 'before the answer', 'after the answer'];

const greeting = Buffer.alloc(64);
greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0]);
greeting.write('NULL', 12);

const ready = Buffer.concat([Buffer.from([4, 28, 5]), Buffer.from('READY'), Buffer.from([11]), Buffer.from('Socket-Type'), Buffer.from([0, 0, 0, 6]), Buffer.from('DEALER')]);

function frame(body, more) {
  const head = Buffer.alloc(9);
  head[0] = 2 | (more ? 1 : 0);
  head.writeBigUInt64BE(BigInt(body.length), 1);
  return Buffer.concat([head, body]);
}

// The body of the first message frame behind the greeting, or null.
function firstMessage(bytes) {
  let rest = bytes.subarray(64);
  while (rest.length >= 2) {
    const isLong = (rest[0] & 2) !== 0;
    const head = isLong ? 9 : 2;
    if (rest.length < head) return null;
    const size = isLong ? Number(rest.readBigUInt64BE(1)) : rest[1];
    if (rest.length < head + size) return null;
    const isMessage = (rest[0] & 4) === 0;
    if (isMessage && size > 0) return rest.subarray(head, head + size);
    rest = rest.subarray(head + size);
  }
  return null;
}

// Sends this request as far as `stage` says, and dies. The reply when it waited for one, or null.
export function dieWhileAsking(endpoint, request, stage) {
  const [, host, port] = endpoint.match(/^tcp:\/\/(.*):(\d+)$/);
  const body = Buffer.from(encode(request));
  const delimiter = frame(Buffer.alloc(0), true);
  return new Promise((done) => {
    const socket = connect(Number(port), host);
    let bytes = Buffer.alloc(0);
    let isSent = false;
    const end = (reply) => {
      socket.destroy();
      done(reply);
    };
    const send = () => {
      isSent = true;
      if (stage === stages[0]) socket.write(delimiter, () => end(null));
      else if (stage === stages[1]) socket.write(Buffer.concat([delimiter, frame(body, false).subarray(0, 9 + body.length / 2)]), () => end(null));
      else socket.write(Buffer.concat([delimiter, frame(body, false)]), () => stage === stages[2] && end(null));
    };
    socket.on('error', () => end(null));
    socket.on('close', () => done(null));
    socket.on('connect', () => socket.write(Buffer.concat([greeting, ready])));
    socket.on('data', (data) => {
      bytes = Buffer.concat([bytes, data]);
      if (!isSent && bytes.length > 64) send();
      const reply = bytes.length > 64 ? firstMessage(bytes) : null;
      if (reply) end(decode(reply));
    });
  });
}
