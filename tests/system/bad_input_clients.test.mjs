// What clients send wrong, by accident or on purpose: each is answered as specified, and a good
// client on the same gateway notices nothing.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { delay, patience, scenarioWith, sharedCluster, until, within } from './harness.mjs';
import { answerTo, frame, handshake, opcodes, tcp, WebSocketClient } from './websocket.mjs';

const { cluster, scenario } = sharedCluster({
  gateway: { allowed_origins: 'https://good.example https://other.example:8443' },
});

// The bad thing, then the proof that a good client that was there before is served as ever.
function bad(name, body) {
  scenario(name, { timeout: 240000 }, async () => {
    const backend = Backend.open(cluster);
    const witness = await Client.open(cluster);
    await witness.subscribe('witness');
    await body();
    const { offset } = await backend.publish('witness', { name });
    assert.deepEqual(await witness.publication('witness'), { data: { name }, offset });
    assert.deepEqual(witness.pushes, []);
    await (await Client.open(cluster)).subscribe('witness');
  });
}

const long = 'x'.repeat(140);
const channelRules = [
  ['a space', 'a b', 400, /channel/],
  ['nothing', '', 400, /channel/],
  ['141 characters', `${long}x`, 400, /140/],
  ['141 code points beyond the BMP', `c:${'😀'.repeat(140)}`, 400, /140/],
  ['a control character', 'a\u0001', 400, /channel/],
  ['a newline', 'a\nb', 400, /channel/],
  ['an umlaut', 'ä', 400, /channel/],
  ['an @ in the middle', 'a@b', 400, /channel/],
  ['an empty resource', 'chat:', 400, /resource/],
  ['U+0000 in the resource', 'chat:a\u0000b', 400, /resource/],
  ['an app part', 'some-app/quotes', 404, /app/],
  ['a bad app part', 'some app/quotes', 400, /app/],
];
for (const [name, channel, code, rule] of channelRules) {
  bad(`channel name: ${name}`, async () => {
    const client = await Client.open(cluster);
    const { error } = await client.command('subscribe', { channel });
    assert.equal(error?.code, code);
    assert.match(error.message, rule);
    assert.equal(error.temporary ?? false, false);
    await client.subscribe('still-good');
  });
}

bad('channel names at the limit are good', async () => {
  const client = await Client.open(cluster);
  for (const channel of [long, '@a', `c:${'😀'.repeat(138)}`, 'c:a b/c:d\u0001', '-_']) {
    await client.subscribe(channel);
  }
});

const deep = (levels) => '{"a":'.repeat(levels) + '1' + '}'.repeat(levels);
const malformed = {
  'broken JSON': '{"id":2,"subscribe":{"channel":"a"',
  'no JSON at all': 'hello',
  'an array': '[{"id":2,"subscribe":{"channel":"a"}}]',
  'a number': '5',
  'nested 100 deep': `{"id":2,"rpc":{"data":${deep(98)}}}`,
  'an unknown method': '{"id":2,"dance":{}}',
  'no method': '{"id":2}',
  'two methods': '{"id":2,"subscribe":{"channel":"a"},"unsubscribe":{"channel":"a"}}',
  'no id': '{"subscribe":{"channel":"a"}}',
  'an id that is 0': '{"id":0,"subscribe":{"channel":"a"}}',
  'a negative id': '{"id":-1,"subscribe":{"channel":"a"}}',
  'an id beyond 32 bits': '{"id":4294967296,"subscribe":{"channel":"a"}}',
  'an id that is text': '{"id":"2","subscribe":{"channel":"a"}}',
  'a channel that is a number': '{"id":2,"subscribe":{"channel":5}}',
  'an offset that is negative': '{"id":2,"subscribe":{"channel":"a","recover":true,"offset":-1}}',
  'two commands without a newline': '{"id":2,"unsubscribe":{"channel":"a"}}{"id":3,"unsubscribe":{"channel":"a"}}',
  'two newlines': '{"id":2,"unsubscribe":{"channel":"a"}}\n\n{"id":3,"unsubscribe":{"channel":"a"}}',
  'duplicate keys': '{"id":2,"subscribe":{"channel":"a","channel":"b"}}',
  'a lone surrogate': '{"id":2,"subscribe":{"channel":"a:\\ud800"}}',
  'an empty frame': '',
  '257 commands': Array.from({ length: 257 }, (_, i) => `{"id":${i + 2},"unsubscribe":{"channel":"a"}}`).join('\n'),
};
for (const [name, text] of Object.entries(malformed)) {
  bad(`command: ${name}`, async () => {
    const client = await Client.open(cluster);
    client.send(text);
    assert.deepEqual(await client.closing(), { code: 3501, reason: 'bad request' });
  });
}

bad('256 commands and a newline at the end are good', async () => {
  const client = await Client.open(cluster);
  const list = Array.from({ length: 256 }, () => client.prepare('unsubscribe', { channel: 'a' }));
  client.send(`${list.map((one) => one.text).join('\n')}\n`);
  await within(patience, '256 replies', Promise.all(list.map((one) => one.reply)));
});

bad('bytes that are no UTF-8', async () => {
  const client = await Client.open(cluster);
  client.send(Buffer.concat([Buffer.from('{"id":2,"subscribe":{"channel":"a:'), Buffer.from([0xff, 0xc0]), Buffer.from('"}}')]));
  const { code } = await client.closing();
  assert.ok(code === 1007 || code === 3501, `code ${code}`);
});

bad('a frame of 257 KiB', async () => {
  const client = await Client.open(cluster);
  client.send(JSON.stringify({ id: 2, rpc: { data: 'x'.repeat(257 * 1024) } }));
  assert.deepEqual(await client.closing(), { code: 1009, reason: 'message size limit exceeded' });
});

bad('257 KiB in many fragments', async () => {
  const client = await Client.open(cluster);
  for (let i = 0; i < 33; i++) {
    client.send('x'.repeat(8192), { opcode: i === 0 ? opcodes.text : opcodes.continuation, final: false });
  }
  assert.equal((await client.closing()).code, 1009);
});

bad('a frame of 255 KiB is good, whole or in fragments of any size', async () => {
  const client = await Client.open(cluster);
  const one = client.prepare('rpc', { data: 'x'.repeat(255 * 1024) });
  client.send(one.text);
  assert.equal((await within(patience, 'the reply', one.reply)).error.code, 108);
  const two = client.prepare('unsubscribe', { channel: 'fragmented' });
  [...two.text].slice(0, 40).forEach((character, i) => {
    client.send(character, { opcode: i === 0 ? opcodes.text : opcodes.continuation, final: false });
  });
  client.send('', { opcode: opcodes.continuation, final: false });
  client.send(two.text.slice(40), { opcode: opcodes.continuation });
  assert.deepEqual((await within(patience, 'the reply', two.reply)).unsubscribe, {});
});

for (const power of [62n, 63n]) {
  bad(`a header that announces 2^${power} bytes`, async () => {
    const client = await Client.open(cluster);
    client.socket.raw(frame('x', { length: 2n ** power }).subarray(0, 15));
    const { code } = await client.closing();
    // RFC 6455 forbids the highest bit: the library ends such a connection before we are asked.
    assert.ok(power === 62n ? code === 1009 : [1002, 1006].includes(code), `code ${code}`);
  });
}

bad('100,000 empty fragments', async () => {
  const client = await Client.open(cluster);
  const first = frame('', { opcode: opcodes.text, final: false });
  const next = frame('', { opcode: opcodes.continuation, final: false });
  client.socket.raw(Buffer.concat([first, ...Array.from({ length: 100000 }, () => next)]));
  const { code } = await client.closing();
  assert.equal(code, 1009);
});

bad('a binary frame', async () => {
  const client = await Client.open(cluster);
  client.send('{"id":2,"subscribe":{"channel":"a"}}', { opcode: opcodes.binary });
  assert.deepEqual(await client.closing(), { code: 3506, reason: 'inappropriate protocol' });
});

bad('an unmasked frame is taken (a documented deviation)', async () => {
  const client = await Client.open(cluster);
  const { text, reply } = client.prepare('unsubscribe', { channel: 'a' });
  client.send(text, { masked: false });
  assert.deepEqual((await within(patience, 'the reply', reply)).unsubscribe, {});
});

const brokenFrames = {
  'a reserved bit': frame('{}', { reserved: 0x40 }),
  'a reserved opcode': frame('{}', { opcode: 3 }),
  'a fragmented ping': frame('', { opcode: opcodes.ping, final: false }),
  'a ping of 126 bytes': frame('x'.repeat(126), { opcode: opcodes.ping }),
  'a continuation of nothing': frame('{}', { opcode: opcodes.continuation }),
};
for (const [name, bytes] of Object.entries(brokenFrames)) {
  bad(`WebSocket frame: ${name}`, async () => {
    const client = await Client.open(cluster);
    client.socket.raw(bytes);
    const { code } = await client.closing();
    assert.ok([1002, 1006, 3501].includes(code), `code ${code}`);
  });
}

bad('a close frame is answered with a close frame', async () => {
  const client = await Client.open(cluster);
  client.socket.raw(frame(Buffer.from([0x03, 0xe8]), { opcode: opcodes.close }));
  assert.equal((await client.closing()).code, 1000);
});

// --- before the WebSocket is one ---

async function statusOf(options) {
  const socket = await tcp(cluster.clientPort);
  return (await answerTo(socket, handshake(cluster.clientPort, options))).status;
}

bad('Upgrade: h2c is refused', async () => {
  const h2c = { Upgrade: 'h2c', Connection: 'Upgrade, HTTP2-Settings', 'HTTP2-Settings': 'AAMAAABkAARAAAAAAAIAAAAA' };
  for (const headers of [h2c, { Upgrade: 'foo' }, { Upgrade: 'websocket2' }]) {
    const socket = await tcp(cluster.clientPort);
    const status = await answerTo(socket, handshake(cluster.clientPort, { headers }))
      .then((answer) => answer.status, () => 'closed');
    assert.ok([400, 403, 426, 'closed'].includes(status), `${status}`);
  }
});

bad('Origins', async () => {
  const host = `127.0.0.1:${cluster.clientPort}`;
  const good = [undefined, `http://${host}`, 'https://good.example', 'https://other.example:8443', 'HTTPS://GOOD.example'];
  for (const Origin of good) assert.equal(await statusOf({ headers: { Origin } }), 101, `${Origin}`);
  const wrong = [
    'https://evil.example', 'https://good.example.evil.example', 'https://evil-good.example',
    'http://good.example', 'https://good.example:444', 'https://other.example', 'null', `http://${host}0`,
    'http://127.0.0.1', 'https://good.example.', 'good.example', 'https://good.example@evil.example',
  ];
  for (const Origin of wrong) assert.equal(await statusOf({ headers: { Origin } }), 403, Origin);
});

bad('other paths, versions and sub-protocols', async () => {
  assert.equal(await statusOf({ path: '/' }), 404);
  assert.equal(await statusOf({ path: '/connection/websocket/x' }), 404);
  assert.equal(await statusOf({ headers: { 'Sec-WebSocket-Protocol': 'centrifuge-json' } }), 101);
  assert.equal(await statusOf({ headers: { 'Sec-WebSocket-Protocol': 'centrifuge-protobuf' } }), 400);
  assert.equal(await statusOf({ path: '/connection/websocket?format=protobuf' }), 400);
  const plain = await tcp(cluster.clientPort);
  const answer = await answerTo(plain, 'GET /connection/websocket HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.equal(answer.status, 426);
});

bad('headers of 70 KB', async () => {
  const socket = await tcp(cluster.clientPort);
  const answer = await answerTo(socket, handshake(cluster.clientPort, { headers: { 'X-Long': 'x'.repeat(70000) } }))
    .then(({ status }) => status, () => 'closed');
  assert.ok(answer === 'closed' || answer >= 400, `${answer}`);
});

bad('headers that trickle in, one a second, and a silent connection', async () => {
  const silent = await tcp(cluster.clientPort);
  const slow = await tcp(cluster.clientPort);
  let open = true;
  const closed = Promise.all([silent, slow].map((socket) => new Promise((done) => socket.once('close', done))));
  silent.resume();
  slow.resume();
  slow.write('GET /connection/websocket HTTP/1.1\r\n');
  const trickle = (async () => {
    for (let i = 0; open; i++) {
      slow.write(`X-Header-${i}: x\r\n`);
      await delay(1000);
    }
  })();
  await within(25000, 'both connections to be closed', closed);
  open = false;
  await trickle;
});

scenarioWith('beyond the connection limit an upgrade is refused with 503', { gateway: { connections: 3 } }, async (small) => {
  const clients = await Promise.all([1, 2, 3].map(() => Client.open(small)));
  const socket = await tcp(small.clientPort);
  const answer = await answerTo(socket, handshake(small.clientPort));
  assert.equal(answer.status, 503);
  clients[0].cut();
  for (let status = 503; status === 503;) {
    const again = await tcp(small.clientPort);
    status = (await answerTo(again, handshake(small.clientPort))).status;
  }
});

// 255 KiB a connection that are never finished: four fit, and a fifth does not.
scenarioWith('unfinished messages are bounded for all clients together', { gateway: { unfinished_bytes: 1048576 } }, async (own) => {
  const witness = await Client.open(own);
  const held = await Promise.all([1, 2, 3, 4].map(() => Client.open(own)));
  for (const client of held) client.send('x'.repeat(255 * 1024), { final: false });
  await until(patience, 'them to be read', async () => (await own.metric('unfinished_bytes')) === 4 * 255 * 1024);

  const more = await Client.open(own);
  more.send('x'.repeat(255 * 1024), { final: false });
  assert.deepEqual(await more.closing(), { code: 3004, reason: 'server error' });
  assert.equal(await own.metric('unfinished_refused_total'), 1);

  const small = witness.prepare('subscribe', { channel: 'small' });
  witness.send(small.text.slice(0, 9), { final: false });
  witness.send(small.text.slice(9), { opcode: opcodes.continuation });
  assert.ok((await within(patience, 'the reply', small.reply)).subscribe);

  held[0].send('', { opcode: opcodes.continuation });
  assert.equal((await held[0].closing()).code, 3501);
  held.slice(1).forEach((client) => client.cut());
  await until(patience, 'the room to be given back', async () => (await own.metric('unfinished_bytes')) === 0);
});

scenarioWith('a crowd of bad clients leaves nothing behind', {}, async (own) => {
  const before = await own.metric('connections');
  for (let round = 0; round < 20; round++) {
    const sockets = await Promise.all(Array.from({ length: 10 }, () => WebSocketClient.open(own.clientPort)));
    sockets.forEach((socket, i) => {
      if (i % 3 === 0) socket.send('nonsense');
      else if (i % 3 === 1) socket.cut();
      else socket.raw(frame('{"id":1', { final: false }));
    });
    sockets.filter((_, i) => i % 3 === 2).forEach((socket) => socket.cut());
    await Promise.all(sockets.map((socket) => socket.closed));
  }
  const client = await Client.open(own);
  await client.subscribe('fine');
  while ((await own.metric('connections')) > before + 1) await delay(20);
});
