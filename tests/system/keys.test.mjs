// Keys and tokens of the command line, and what processes say about key files that are wrong.
import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after } from 'node:test';
import { Client } from './client.mjs';
import { programs, run, scenario, scenarioWith, temporaryDirectory } from './harness.mjs';

const directory = await temporaryDirectory();
after(() => rm(directory, { recursive: true, force: true }));
const at = (name) => join(directory, name);
const millrace = (...args) => run(programs.cli, args);

async function done(...args) {
  const { code, stdout, stderr } = await millrace(...args);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  return stdout;
}

async function refused(code, rule, ...args) {
  const result = await millrace(...args);
  assert.equal(result.code, code, result.stderr);
  assert.match(result.stderr, rule);
  assert.equal(result.stdout, '');
}

const mode = async (path) => ((await stat(path)).mode & 0o777).toString(8);
const algorithms = ['HS', 'RS', 'PS', 'ES'].flatMap((family) => ['256', '384', '512'].map((size) => family + size));

// Two sites: what the command line makes is what a gateway takes.
await mkdir(at('made'));
for (const alg of algorithms) {
  const all = at('made/all.keys');
  const how = alg === algorithms[0] ? ['--out', all] : ['--add', all];
  await done('keys', 'new', '--alg', alg, '--kid', alg, ...how);
}
await done('keys', 'new', '--alg', 'ES256', '--kid', 'own', '--out', at('made/own.keys'));
await writeFile(at('made/own.public'), await done('keys', 'public', at('made/own.keys')));
const sets = JSON.parse(await readFile(at('made/all.keys'), 'utf8'));
// The gateway gets secrets that it needs and the public halves of the others.
await writeFile(at('made/gateway.keys'), JSON.stringify({
  keys: sets.keys.map((key) => (key.kty === 'oct' ? key
    : Object.fromEntries(Object.entries(key).filter(([name]) => !['d', 'p', 'q', 'dp', 'dq', 'qi'].includes(name))))),
}), { mode: 0o600 });

scenarioWith('every key makes tokens that a gateway takes', {
  'site "acme"': { keys: at('made/gateway.keys') },
  'site "own"': { keys: at('made/own.public'), require_exp: 'no', issuer: 'me', audience: 'you' },
}, async (cluster) => {
  const open = async (...args) => {
    const client = await Client.open(cluster, { connect: false });
    return client.command('connect', { token: (await done('token', ...args)).trim() });
  };
  for (const alg of algorithms) {
    const { connect } = await open('--key', at('made/all.keys'), '--kid', alg, '--type', 'MEMBER', '--subject', 'u1', '--site', 'acme');
    assert.equal(connect?.expires, true, alg);
    assert.ok(connect.ttl > 3500 && connect.ttl <= 3600);
  }
  const own = ['--key', at('made/own.keys'), '--issuer', 'me', '--audience', 'you'];
  assert.equal((await open(...own, '--expires', 'never', '--app', 'shop', '--view', 'preview')).connect.expires, undefined);
  assert.ok((await open(...own, '--expires', '-20')).connect, 'the leeway');
  assert.equal((await open(...own, '--expires', '-61')).error.code, 109);
  assert.equal((await open(...own, '--not-before', '3600')).error.code, 109);
  assert.ok((await open(...own, '--not-before', '30')).connect, 'the leeway');
});

scenario('a key file is for its owner alone, and never overwritten', null, async () => {
  const path = at('first.keys');
  assert.equal(await done('keys', 'new', '--alg', 'HS256', '--kid', 'a', '--out', path), '');
  assert.equal(await mode(path), '600');
  const before = await readFile(path, 'utf8');
  const { keys: [{ k, ...rest }] } = JSON.parse(before);
  assert.deepEqual(rest, { kid: 'a', alg: 'HS256', use: 'sig', kty: 'oct' });
  assert.equal(Buffer.from(k, 'base64url').length, 32);
  await refused(64, /is there already; to add a key to it: --add/, 'keys', 'new', '--alg', 'HS256', '--kid', 'b', '--out', path);
  await refused(64, /has a key --kid 'a' already/, 'keys', 'new', '--alg', 'HS256', '--kid', 'a', '--add', path);
  assert.equal(await readFile(path, 'utf8'), before);
  await done('keys', 'new', '--alg', 'RS256', '--kid', 'b', '--add', path);
  const both = JSON.parse(await readFile(path, 'utf8'));
  assert.deepEqual(both.keys.map((key) => [key.kid, key.k]), [['a', k], ['b', undefined]]);
  assert.equal(await mode(path), '600');
  await refused(64, /has 2 keys: --kid must say which one/, 'token', '--key', path);
  await refused(64, /--kid 'c': .* has no such key/, 'token', '--key', path, '--kid', 'c');
  await refused(70, /No such file|denied/, 'keys', 'new', '--alg', 'HS256', '--kid', 'a', '--out', at('none/x.keys'));
  assert.deepEqual((await readdir(directory)).filter((name) => name.startsWith('first')), ['first.keys'], 'nothing is left behind');
});

scenario('the public half of a key has nothing that signs', null, async () => {
  for (const alg of ['RS256', 'PS512', 'ES384']) {
    const path = at(`${alg}.private`);
    const text = await done('keys', 'new', '--alg', alg, '--kid', 'a');
    await writeFile(path, text, { mode: 0o600 });
    const [whole] = JSON.parse(text).keys;
    const publicText = await done('keys', 'public', path);
    const [half] = JSON.parse(publicText).keys;
    const names = alg === 'ES384' ? ['crv', 'x', 'y'] : ['n', 'e'];
    assert.deepEqual(half, Object.fromEntries(['kid', 'alg', 'use', 'kty', ...names].map((name) => [name, whole[name]])));
    assert.ok(!publicText.includes(whole.d));
    await writeFile(at('half.keys'), publicText);
    await refused(64, /only the public half of key "a", which cannot sign/, 'token', '--key', at('half.keys'));
  }
  await done('keys', 'new', '--alg', 'HS256', '--kid', 'a', '--out', at('secret.keys'));
  await refused(65, /HS256 is a shared secret and has no public half/, 'keys', 'public', at('secret.keys'));
});

const key = (more) => ({ kty: 'oct', alg: 'HS256', kid: 'a', k: Buffer.alloc(32, 7).toString('base64url'), ...more });
const rsa = JSON.parse(await readFile(at('made/all.keys'), 'utf8')).keys.find(({ kid }) => kid === 'RS256');

// name: [content of the file, mode, rule]
const wrongFiles = {
  'not JSON': ['{"keys":[', 0o600, /not JSON/],
  'no set': [key(), 0o600, /must be a JWK Set/],
  'no key': [{ keys: [] }, 0o600, /there is no key in it/],
  'a key without alg': [{ keys: [key({ alg: undefined })] }, 0o600, /key 1 \(kid "a"\): `alg` must be there/],
  'a key without kid': [{ keys: [key(), key({ kid: undefined })] }, 0o600, /key 2: `kid` must be there/],
  'alg none': [{ keys: [key({ alg: 'none' })] }, 0o600, /key 1 \(kid "a"\): `alg`/],
  'an alg that is not of its kty': [{ keys: [key({ alg: 'RS256' })] }, 0o600, /`kty` is not the one of its `alg`/],
  'a kid twice': [{ keys: [key(), key({ k: Buffer.alloc(32, 8).toString('base64url') })] }, 0o600, /key 2 \(kid "a"\): another key has this `kid`/],
  'a short secret': [{ keys: [key({ k: 'c2VjcmV0' })] }, 0o600, /`k` is shorter than the hash/],
  'a private RSA key': [{ keys: [rsa] }, 0o600, /it is private \(`d`\).*millrace keys public/],
  'a secret that everybody may read': [{ keys: [key()] }, 0o644, /everybody may read it.*chmod o-r/],
  'a file that everybody may write': [{ keys: [{ ...rsa, d: undefined, p: undefined, q: undefined, dp: undefined, dq: undefined, qi: undefined }] },
    0o646, /everybody may write it.*chmod o-w/],
  'a kid of another site': [{ keys: [key({ kid: 'own' })] }, 0o600, /its `kid` is taken by \[site "other"\]/],
};

for (const [name, [content, bits, rule]] of Object.entries(wrongFiles)) {
  scenario(`a gateway refuses to start with a wrong key file: ${name}`, null, async () => {
    const path = at('wrong.keys');
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    await writeFile(path, text);
    await chmod(path, bits);
    const ini = at('wrong.ini');
    await writeFile(ini, '[site "other"]\nkeys = made/own.public\n\n[site "acme"]\nkeys = wrong.keys\n');
    for (const command of [[programs.gateway, ['--config', ini]], [programs.cli, ['check-config', ini]]]) {
      const { code, stdout, stderr } = await run(...command);
      assert.equal(code, 78, stderr);
      assert.equal(stdout, '');
      assert.ok(stderr.startsWith(`${ini}:4: [site "acme"] keys: ${path}: `), stderr);
      assert.match(stderr, rule);
      for (const secret of [content.keys?.[0]?.k, rsa.d, rsa.p]) {
        assert.ok(!secret || secret.length < 20 || !stderr.includes(secret), 'no secret is told');
      }
    }
  });
}

scenario('a key file that is not there', null, async () => {
  const ini = at('none.ini');
  await writeFile(ini, '[site "acme"]\nkeys = none.keys\n');
  const { code, stderr } = await run(programs.cli, ['check-config', ini]);
  assert.equal(code, 78);
  assert.equal(stderr, `${ini}:1: [site "acme"] keys: ${at('none.keys')}: cannot be read: No such file or directory\n`);
  await refused(65, /none\.keys: cannot be read/, 'token', '--key', at('none.keys'));
  await refused(65, /none\.keys: cannot be read/, 'keys', 'public', at('none.keys'));
  await refused(65, /none\.token: no token can be read/, 'subscribe', 'chat', '--token', at('none.token'));
});
