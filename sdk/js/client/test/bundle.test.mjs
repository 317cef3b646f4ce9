import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { eventually, FakeGateway } from './gateway.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const file = join(root, 'dist/millrace-client.js');

function build(...options) {
  return spawnSync(process.execPath, [join(root, 'build.mjs'), ...options], { encoding: 'utf8' });
}

test('the build prints the size of the bundle, which is at most 60 KiB gzipped', async () => {
  const { status, stdout, stderr } = build();
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^dist\/millrace-client\.js: \d+\.\d KiB, \d+\.\d KiB gzipped \(limit 60 KiB\)\n$/);
  assert.ok(gzipSync(await readFile(file), { level: 9 }).length <= 60 * 1024);
});

test('a bundle above the limit fails the build', () => {
  const { status, stderr } = build('--limit-kib=1');
  assert.equal(status, 1);
  assert.match(stderr, /too large: \d+\.\d KiB gzipped, above 1 KiB/);
});

test('the bundle is one module that needs nothing else', async () => {
  const text = await readFile(file, 'utf8');
  assert.doesNotMatch(text, /\bimport\s*[\w{*"']|\brequire\(|\bprocess\./);
  const bundle = await import(file);
  assert.deepEqual(Object.keys(bundle).sort(), Object.keys(await import('@millrace/client')).sort());

  const gateway = new FakeGateway();
  bundle.connect({ url: 'ws://gateway.test', websocket: gateway.WebSocket });
  const seen = [];
  bundle.subscribe({ name: 'chat' }, ({ payload }) => seen.push(payload), { onSubscribed: (id, isSynced) => seen.push(isSynced) });
  await eventually(() => seen.length === 1);
  gateway.publish('chat', { n: 1 });
  await eventually(() => seen.length === 2);
  bundle.close();
  assert.deepEqual(seen, [false, { n: 1 }]);
});
