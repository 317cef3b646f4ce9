// The command line: help, exit statuses, errors that say what is wrong and what to do.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { decode, encode } from '@msgpack/msgpack';
import * as zmq from 'zeromq';
import { atEnd, Child, freePort, patience, programs, run, scenario, scenarioWith } from './harness.mjs';

const millrace = (...args) => run(programs.cli, args);

scenario('help and version', null, async () => {
  const help = await millrace('--help');
  assert.equal(help.code, 0);
  for (const command of ['publish', 'subscribe', 'token', 'keys', 'keys new', 'keys public', 'check-config',
    'handlers', 'handlers list', 'handlers remove', 'explain']) {
    assert.match(help.stdout, new RegExp(`^  ${command.split(' ')[0]} `, 'm'));
    const own = await millrace(...command.split(' '), '--help');
    assert.equal(own.code, 0);
    assert.match(own.stdout, new RegExp(`^usage: millrace ${command} `));
    assert.equal(own.stderr, '');
  }
  for (const program of Object.values(programs)) {
    const version = await run(program, ['--version']);
    assert.equal(version.code, 0);
    assert.match(version.stdout, /^millrace\S* \d+\.\d+\.\d+\n$/);
    const processHelp = await run(program, ['--help']);
    assert.equal(processHelp.code, 0);
    assert.match(processHelp.stdout, /--help|COMMAND/);
  }
});

const misuses = [
  [[], /usage/],
  [['dance'], /'dance' is no command/],
  [['publish'], /missing.*CHANNEL/],
  [['publish', 'chat'], /missing/],
  [['publish', 'chat', '{}', 'more'], /'more'/],
  [['publish', 'a b', '{}'], /'a b': channel: only letters/],
  [['publish', 'chat:', '{}'], /'chat:': resource/],
  [['publish', 'chat', '{}', '--colour'], /--colour is not an option/],
  [['publish', 'chat', '{}', '--key'], /--key needs a value/],
  [['publish', 'chat', '{}', '--preview=yes'], /--preview=yes takes no value/],
  [['publish', 'chat', '{}', '--timeout', 'soon'], /--timeout 'soon': a number from 1 to/],
  [['publish', 'chat', '{}', '--timeout', '0'], /--timeout '0'/],
  [['publish', 'chat', '{}', '--endpoint', 'nowhere'], /nowhere is no endpoint/],
  [['publish', 'chat', '-', '--key', 'k'], /--key/],
  [['subscribe'], /missing/],
  [['subscribe', 'chat', 'a b'], /'a b': channel/],
  [['subscribe', 'chat', '--token'], /--token needs a value/],
  [['subscribe', 'chat', 'chat'], /'chat' is there twice/],
  [['subscribe', 'chat', '--since', '5'], /--since '5': EPOCH:OFFSET/],
  [['subscribe', 'chat', '--since', 'e:x'], /--since 'x'/],
  [['subscribe', 'chat', 'news', '--since', 'e:5'], /'news'/],
  [['subscribe', 'chat', '--url', 'http://127.0.0.1/'], /'http:\/\/127.0.0.1\/' is no address like ws:/],
  [['token'], /--key is missing/],
  [['token', '--key'], /--key needs a value/],
  [['token', '--key', 'k', '--secret', 's'], /--secret is not an option/],
  [['token', '--key', 'k', 'more'], /'more'/],
  [['token', '--key', 'k', '--type', 'member'], /--type 'member': ADMIN, MEMBER or VISITOR/],
  [['token', '--key', 'k', '--type', 'MEMBER'], /--type MEMBER needs a --subject/],
  [['token', '--key', 'k', '--subject', ''], /--subject: 1 to 256 bytes/],
  [['token', '--key', 'k', '--subject', 'x'.repeat(257)], /--subject: 1 to 256 bytes/],
  [['token', '--key', 'k', '--site', 'a b'], /--site 'a b'/],
  [['token', '--key', 'k', '--app', 'a/b'], /--app 'a\/b'/],
  [['token', '--key', 'k', '--view', 'live'], /--view 'live': preview/],
  [['token', '--key', 'k', '--expires', 'soon'], /--expires 'soon': whole seconds/],
  [['token', '--key', 'k', '--expires', '1.5'], /--expires '1.5'/],
  [['token', '--key', 'k', '--expires', '99999999999'], /--expires '99999999999'/],
  [['token', '--key', 'k', '--not-before', '-'], /--not-before '-'/],
  [['token', '--key', 'k', '--issuer', ''], /--issuer: 1 to/],
  [['keys'], /missing.*new\|public/],
  [['keys', 'old'], /'old' is neither new nor public/],
  [['keys', 'new'], /--alg is missing/],
  [['keys', 'new', '--alg', 'HS256'], /--kid is missing/],
  [['keys', 'new', '--alg', 'none', '--kid', 'a'], /--alg 'none': one of HS256 .* ES512/],
  [['keys', 'new', '--alg', 'hs256', '--kid', 'a'], /--alg 'hs256'/],
  [['keys', 'new', '--alg', 'HS256', '--kid', ''], /--kid: 1 to 128 bytes/],
  [['keys', 'new', '--alg', 'HS256', '--kid', 'a', '--out', 'x', '--add', 'y'], /not both/],
  [['keys', 'new', '--alg', 'HS256', '--kid', 'a', 'more'], /'more'/],
  [['keys', 'public'], /missing.*FILE/],
  [['keys', 'public', 'a', 'b'], /'b'/],
  [['check-config', 'a', 'b'], /'b'/],
  [['handlers'], /missing.*list\|remove/],
  [['handlers', 'show'], /'show' is neither list nor remove/],
  [['handlers', 'list', 'chat'], /'chat' is one argument too many/],
  [['handlers', 'remove'], /which one\? CHANNEL\[:RESOURCE\] or --default is missing/],
  [['handlers', 'remove', 'a b'], /'a b': channel: only letters/],
  [['handlers', 'remove', '--json', 'chat'], /--json is not an option/],
  [['explain'], /missing.*CHANNEL/],
  [['explain', 'chat'], /--type is missing/],
  [['explain', 'a b', '--type', 'VISITOR'], /'a b': channel: only letters/],
  [['explain', 'chat', '--type', 'member'], /--type 'member': MEMBER, ADMIN or VISITOR/],
  [['explain', 'chat', '--type', 'MEMBER'], /--subscriber is missing.*sub/],
];
for (const [args, rule] of misuses) {
  scenario(`wrong arguments: millrace ${args.join(' ')}`, null, async () => {
    const { code, stdout, stderr } = await millrace(...args);
    assert.equal(code, 64, stderr);
    assert.match(stderr, rule);
    assert.equal(stdout, '');
  });
}

for (const [json, rule] of [['nonsense', /not JSON/], ['[1]', /JSON object/], ['"text"', /JSON object/],
  ['{"a":1,"a":2}', /not JSON.*a/s], ['{"a":1', /not JSON/]]) {
  scenario(`wrong JSON: ${json}`, null, async () => {
    const { code, stderr } = await millrace('publish', 'chat', json, '--endpoint', 'tcp://127.0.0.1:1');
    assert.equal(code, 65);
    assert.match(stderr, rule);
  });
}

scenario('publish without a broker names the place and the cure', null, async () => {
  const endpoint = `tcp://127.0.0.1:${await freePort()}`;
  const { code, stderr } = await millrace('publish', 'chat', '{}', '--endpoint', endpoint, '--timeout', '300');
  assert.equal(code, 69);
  assert.ok(stderr.includes(endpoint), stderr);
  assert.match(stderr, /nothing was published/);
  assert.match(stderr, /\.\/dev run/);
});

for (const [args, undone] of [
  [['handlers', 'list'], /no broker answers at \S+\d\.$/m],
  [['handlers', 'remove', 'chat'], /nothing was removed/],
  [['explain', 'chat', '--type', 'VISITOR'], /no broker answers at \S+\d\.$/m],
]) {
  scenario(`${args.join(' ')} without a broker names the place and the cure`, null, async () => {
    const endpoint = `tcp://127.0.0.1:${await freePort()}`;
    const { code, stdout, stderr } = await millrace(...args, '--endpoint', endpoint, '--timeout', '300');
    assert.equal(code, 69);
    assert.equal(stdout, '');
    assert.ok(stderr.includes(endpoint), stderr);
    assert.match(stderr, undone);
    assert.match(stderr, /\.\/dev run/);
  });
}

// What listens where the broker should: takes one request and answers with what `reply` makes of it.
async function impostor(reply) {
  const socket = new zmq.Router({ linger: 0 });
  const endpoint = `tcp://127.0.0.1:${await freePort()}`;
  await socket.bind(endpoint);
  atEnd(() => socket.close());
  const serve = async () => {
    const [who, bytes] = await socket.receive();
    await socket.send([who, reply(decode(bytes))]);
  };
  serve().catch(() => {}); // closed at the end
  return endpoint;
}

const foreign = [() => 'hello', () => encode(5), () => encode({}), ({ id }) => encode({ id: id + 1, ok: true }),
  ({ id }) => encode({ id }), ({ id }) => encode({ id, ok: true }), ({ id }) => encode({ id, ok: false }),
  ({ id }) => encode({ id, ok: false, error: { status: 'x', message: 'x' } }),
  ({ id }) => encode({ id, ok: true, epoch: 1, offset: 'x', handlers: {}, total: 'x', removed: 'x', read: 'x' })];
for (const args of [['publish', 'chat', '{}'], ['handlers', 'list'], ['handlers', 'remove', 'chat'],
  ['explain', 'chat', '--type', 'VISITOR'], ['explain', 'chat', '--type', 'VISITOR', '--json']]) {
  scenario(`${args.join(' ')}: what answers is no broker`, null, async () => {
    for (const reply of foreign) {
      const { code, stdout, stderr } = await millrace(...args, '--endpoint', await impostor(reply));
      assert.equal(code, 70, `${reply}: ${stderr}`);
      assert.match(stderr, /what answers at \S+ is no Millrace broker/);
      assert.equal(stdout, '');
    }
  });
}

scenario('subscribe without a gateway says so and goes on trying', null, async () => {
  const url = `ws://127.0.0.1:${await freePort()}/connection/websocket`;
  const child = new Child('millrace', programs.cli, ['subscribe', 'chat', '--url', url]);
  atEnd(() => child.stop('SIGINT'));
  await child.line('stderr', (line) => line === `connecting to ${url}`);
  const lost = await child.line('stderr', (line) => line.startsWith('disconnected'));
  assert.match(lost, /^disconnected: .+; trying again in \d+ ms$/);
  await child.line('stderr', (line) => line === `connecting to ${url}`, patience, 2);
});

scenario('subscribe to what is no WebSocket names the HTTP status', null, async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n'));
  });
  const port = await freePort();
  await new Promise((done) => server.listen(port, '127.0.0.1', done));
  atEnd(() => server.close());
  const child = new Child('millrace', programs.cli, ['subscribe', 'chat', '--url', `ws://127.0.0.1:${port}/`]);
  atEnd(() => child.stop('SIGINT'));
  const lost = await child.line('stderr', (line) => line.startsWith('disconnected'));
  assert.match(lost, /503/);
});

scenarioWith('the settings say where, a refusal says why', {}, async (cluster) => {
  const publish = (...args) => millrace('publish', ...args, '--config', cluster.file);
  const subscriber = new Child('millrace', programs.cli, ['subscribe', 'chat', '--config', cluster.file]);
  atEnd(() => subscriber.stop('SIGTERM'));
  await subscriber.line('stderr', (line) => line.startsWith('subscribed'));
  assert.equal((await publish('chat', '{"n":1}')).code, 0);
  await subscriber.line('stdout', (line) => line === 'chat 1 {"n":1}');

  const big = await publish('chat', JSON.stringify({ t: 'x'.repeat(10240) }));
  assert.equal(big.code, 1);
  assert.match(big.stderr, /refused it with status 413: .*10240/);
  const foreign = await publish('chat', '{}', '--site', 'acme');
  assert.equal(foreign.code, 1);
  assert.match(foreign.stderr, /status 403: .*site/);

  cluster.broker.signal('SIGSTOP');
  const silent = await publish('chat', '{}', '--timeout', '300');
  cluster.broker.signal('SIGCONT');
  assert.equal(silent.code, 69);
  assert.match(silent.stderr, /no broker answers|did not answer within 300 ms/);
});

scenarioWith('a terminal close ends subscribe with 1 and the reason',
  { gateway: { anonymous: 'no' } }, async (cluster) => {
    const { code, stderr } = await millrace('subscribe', 'chat', '--url', cluster.url);
    assert.equal(code, 1);
    assert.match(stderr, /connection refused: 101 unauthorized/);
  });
