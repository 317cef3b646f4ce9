// A backend's message reaches subscribers: publishers in Python and Node, the stock SDK in two
// versions, the command line; isolation, order, history, and an exact return after a lost connection.
// With the settings of deploy/.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client, sdkClient, sdkSubscription, sdkVersions } from './client.mjs';
import { atEnd, Child, deploySettings, programs, root, run, sharedCluster } from './harness.mjs';

const all = (own) => `ipc://${own.directory}/all.sock`;
const { cluster, scenario } = sharedCluster({
  'backends "all"': { bind: all, may: 'publish history preview' },
}, { base: deploySettings });

function subscriber(...args) {
  const child = new Child('millrace', programs.cli, ['subscribe', ...args, '--url', cluster.url]);
  atEnd(() => child.stop('SIGINT'));
  return child;
}

async function publishFromPython(address, ...payloads) {
  const script = `${root}/tests/system/publisher.py`;
  const texts = payloads.map((payload) => JSON.stringify(payload));
  const { code, stdout, stderr } = await run('/usr/bin/python3', [script, cluster.endpoint, address, ...texts]);
  assert.equal(code, 0, stderr);
  return stdout.trim().split('\n').map((line) => JSON.parse(line));
}

scenario('Python and Node publish, the SDK and the command line receive', async () => {
  const sdk = sdkClient(cluster);
  const subscription = sdkSubscription(sdk, 'chat');
  subscription.subscribe();
  sdk.connect();
  const cli = subscriber('chat');
  await subscription.expect('subscribed');
  await cli.line('stderr', (line) => line.startsWith('subscribed to chat at '));

  const [first] = await publishFromPython('chat', { text: 'hello from Python', list: [1, 2.5, null, true] });
  assert.equal(first.ok, true, JSON.stringify(first));
  const second = await Backend.open(cluster).publish('chat', { text: 'hello from Node', deep: { ä: '€' } });
  assert.equal(second.epoch, first.epoch);
  assert.equal(second.offset, first.offset + 1);

  const one = await subscription.expect('publication');
  assert.deepEqual(one.data, { text: 'hello from Python', list: [1, 2.5, null, true] });
  assert.equal(one.offset, first.offset);
  assert.deepEqual(one.info, { client: '', user: 'python' });
  const two = await subscription.expect('publication');
  assert.deepEqual(two.data, { text: 'hello from Node', deep: { ä: '€' } });
  assert.equal(two.offset, second.offset);
  assert.equal(two.info, undefined);

  await cli.line('stdout', (line) => line.startsWith(`chat ${second.offset} `));
  assert.deepEqual(cli.stdout, [
    `chat ${first.offset} {"text":"hello from Python","list":[1,2.5,null,true]} from python`,
    `chat ${second.offset} {"text":"hello from Node","deep":{"ä":"€"}}`,
  ]);
});

scenario('a channel and each of its resources are isolated in both directions', async () => {
  const backend = Backend.open(cluster);
  const addresses = ['iso', 'iso:room-1', 'iso:room-2', 'iso:room-1/a', 'iso2', 'is'];
  const clients = new Map();
  for (const address of addresses) {
    const client = await Client.open(cluster);
    await client.subscribe(address);
    await client.subscribe('iso-mark');
    clients.set(address, client);
  }
  const both = await Client.open(cluster);
  await both.subscribe('iso');
  await both.subscribe('iso:room-1');
  for (const address of addresses) await backend.publish(address, { to: address });
  await backend.publish('iso-mark', {});

  for (const [address, client] of clients) {
    await client.publication('iso-mark');
    const got = client.pushes.map((push) => [push.channel, push.pub.data.to]);
    assert.deepEqual(got, [[address, address]]);
  }
  assert.deepEqual((await both.publication('iso')).data, { to: 'iso' });
  assert.deepEqual((await both.publication('iso:room-1')).data, { to: 'iso:room-1' });
  assert.deepEqual(both.pushes, []);
});

scenario('live and preview are two streams', async () => {
  const backend = Backend.open(cluster, { endpoint: all(cluster) });
  const client = await Client.open(cluster);
  await client.subscribe('views');
  const preview = await backend.publish('views', { live: false }, { view: 'preview' });
  const live = await backend.publish('views', { live: true }, { view: 'live' });
  assert.notEqual(preview.epoch, live.epoch);
  assert.deepEqual([preview.offset, live.offset], [1, 1]);
  assert.deepEqual((await client.publication('views')).data, { live: true });
  assert.deepEqual(client.pushes, []);
  const kept = await backend.request('history', { channel: 'views', limit: 10, view: 'preview' });
  assert.deepEqual(kept.publications, [{ offset: 1, payload: { live: false } }]);
});

scenario('each address keeps the order of its publications', async () => {
  const backend = Backend.open(cluster);
  const clients = await Promise.all(Array.from({ length: 5 }, () => Client.open(cluster)));
  const channels = ['order-a', 'order-b', 'order-a:r'];
  for (const client of clients) for (const channel of channels) await client.subscribe(channel);
  const count = 500;
  const sent = [];
  for (let n = 1; n <= count; n++) for (const channel of channels) sent.push(backend.publish(channel, { n }));
  await Promise.all(sent);
  for (const client of clients) {
    for (const channel of channels) {
      const got = await client.publications(channel, count);
      assert.deepEqual(got.map((at) => at.data.n), Array.from({ length: count }, (_, i) => i + 1));
      assert.deepEqual(got.map((at) => at.offset), Array.from({ length: count }, (_, i) => i + 1));
    }
  }
});

scenario('the SDK reads history', async () => {
  const backend = Backend.open(cluster);
  for (let n = 1; n <= 5; n++) await backend.publish('past', { n });
  const sdk = sdkClient(cluster);
  const subscription = sdkSubscription(sdk, 'past');
  subscription.subscribe();
  sdk.connect();
  await subscription.expect('subscribed');
  const all = await subscription.history({ limit: 10 });
  assert.deepEqual(all.publications.map((at) => [at.offset, at.data.n]), [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]);
  const last = await subscription.history({ limit: 2, reverse: true });
  assert.deepEqual(last.publications.map((at) => at.offset), [5, 4]);
  const since = await subscription.history({ limit: 2, since: { offset: 2, epoch: all.epoch } });
  assert.deepEqual(since.publications.map((at) => at.offset), [3, 4]);
  const position = await subscription.history({ limit: 0 });
  assert.deepEqual([position.publications, position.offset, position.epoch], [[], 5, all.epoch]);
});

for (const version of Object.keys(sdkVersions)) {
  scenario(`SDK ${version} gets exactly what it missed`, async () => {
    const backend = Backend.open(cluster);
    const channel = `missed-${version.replaceAll('.', '-')}`;
    const sdk = sdkClient(cluster, version);
    const subscription = sdkSubscription(sdk, channel, { recoverable: true, positioned: true });
    subscription.subscribe();
    sdk.connect();
    const first = await subscription.expect('subscribed');
    assert.equal(first.wasRecovering, false);
    assert.equal(first.recovered, false);
    await backend.publish(channel, { n: 1 });
    assert.equal((await subscription.expect('publication')).data.n, 1);

    sdk.disconnect();
    await sdk.expect('disconnected');
    for (let n = 2; n <= 200; n++) await backend.publish(channel, { n });
    sdk.connect();
    const again = await subscription.expect('subscribed');
    assert.equal(again.wasRecovering, true);
    assert.equal(again.recovered, true);
    for (let n = 2; n <= 200; n++) {
      const got = await subscription.expect('publication');
      assert.deepEqual([got.data.n, got.offset], [n, n]);
    }
    await backend.publish(channel, { n: 201 });
    assert.equal((await subscription.expect('publication')).data.n, 201);

    sdk.disconnect();
    await sdk.expect('disconnected');
    for (let n = 202; n <= 202 + 300; n++) await backend.publish(channel, { n });
    sdk.connect();
    const tooMany = await subscription.expect('subscribed');
    assert.deepEqual([tooMany.wasRecovering, tooMany.recovered], [true, false]);
    await backend.publish(channel, { n: 1000 });
    const live = await subscription.expect('publication');
    assert.equal(live.data.n, 1000);
    assert.equal(subscription.seen.filter((at) => at.event === 'publication').length, 0);
  });
}

scenario('millrace publish prints the position and honours --publisher and --key', async () => {
  const client = await Client.open(cluster);
  await client.subscribe('shell:desk 1');
  const publish = (...args) =>
    run(programs.cli, ['publish', 'shell:desk 1', ...args, '--endpoint', cluster.endpoint]);
  const first = await publish('{"n":1}', '--publisher', 'user-7', '--key', 'k1');
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /^\{"epoch":"[0-9a-f]{16}","offset":1\}\n$/);
  const again = await publish('{"n":1}', '--publisher', 'user-7', '--key', 'k1');
  assert.equal(again.stdout, first.stdout.replace('}', ',"duplicate":true}'));
  const other = await publish('{"n":2}', '--key', 'k1');
  assert.equal(other.code, 1);
  assert.match(other.stderr, /status 409/);
  assert.deepEqual(await client.publication('shell:desk 1'), {
    data: { n: 1 }, info: { client: '', user: 'user-7' }, offset: 1,
  });
});

scenario('millrace publish - sends each line of its input', async () => {
  const input = '{"n":1}\n\n{"n":2}\r\n{"n":3}';
  const args = ['publish', 'lines', '-', '--endpoint', cluster.endpoint];
  const good = await run(programs.cli, args, { input });
  assert.equal(good.code, 0, good.stderr);
  assert.deepEqual(good.stdout.trim().split('\n').map((line) => JSON.parse(line).offset), [1, 2, 3]);
  const bad = await run(programs.cli, args, { input: '{"n":4}\nnot json\n{"n":5}\n' });
  assert.equal(bad.code, 65);
  assert.match(bad.stderr, /line 2/);
  assert.equal(bad.stdout.trim().split('\n').length, 1);
});

scenario('millrace subscribe recovers over a gateway restart and from --since', async () => {
  const backend = Backend.open(cluster);
  const cli = subscriber('back', '--json');
  const seen = (type) => cli.stdout.map((line) => JSON.parse(line)).filter((line) => line.type === type);
  await cli.line('stdout', (line) => line.includes('"subscribed"'));
  const { epoch } = await backend.publish('back', { n: 1 });
  await cli.line('stdout', (line) => line.includes('"offset":1,'));

  await cluster.gateway.stop();
  await cli.line('stdout', (line) => line.includes('"disconnected"'));
  await backend.publish('back', { n: 2 });
  await cluster.startGateway();
  await cli.line('stdout', (line) => line.includes('"isSynced":true'));
  await backend.publish('back', { n: 3 });
  await cli.line('stdout', (line) => line.includes('"offset":3,'));
  assert.deepEqual(seen('message').map((line) => line.payload.n), [1, 2, 3]);
  assert.deepEqual(seen('subscribed').map((line) => line.isSynced), [false, true]);
  assert.deepEqual(seen('hole'), []);
  const lost = seen('disconnected')[0];
  assert.equal(lost.code, 3001);
  assert.ok(lost.retry_ms >= 500 && lost.retry_ms <= 1000, JSON.stringify(lost));

  const since = subscriber('back', '--since', `${epoch}:1`);
  await since.line('stderr', (line) => line.endsWith(`at ${epoch}:3, isSynced true`));
  await since.line('stdout', (line) => line.startsWith('back 3 '));
  assert.deepEqual(since.stdout, ['back 2 {"n":2}', 'back 3 {"n":3}']);
});

scenario('millrace subscribe ends with 0 on Ctrl-C and 1 on a refusal', async () => {
  const child = subscriber('quiet');
  await child.line('stderr', (line) => line.startsWith('subscribed'));
  const end = await child.stop('SIGINT');
  assert.deepEqual([end.code, end.signal], [0, null]);

  const refused = await run(programs.cli, ['subscribe', 'some-app/quotes', '--url', cluster.url]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /refused some-app\/quotes: 404 /);
});
