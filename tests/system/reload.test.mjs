// SIGHUP: the processes read their settings again. What can change without a restart does, also for
// those who are connected; what cannot is said; a file with an error changes nothing.
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after } from 'node:test';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { httpGet, iniText, patience, scenarioWith, temporaryDirectory, until } from './harness.mjs';
import { hangup, reload, rewrite } from './reloading.mjs';
import { makeToken, newKey, nowSeconds, writeKeys } from './tokens.mjs';
import { answerTo, handshake, tcp } from './websocket.mjs';

// What of it is about the settings, without time and level.
const told = (events, name) => events.filter((at) => at.event === name)
  .map(({ time, level, process, event, ...fields }) => fields);

scenarioWith('a level changes, each change is told, and nothing secret', { log: { level: 'warn' } }, async (cluster) => {
  const refusals = async () => {
    const client = await Client.open(cluster, { connect: false });
    client.send('{"id":1,"connect":{"token":"none"}}');
    await client.closing();
    return cluster.gateway.events.filter((at) => at.event === 'token_refused').length;
  };
  assert.equal(await refusals(), 0);
  for (const child of [cluster.broker, cluster.gateway]) {
    const events = await reload(cluster, child, { log: { level: 'debug' } });
    assert.deepEqual(told(events, 'setting_changed'), [{ setting: '[log] level', before: 'warn', after: 'debug' }]);
    assert.deepEqual(told(events, 'reloaded'), [{ changed: 1, need_restart: 0 }]);
    const name = child === cluster.broker ? 'broker' : 'gateway';
    assert.equal(await cluster.metric('reloads_total', name), 1);
    assert.ok(Math.abs(await cluster.metric('settings_read_seconds', name) - nowSeconds()) < 60);
  }
  assert.equal(await refusals(), 1);
  const events = await reload(cluster, cluster.gateway, { log: { level: 'error' } });
  assert.deepEqual(told(events, 'reloaded'), [{ changed: 1, need_restart: 0 }]);
  assert.equal(await refusals(), 1);
  const from = cluster.gateway.stderr.length;
  cluster.gateway.signal('SIGHUP');
  await rewrite(cluster, '[nonsense]\n');
  cluster.gateway.signal('SIGHUP');
  const line = await cluster.gateway.line('stderr', () => true, patience, from);
  assert.equal(JSON.parse(line).event, 'reload_refused', 'an error is told in any case');
});

scenarioWith('a file with errors changes nothing, and each is told', { gateway: { subscriptions: 2 } }, async (cluster) => {
  const client = await Client.open(cluster);
  await client.subscribe('a');
  await client.subscribe('b');
  for (const [child, name] of [[cluster.broker, 'broker'], [cluster.gateway, 'gateway']]) {
    const text = `${iniText(cluster.sections, cluster).replace('subscriptions = 2', 'subscriptions = 9')}[log]\nlevel = loud\nlevle = info\n`;
    const from = child.stderr.length;
    await rewrite(cluster, text);
    child.signal('SIGHUP');
    const lines = text.split('\n').length - 1;
    await child.line('stderr', (line) => line.includes('levle'), patience, from);
    const events = child.events.slice(from);
    assert.deepEqual(told(events, 'reload_refused').map(({ file, line }) => [file, line]), [[cluster.file, lines - 1], [cluster.file, lines]]);
    assert.match(told(events, 'reload_refused')[0].rule, /^\[log\] level: must be debug, info, warn or error/);
    assert.equal(events.length, 2);
    assert.equal(await cluster.metric('reloads_refused_total', name), 1);
    assert.equal(await cluster.metric('reloads_total', name), 0);
  }
  const reply = await client.command('subscribe', { channel: 'c' });
  assert.equal(reply.error?.code, 106, 'the limit is as it was');
});

scenarioWith('limits hold for those who are connected', { gateway: { subscriptions: 1 }, streams: { messages: 5 } }, async (cluster) => {
  const client = await Client.open(cluster);
  const backend = Backend.open(cluster);
  await client.subscribe('a');
  assert.equal((await client.command('subscribe', { channel: 'b' })).error.code, 106);
  assert.deepEqual(told(await reload(cluster, cluster.gateway, { gateway: { subscriptions: 2 } }), 'setting_changed'),
    [{ setting: '[gateway] subscriptions', before: '1', after: '2' }]);
  await client.subscribe('b');
  assert.equal((await client.command('subscribe', { channel: 'c' })).error.code, 106);

  // The broker: what a publication may weigh, and what is kept of those that are there.
  for (let n = 1; n <= 5; n++) await backend.publish('a', { n });
  await client.publications('a', 5);
  const history = async () => (await client.command('history', { channel: 'a', limit: 10 })).history;
  assert.deepEqual((await history()).publications.map((at) => at.data.n), [1, 2, 3, 4, 5]);
  const { epoch } = await history();
  const events = await reload(cluster, cluster.broker, {
    broker: { payload_bytes: 20 }, 'channel "a"': { messages: 2 }, streams: { messages: 100 },
  });
  assert.deepEqual(told(events, 'setting_changed').map((at) => at.setting), ['[broker] payload_bytes', '[streams] messages', '[channel "a"]']);
  assert.deepEqual((await history()).publications.map((at) => at.data.n), [4, 5]);
  assert.equal((await backend.request('publish', { channel: 'a', payload: { long: 'x'.repeat(30) } })).error.status, 413);

  // The channel goes, and with it its rule; the stream goes on where it was.
  const more = await reload(cluster, cluster.broker, { broker: { payload_bytes: 20 }, streams: { messages: 100 } });
  assert.deepEqual(told(more, 'setting_changed'), [{ setting: '[channel "a"]', before: 'present', after: 'absent' }]);
  for (let n = 6; n <= 8; n++) await backend.publish('a', { n });
  await client.publications('a', 3);
  assert.deepEqual((await history()).publications.map((at) => at.data.n), [4, 5, 6, 7, 8]);
  assert.equal((await history()).epoch, epoch);
});

scenarioWith('what needs a restart is told and stays', { 'backends "acme"': { bind: (at) => `ipc://${at.directory}/acme`, may: 'publish' } }, async (cluster) => {
  const endpoint = `ipc://${cluster.directory}/acme`;
  const backend = Backend.open(cluster, { endpoint });
  await backend.publish('a', { n: 1 });
  const events = await reload(cluster, cluster.broker, {
    node: { name: 'other' }, broker: { admin_port: 0, grants: 5 },
    'backends "acme"': { bind: 'ipc:///nowhere', may: 'history' }, 'backends "more"': { bind: 'ipc:///more' },
  });
  assert.deepEqual(told(events, 'setting_needs_restart'), [
    { setting: '[node] name', in_use: 'node', file: 'other' },
    { setting: '[broker] admin_port', in_use: `${cluster.sections.broker.admin_port}`, file: '0' },
    { setting: '[backends "acme"] bind', in_use: endpoint, file: 'ipc:///nowhere' },
    { setting: '[backends "more"]', in_use: 'absent', file: 'present' },
  ]);
  assert.deepEqual(told(events, 'setting_changed'), [
    { setting: '[broker] grants', before: '100000', after: '5' },
    { setting: '[backends "acme"] may', before: 'publish', after: 'history' },
  ]);
  assert.deepEqual(told(events, 'reloaded'), [{ changed: 2, need_restart: 4 }]);
  assert.equal((await backend.request('publish', { channel: 'a', payload: {} })).error.status, 403, 'the right is gone');
  assert.equal(await cluster.metric('reloads_total', 'broker'), 1, 'where it was');

  const other = await reload(cluster, cluster.gateway, { gateway: { listen_port: 1, name: 'x' } });
  assert.deepEqual(told(other, 'setting_needs_restart').map((at) => at.setting), ['[gateway] name', '[gateway] listen_port']);
  await Client.open(cluster);

  const refused = await reload(cluster, cluster.broker, { 'backends "acme"': { may: 'fly' } }, 'reload_refused');
  assert.match(told(refused, 'reload_refused')[0].rule, /^\[backends "acme"\] may: must be words out of/);
  assert.equal((await backend.request('publish', { channel: 'a', payload: {} })).error.status, 403, 'as before');
});

scenarioWith('whoever comes without a token is refused from now on, who is there stays', {}, async (cluster) => {
  const client = await Client.open(cluster);
  const events = await reload(cluster, cluster.gateway, { gateway: { anonymous: 'no' } });
  assert.deepEqual(told(events, 'setting_changed'), [{ setting: '[gateway] anonymous', before: 'unset', after: 'no' }]);
  const second = await Client.open(cluster, { connect: false });
  assert.equal((await second.command('connect', {})).error.code, 101);
  await client.subscribe('a'); // who is here stays
});

// --- keys ---

const token = (key, more = {}) => makeToken(key, { sub: 'u1', type: 'MEMBER', exp: nowSeconds() + 3600, ...more });

const directory = await temporaryDirectory();
after(() => rm(directory, { recursive: true, force: true }));
const [old, fresh] = ['old', 'fresh'].map((kid) => newKey('HS256', kid));
const put = (...keys) => writeKeys(directory, 'site.keys', ...keys);
await put(old);

scenarioWith('a key is replaced under living clients', {
  gateway: { anonymous: 'no' }, 'site "default"': { keys: join(directory, 'site.keys') },
}, async (cluster) => {
  const connect = async (key) => {
    const client = await Client.open(cluster, { connect: false });
    return { client, reply: await client.command('connect', { token: token(key) }) };
  };
  const refuses = async (key) => {
    const client = await Client.open(cluster, { connect: false });
    client.send(JSON.stringify({ id: 1, connect: { token: token(key) } }));
    assert.equal((await client.closing()).code, 3500);
  };
  const { client, reply } = await connect(old);
  assert.ok(reply.connect, JSON.stringify(reply));
  await client.subscribe('chat');
  await refuses(fresh);

  await put(old, fresh);
  const added = await hangup(cluster.gateway);
  assert.deepEqual(told(added, 'token_key_added'), [{ site: 'default', kid: 'fresh' }]);
  assert.deepEqual(told(added, 'setting_changed'), []);
  assert.ok((await connect(fresh)).reply.connect);
  assert.ok((await connect(old)).reply.connect);

  await put(fresh);
  const removed = await hangup(cluster.gateway);
  assert.deepEqual(told(removed, 'token_key_removed'), [{ site: 'default', kid: 'old' }]);
  // The connection goes on: its token was good when it came.
  await Backend.open(cluster).publish('chat', { n: 1 });
  assert.deepEqual((await client.publication('chat')).data, { n: 1 });
  assert.ok((await client.command('refresh', { token: token(fresh) })).refresh, 'a token of the new key goes on');
  // The gateway takes no token of the old one any more.
  const { client: late } = await connect(fresh);
  late.send(JSON.stringify({ id: 9, refresh: { token: token(old) } }));
  assert.equal((await late.closing()).code, 3500);
  await refuses(old);

  // A key file with an error changes nothing.
  await writeFile(join(directory, 'site.keys'), '{"keys":[{"kty":"oct"}]}');
  const refused = await hangup(cluster.gateway, 'reload_refused');
  assert.match(told(refused, 'reload_refused')[0].rule, /^\[site "default"\] keys: .*site\.keys: /);
  assert.ok((await connect(fresh)).reply.connect);

  // The site goes, and its name stays with those who are there.
  await reload(cluster, cluster.gateway, { 'site "default"': null });
  await Backend.open(cluster).publish('chat', { n: 2 });
  assert.deepEqual((await client.publication('chat')).data, { n: 2 });
  await client.subscribe('news');
  await refuses(fresh);
  assert.ok(!cluster.gateway.stderr.join('\n').includes(fresh.secret.toString('base64url')));
});

// --- memory ---

scenarioWith('while memory is short newcomers are refused, and those who are there notice nothing', {}, async (cluster) => {
  const client = await Client.open(cluster);
  await client.subscribe('chat');
  const ready = async () => {
    const { status, text } = await httpGet(`${cluster.gatewayAdmin}/readyz`);
    return [status, ...JSON.parse(text).reasons];
  };
  assert.ok(await cluster.metric('memory_bytes') > 1e6);
  await reload(cluster, cluster.gateway, { gateway: { memory_bytes: 1000000 } });
  const { bytes, limit } = await cluster.gateway.event('memory_short');
  assert.equal(limit, 1000000);
  assert.ok(bytes > limit);
  assert.deepEqual(await ready(), [503, 'no memory for more connections, see the setting memory_bytes']);
  const refused = await answerTo(await tcp(cluster.clientPort), handshake(cluster.clientPort));
  assert.equal(refused.status, 503);
  assert.match(refused.rest.toString(), /^no memory for more connections/);
  const stream = await fetch(`http://127.0.0.1:${cluster.clientPort}/connection/http_stream`, { method: 'POST', body: '{"id":1,"connect":{}}' });
  assert.deepEqual([stream.status, (await stream.text()).trim()], [503, 'no memory for more connections']);
  assert.equal(await cluster.metric('refused_memory_total'), 1);
  assert.equal(await cluster.metric('fallback_refused_memory_total'), 1);
  assert.equal(await cluster.metric('memory_limit_bytes'), 1000000);
  const { offset } = await Backend.open(cluster).publish('chat', { n: 1 });
  assert.equal((await client.publication('chat')).offset, offset);

  await reload(cluster, cluster.gateway, {});
  await cluster.gateway.event('memory_enough');
  await until(patience, 'it to be ready', async () => (await ready())[0] === 200);
  const late = await Client.open(cluster);
  await late.subscribe('chat');
});

// --- who may read ---

scenarioWith('a rule that is added ends what it forbids', {}, async (cluster) => {
  const client = await Client.open(cluster);
  await client.subscribe('chat');
  await client.subscribe('news');
  const events = await reload(cluster, cluster.broker, { 'rule "members"': { channel: 'chat', allow: 'member' } });
  assert.deepEqual(told(events, 'setting_changed'), [{ setting: '[rule "members"]', before: 'absent', after: 'present' }]);
  const { unsubscribe, channel } = await client.push((push) => push.unsubscribe);
  assert.equal(channel, 'chat');
  assert.equal(unsubscribe.code, 2403);
  assert.equal((await client.command('subscribe', { channel: 'chat' })).error.code, 403);
  await Backend.open(cluster).publish('news', { n: 1 });
  assert.deepEqual((await client.publication('news')).data, { n: 1 });
  assert.equal(await cluster.metric('rechecks_total', 'broker'), 1);

  await reload(cluster, cluster.broker, {});
  await client.subscribe('chat');
});
