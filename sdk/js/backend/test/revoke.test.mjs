// revoke() and disconnect(): what goes out, what is refused before, what comes back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backendOf, FakeBroker, refusal } from './broker.mjs';

async function asked(context) {
  const broker = await FakeBroker.open(context);
  broker.reply.revoke = () => ({ affected: 3n, ended: 2, unconfirmed: 1, more: true });
  broker.reply.disconnect = () => ({ affected: 2, unconfirmed: 0, ended: 2 });
  const { backend } = backendOf(broker);
  const last = () => {
    const { id, peer, at, within, ...request } = broker.requests.at(-1);
    assert.ok(at >= 0 && at <= performance.now());
    assert.equal(within, 5000);
    return request;
  };
  return { broker, backend, last };
}

test('revoke', async (context) => {
  const { backend, last } = await asked(context);
  const result = await backend.revoke({ channel: { name: 'chat' }, mode: 'deny' });
  assert.deepEqual(result, { affected: 3, ended: 2, unconfirmed: 1 });
  assert.deepEqual(last(), { op: 'revoke', mode: 'deny', channel: 'chat' }, 'with all its resources');
  await backend.revoke({ channel: { name: 'chat', resourceId: '' }, mode: 'deny' });
  assert.deepEqual(last(), { op: 'revoke', mode: 'deny', channel: 'chat', resource: '' }, 'itself alone');
  await backend.revoke({ channel: { name: 'chat', resourceId: null }, subscriber: null, mode: 'deny' });
  assert.deepEqual(last(), { op: 'revoke', mode: 'deny', channel: 'chat' });
  await backend.revoke({ channel: { name: 'chat', resourceId: 'a:b' }, subscriber: { id: 'u', type: 'MEMBER' }, mode: 'recheck' }, { site: 's', app: 'a', timeoutMs: 5000 });
  assert.deepEqual(last(), { op: 'revoke', mode: 'recheck', channel: 'chat', resource: 'a:b', subscriber: { id: 'u', type: 'MEMBER' }, site: 's', app: 'a' });
  await backend.revoke({ subscriber: { id: '', type: null }, mode: 'recheck' });
  assert.deepEqual(last(), { op: 'revoke', mode: 'recheck', subscriber: { id: '' } });
});

test('disconnect', async (context) => {
  const { backend, last } = await asked(context);
  assert.deepEqual(await backend.disconnect({ subscriber: { id: 'u' } }), { affected: 2, unconfirmed: 0 });
  assert.deepEqual(last(), { op: 'disconnect', subscriber: { id: 'u' } });
  await backend.disconnect({ subscriber: { id: 'u', type: 'ADMIN' }, reason: 'ä'.repeat(50) }, { site: 's', timeoutMs: 5000 });
  assert.deepEqual(last(), { op: 'disconnect', subscriber: { id: 'u', type: 'ADMIN' }, reason: 'ä'.repeat(50), site: 's' });
});

test('what breaks a rule is not sent', async (context) => {
  const { backend, broker } = await asked(context);
  const revoked = (rule, ...args) => assert.rejects(backend.revoke(...args), refusal('BadInputError', rule));
  const disconnected = (rule, ...args) => assert.rejects(backend.disconnect(...args), refusal('BadInputError', rule));
  const [channel, subscriber, mode] = [{ name: 'c' }, { id: 'u' }, 'deny'];
  await revoked(/^revoke: must be an object, not undefined/);
  await revoked(/^revoke: a channel or a subscriber must be given/, { mode });
  await revoked(/^revoke: a channel or a subscriber must be given/, { channel: null, subscriber: undefined, mode });
  await revoked(/^revoke: there is no "resource", only channel, subscriber, mode/, { channel, resource: 'r', mode });
  await revoked(/^mode: must be "recheck" or "deny"/, { channel });
  await revoked(/^mode: must be "recheck" or "deny"/, { channel, mode: 'allow' });
  await revoked(/^channel\.name: only letters/, { channel: { name: 'a b' }, mode });
  await revoked(/^channel: must be an object/, { channel: 'c', mode });
  await revoked(/^subscriber: must be an object/, { subscriber: 'u', mode });
  await revoked(/^subscriber\.id: must be a string/, { subscriber: { type: 'MEMBER' }, mode });
  await revoked(/^subscriber\.id: longer than 256 bytes/, { subscriber: { id: 'x'.repeat(257) }, mode });
  await revoked(/^subscriber\.type: must be "ADMIN", "MEMBER", "VISITOR"/, { subscriber: { id: 'u', type: 'member' }, mode });
  await revoked(/^subscriber: there is no "name", only id, type/, { subscriber: { id: 'u', name: 'x' }, mode });
  await revoked(/^options: there is no "view"/, { channel, mode }, { view: 'live' });
  await revoked(/^app: must be 1 to 64/, { channel, mode }, { app: 'a b' });
  await disconnected(/^disconnect: must be an object/, null);
  await disconnected(/^subscriber: must be an object, not undefined/, {});
  await disconnected(/^reason: must be a string/, { subscriber, reason: 5 });
  await disconnected(/^reason: must not be empty/, { subscriber, reason: '' });
  await disconnected(/^reason: longer than 100 bytes/, { subscriber, reason: 'ä'.repeat(51) });
  await disconnected(/^disconnect: there is no "channel"/, { subscriber, channel });
  await disconnected(/^options: there is no "app", only site, timeoutMs/, { subscriber }, { app: 'a' });
  assert.deepEqual(broker.requests, []);
});

test('refusals, and no answer', async (context) => {
  const { backend, broker } = await asked(context);
  broker.reply.revoke = () => ({ error: { status: 403, code: 'forbidden', message: 'op: this endpoint may not revoke' } });
  broker.reply.disconnect = () => null;
  await assert.rejects(backend.revoke({ subscriber: { id: 'u' }, mode: 'deny' }), refusal('ForbiddenError', /may not revoke/));
  await assert.rejects(backend.disconnect({ subscriber: { id: 'u' } }, { timeoutMs: 30 }), (error) => error.name === 'TimeoutError' && error.outcome === 'unknown');
});

test('nothing is revoked twice when the connection breaks', async (context) => {
  const { backend, broker } = await asked(context);
  broker.reply.revoke = () => null;
  await backend.ping();
  const revoked = backend.revoke({ subscriber: { id: 'u' }, mode: 'deny' });
  const end = assert.rejects(revoked, refusal('DisconnectedError', /broke before it answered/));
  while (broker.of('revoke').length === 0) await new Promise((done) => setImmediate(done));
  await broker.stop();
  await end;
  await broker.start();
  await backend.ping();
  assert.equal(broker.of('revoke').length, 1);
});
