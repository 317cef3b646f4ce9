// Connection tokens: who gets in, as whom, where to, and for how long.
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after } from 'node:test';
import { Backend } from './backend.mjs';
import { Client, sdkClient, sdkSubscription, sdkVersions } from './client.mjs';
import { patience, scenarioWith, sharedCluster, temporaryDirectory, until } from './harness.mjs';
import { keysOfAllAlgorithms, makeToken, newKey, nowSeconds, signTexts, writeKeys } from './tokens.mjs';

const directory = await temporaryDirectory();
after(() => rm(directory, { recursive: true, force: true }));

const keys = keysOfAllAlgorithms('acme');
const key = keys.HS256; // of acme, for what does not depend on the algorithm
const strictKey = newKey('HS256', 'strict');
const defaultKey = newKey('HS384', 'default');
const grace = 8; // seconds after a token's end
const demands = { iss: 'https://issuer.example', aud: 'millrace' };

const endpoints = Object.fromEntries(['default', 'acme', 'strict'].map((site) => [site, `ipc://${directory}/${site}.sock`]));
const rights = 'publish history preview';
const { cluster, scenario } = sharedCluster({
  'site "acme"': { keys: await writeKeys(directory, 'acme.keys', ...Object.values(keys)) },
  'site "strict"': {
    keys: await writeKeys(directory, 'strict.keys', strictKey),
    issuer: demands.iss, audience: demands.aud, require_exp: 'no', anonymous: 'no',
  },
  'site "default"': { keys: await writeKeys(directory, 'default.keys', defaultKey) },
  'backends "default"': { bind: endpoints.default, may: rights },
  'backends "acme"': { bind: endpoints.acme, site: 'acme', apps: 'shop', may: rights },
  'backends "strict"': { bind: endpoints.strict, site: 'strict', may: rights },
  gateway: { expired_seconds: grace },
});

async function open(token, of = cluster) {
  const client = await Client.open(of, { connect: false });
  client.reply = await client.command('connect', token === undefined ? {} : { token });
  return client;
}

async function openGood(token, of) {
  const client = await open(token, of);
  assert.ok(client.reply.connect, JSON.stringify(client.reply));
  return client;
}

const backend = (site) => Backend.open(cluster, { endpoint: endpoints[site] });

// --- good tokens ---

for (const [alg, own] of Object.entries(keys)) {
  scenario(`a token signed with ${alg} is good, and one with its last letter changed is not`, async () => {
    const token = makeToken(own);
    const client = await openGood(token);
    const { expires, ttl } = client.reply.connect;
    assert.equal(expires, true);
    assert.ok(ttl > 3500 && ttl <= 3600, `${ttl}`);
    const at = token.length - 10;
    const changed = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
    const other = await Client.open(cluster, { connect: false });
    other.send(JSON.stringify({ id: 1, connect: { token: changed } }));
    assert.deepEqual(await other.closing(), { code: 3500, reason: 'invalid token: the signature is wrong' });
  });
}

scenario('without exp, where the site allows it, the connection does not expire', async () => {
  const client = await openGood(makeToken(strictKey, { ...demands, exp: undefined }));
  assert.equal(client.reply.connect.expires, undefined);
  assert.equal(client.reply.connect.ttl, undefined);
});

scenario('without a kid a token is refused, because there are several keys', async () => {
  await refused(makeToken(key, {}, { header: { kid: undefined } }), 'no key has this kid');
});

scenarioWith('where there is one key a token needs no kid', {
  'site "default"': { keys: join(directory, 'default.keys') },
}, async (own) => {
  await openGood(makeToken(defaultKey, {}, { header: { kid: undefined } }), own);
});

// --- bad tokens: closed for good, and the reason names the rule ---

const secrets = []; // signatures that must not be in any log

async function refused(token, rule) {
  secrets.push(token.split('.').pop());
  const before = await cluster.metric('tokens_refused_total');
  const client = await Client.open(cluster, { connect: false });
  client.send(JSON.stringify({ id: 1, connect: { token } }));
  const { code, reason } = await client.closing();
  assert.equal(code, 3500, reason);
  assert.ok(reason.startsWith('invalid token: '), reason);
  assert.ok(reason.includes(rule), `${reason}: ${rule}`);
  assert.equal(await cluster.metric('tokens_refused_total'), before + 1);
}

const now = nowSeconds();
const good = { exp: now + 3600, type: 'MEMBER', sub: 'user-1' };
const header = (more) => JSON.stringify({ alg: 'HS256', kid: key.kid, ...more });
const signed = (head, claims = good) => signTexts(head, JSON.stringify(claims), 'HS256', key.secret);
const withClaims = (claims) => makeToken(key, claims);
const publicKey = createPublicKey(keys.RS256.secret);
const pem = publicKey.export({ type: 'spki', format: 'pem' });
const modulus = Buffer.from(publicKey.export({ format: 'jwk' }).n, 'base64url');
const unsigned = (alg) => signed(header({ alg })).replace(/[^.]*$/, '');
const asHmac = (secret) => makeToken(keys.RS256, {}, { header: { alg: 'HS256' }, alg: 'HS256', secret });

const bad = {
  'no token at all': ['x', 'not a JWT'],
  'two parts': ['e30.e30', 'not a JWT'],
  'a JWE': ['e30.e30.e30.e30.e30', 'not a JWT'],
  'a character that is not base64url': [`${withClaims({})}=`, 'not a JWT'],
  'alg none': [signed(header({ alg: 'none' })), 'alg is not the one of its key'],
  'alg None': [signed(header({ alg: 'None' })), 'alg is not the one of its key'],
  'alg nOnE': [signed(header({ alg: 'nOnE' })), 'alg is not the one of its key'],
  'alg none and no signature': [unsigned('none'), 'not signed'],
  'alg nOnE and no signature': [unsigned('nOnE'), 'not signed'],
  'an empty signature': [unsigned('HS256'), 'not signed'],
  'half a signature': [withClaims({}).slice(0, -20), 'the signature is wrong'],
  'HS256 signed with the PEM text of an RSA key': [asHmac(pem), 'alg is not the one of its key'],
  'HS256 signed with the modulus of an RSA key': [asHmac(modulus), 'alg is not the one of its key'],
  'PS256 signed with the key of RS256': [
    makeToken(keys.RS256, {}, { header: { alg: 'PS256' }, alg: 'PS256' }), 'alg is not the one of its key'],
  'RS256 in the header, PS256 in the signature': [makeToken(keys.RS256, {}, { alg: 'PS256' }), 'the signature is wrong'],
  'another secret': [makeToken(key, {}, { secret: strictKey.secret }), 'the signature is wrong'],
  'another private key': [makeToken(keys.ES256, {}, { secret: keys.ES384.secret }), 'the signature is wrong'],
  'a swapped kid': [makeToken(key, {}, { header: { kid: strictKey.kid } }), 'the signature is wrong'],
  'the kid of another algorithm': [makeToken(key, {}, { header: { kid: keys.HS512.kid } }), 'alg is not the one of its key'],
  'a kid that is a path': [makeToken(key, {}, { header: { kid: '../../../../dev/null' } }), 'no key has this kid'],
  'a kid that is the path of the keys': [
    makeToken(key, {}, { header: { kid: join(directory, 'acme.keys') } }), 'no key has this kid'],
  'a kid with a zero byte': [makeToken(key, {}, { header: { kid: `${key.kid}\0` } }), 'no key has this kid'],
  'a kid that is an array': [makeToken(key, {}, { header: { kid: [key.kid] } }), 'a member of the header'],
  'two alg members': [signed(`{"alg":"none","alg":"HS256","kid":"${key.kid}"}`), 'the header is not'],
  'two alg members, both good': [signed(`{"alg":"HS256","alg":"HS256","kid":"${key.kid}"}`), 'the header is not'],
  'two alg members, one in disguise': [
    signed(`{"alg":"HS256","kid":"${key.kid}","\\u0061lg":"none"}`), 'the header is not'],
  'a header that is an array': [signed('["HS256"]'), 'the header is not'],
  'a critical extension': [signed(header({ crit: ['exp'] })), 'the header brings a key'],
  'a key of its own': [signed(header({ jwk: keys.HS512.jwk })), 'the header brings a key'],
  'the address of a key': [signed(header({ jku: 'http://127.0.0.1/keys' })), 'the header brings a key'],
  'claims that are no object': [signTexts(header(), '[]', 'HS256', key.secret), 'the claims are not'],
  'two sub claims': [
    signTexts(header(), `{"exp":${now + 60},"type":"MEMBER","sub":"a","sub":"b"}`, 'HS256', key.secret), 'the claims are not'],
  "another site's": [withClaims({ site: 'strict' }), 'site is not the one of its key'],
  'no site': [withClaims({ site: '' }), 'site is not the one of its key'],
  'a subscription token': [withClaims({ channel: 'chat' }), 'subscription token'],
  'a MEMBER without sub': [withClaims({ sub: undefined }), 'need a sub'],
  'a MEMBER with an empty sub': [withClaims({ sub: '' }), 'need a sub'],
  'an ADMIN without sub': [withClaims({ type: 'ADMIN', sub: undefined }), 'need a sub'],
  'no type': [withClaims({ type: undefined }), 'type must be'],
  'a type in small letters': [withClaims({ type: 'member' }), 'type must be'],
  'a type that there is not': [withClaims({ type: 'OWNER' }), 'type must be'],
  'a view that there is not': [withClaims({ view: 'live' }), 'view must be'],
  'an app that is none': [withClaims({ app: 'a/b' }), 'app is no app id'],
  'no exp where one is needed': [withClaims({ exp: undefined }), 'exp is missing'],
  'exp as text': [withClaims({ exp: `${now + 3600}` }), 'wrong JSON type'],
  'sub as a number': [withClaims({ sub: 7 }), 'wrong JSON type'],
  'type as an array': [withClaims({ type: ['MEMBER'] }), 'wrong JSON type'],
  'site as null': [withClaims({ site: null }), 'wrong JSON type'],
  'aud as an object': [withClaims({ aud: {} }), 'wrong JSON type'],
  'a sub of 257 bytes': [withClaims({ sub: 'x'.repeat(257) }), 'wrong JSON type or is too long'],
  'another issuer': [makeToken(strictKey, { ...demands, iss: 'https://other.example' }), 'iss is not'],
  'no issuer': [makeToken(strictKey, { aud: demands.aud }), 'iss is not'],
  'another audience': [makeToken(strictKey, { ...demands, aud: ['a', 'b'] }), 'aud does not'],
  '5,000 bytes': [withClaims({ more: 'x'.repeat(3500) }), 'longer than 4096 bytes'],
  '200,000 bytes': [withClaims({ more: 'x'.repeat(150000) }), 'longer than 4096 bytes'],
};
for (const [name, [token, rule]] of Object.entries(bad)) {
  scenario(`refused: ${name}`, () => refused(token, rule));
}

scenario('1 MB closes the connection before it is read', async () => {
  const client = await Client.open(cluster, { connect: false });
  client.send(JSON.stringify({ id: 1, connect: { token: 'x'.repeat(1024 * 1024) } }));
  assert.equal((await client.closing()).code, 1009);
});

// For these the SDK asks for another token instead of giving up.
for (const [name, claims, message] of [
  ['expired', { exp: now - 61 }, 'token expired'],
  ['expired long ago', { exp: 1 }, 'token expired'],
  ['not valid yet', { nbf: now + 3600 }, 'token is not valid yet'],
]) {
  scenario(`refused with error 109: ${name}`, async () => {
    const client = await open(withClaims(claims));
    assert.deepEqual(client.reply.error, { code: 109, message });
  });
}

scenario('the log names the rule and the key, and no token', async () => {
  const token = withClaims({ type: 'BOSS', sub: 'nobody' });
  // Lines of one kind are limited a second, and the tests before this one made many.
  const event = await until(patience, 'a line about it', async () => {
    await refused(token, 'type must be');
    return cluster.gateway.events.find((at) => at.event === 'token_refused' && at.rule.includes('type must be'));
  });
  assert.equal(event.site, 'acme');
  assert.equal(event.kid, key.kid);
  const log = cluster.gateway.stderr.join('\n');
  for (const part of secrets) assert.ok(part.length < 10 || !log.includes(part), part);
});

// --- who may be nobody ---

scenario('anonymous visitors: each site has its own rule', async () => {
  const visitor = { type: 'VISITOR', sub: undefined };
  await openGood(undefined); // the default site
  await openGood(makeToken(defaultKey, visitor));
  await openGood(makeToken(key, visitor));
  const client = await open(makeToken(strictKey, { ...demands, ...visitor }));
  assert.deepEqual(client.reply.error, { code: 101, message: 'visitors of this site need a sub' });
  await openGood(makeToken(strictKey, { ...demands, type: 'VISITOR', sub: 'v-1' }));
});

scenarioWith('the default site may demand a token', {
  'site "default"': { keys: join(directory, 'default.keys'), anonymous: 'no' },
}, async (own) => {
  assert.equal((await open(undefined, own)).reply.error.code, 101);
  await openGood(makeToken(defaultKey), own);
});

// --- where to ---

// What two clients get on `channel` when each of two backends publishes there: only its own.
async function isolated([first, publishFirst], [second, publishSecond], channel) {
  await first.subscribe(channel);
  await second.subscribe(channel);
  const own = [[], []];
  for (let n = 1; n <= 5; n++) {
    own[0].push((await publishFirst({ from: 1, n })).offset);
    own[1].push((await publishSecond({ from: 2, n })).offset);
  }
  for (const [client, from] of [[first, 1], [second, 2]]) {
    const got = await client.publications(channel, 5);
    assert.deepEqual(got.map((at) => at.data), [1, 2, 3, 4, 5].map((n) => ({ from, n })));
    const { history } = await client.command('history', { channel, limit: -1 });
    assert.deepEqual(history.publications.map((at) => at.data.from), [from, from, from, from, from]);
    assert.equal(history.offset, 5);
    assert.deepEqual(client.pushes, []);
  }
}

scenario('sites do not hear each other on one channel', async () => {
  const [acme, strict] = [backend('acme'), backend('strict')];
  const one = await openGood(makeToken(key));
  const two = await openGood(makeToken(strictKey, demands));
  await isolated([one, (payload) => acme.publish('sites:room', payload)],
    [two, (payload) => strict.publish('sites:room', payload)], 'sites:room');
  const anonymous = await openGood(undefined);
  const { history } = await anonymous.subscribe('sites:room').then(() => anonymous.command('history', { channel: 'sites:room', limit: -1 }));
  assert.deepEqual(history.publications, []);
});

scenario('preview and live do not hear each other', async () => {
  const acme = backend('acme');
  const live = await openGood(makeToken(key));
  const preview = await openGood(makeToken(key, { view: 'preview' }));
  await isolated([live, (payload) => acme.publish('views', payload)],
    [preview, (payload) => acme.publish('views', payload, { view: 'preview' })], 'views');
});

scenario('an app and the site do not hear each other', async () => {
  const acme = backend('acme');
  const site = await openGood(makeToken(key));
  const app = await openGood(makeToken(key, { app: 'shop' }));
  await isolated([site, (payload) => acme.publish('apps', payload)],
    [app, (payload) => acme.publish('apps', payload, { app: 'shop' })], 'apps');
  for (const [client, channel, code] of [[app, '/apps', 403], [app, 'other/apps', 404], [site, 'shop/apps', 404]]) {
    const { error } = await client.command('subscribe', { channel });
    assert.equal(error?.code, code, channel);
    assert.equal(error.temporary ?? false, false);
  }
  assert.equal((await app.command('subscribe', { channel: 'shop/apps' })).error.code, 105); // its own, said aloud
});

// --- for how long ---

for (const [name, token] of Object.entries({
  'another subscriber': () => makeToken(key, { sub: 'user-2' }),
  'another role': () => makeToken(key, { type: 'ADMIN' }),
  'another site': () => makeToken(strictKey, demands),
  'another app': () => makeToken(key, { app: 'shop' }),
  'another view': () => makeToken(key, { view: 'preview' }),
})) {
  scenario(`refresh for ${name} closes with 3500`, async () => {
    const client = await openGood(makeToken(key));
    client.send(JSON.stringify({ id: 2, refresh: { token: token() } }));
    assert.deepEqual(await client.closing(), {
      code: 3500, reason: 'invalid token: it is for another subscriber, site, app or view',
    });
  });
}

scenario('refresh of an anonymous connection as somebody closes with 3500', async () => {
  const client = await openGood(undefined);
  client.send(JSON.stringify({ id: 2, refresh: { token: makeToken(defaultKey) } }));
  assert.equal((await client.closing()).code, 3500);
});

scenario('refresh with an expired token closes with 3005', async () => {
  const client = await openGood(makeToken(key));
  client.send(JSON.stringify({ id: 2, refresh: { token: makeToken(key, { exp: nowSeconds() - 100 }) } }));
  assert.deepEqual(await client.closing(), { code: 3005, reason: 'connection expired' });
});

// --- the stock SDK ---

for (const version of Object.keys(sdkVersions)) {
  scenario(`SDK ${version}: an expired token makes it ask for another`, async () => {
    let asked = 0;
    const client = sdkClient(cluster, version, {
      token: makeToken(key, { exp: nowSeconds() - 100 }),
      getToken: async () => {
        asked++;
        return makeToken(key);
      },
    });
    client.connect();
    await client.expect('connected');
    assert.equal(asked, 1);
    assert.equal((await client.expect('error')).error.code, 109);
  });

  scenario(`SDK ${version}: an expired token and no getToken ends it`, async () => {
    const client = sdkClient(cluster, version, { token: makeToken(key, { exp: nowSeconds() - 100 }) });
    client.connect();
    assert.equal((await client.expect('disconnected')).code, 1);
  });

  scenario(`SDK ${version}: a bad token ends it`, async () => {
    const client = sdkClient(cluster, version, { token: makeToken(key, { type: 'BOSS' }) });
    client.connect();
    const { code, reason } = await client.expect('disconnected');
    assert.deepEqual({ code, reason }, { code: 3500, reason: 'invalid token: type must be ADMIN, MEMBER or VISITOR' });
  });
}

// --- while time passes: all at once ---

const passed = (seconds) => until(patience, 'time to pass', () => nowSeconds() > seconds);

async function endsWith3005() {
  const exp = nowSeconds() + 1;
  const client = await openGood(makeToken(key, { exp }));
  assert.equal(client.reply.connect.ttl, 1);
  assert.deepEqual(await client.closing(), { code: 3005, reason: 'connection expired' });
  assert.ok(Date.now() >= (exp + grace) * 1000 - 100, 'not before its end'); // clocks are rounded
  assert.ok(await cluster.metric('closed_expired_total') > 0);
}

async function goesOnAfterRefresh() {
  const exp = nowSeconds() + 2;
  const client = await openGood(makeToken(key, { exp }));
  await client.subscribe('refreshed');
  const { refresh } = await client.command('refresh', { token: makeToken(key, { exp: exp + 1000 }) });
  assert.equal(refresh.client, client.reply.connect.client);
  assert.equal(refresh.expires, true);
  assert.ok(refresh.ttl > 900 && refresh.ttl <= 1002, `${refresh.ttl}`);
  await passed(exp + grace + 1);
  await backend('acme').publish('refreshed', { n: 1 });
  assert.deepEqual((await client.publication('refreshed')).data, { n: 1 });
}

async function sdkRefreshes(version) {
  const acme = backend('acme');
  const channel = `long-${version.replaceAll('.', '-')}`;
  let asked = 0;
  // The first token is over, but within the leeway: the SDK gets another after a second.
  const client = sdkClient(cluster, version, {
    token: makeToken(key, { exp: nowSeconds() - 5 }),
    getToken: async () => {
      asked++;
      return makeToken(key, { exp: nowSeconds() + 300 });
    },
  });
  const subscription = sdkSubscription(client, channel);
  subscription.subscribe();
  client.connect();
  await client.expect('connected');
  await subscription.expect('subscribed');
  const end = nowSeconds() + grace;
  await until(patience, 'a refresh', () => asked > 0);
  await passed(end + 1);
  await acme.publish(channel, { n: 1 });
  await subscription.expect('publication', ({ data }) => data.n === 1);
  assert.equal(asked, 1);
  assert.equal(client.seen.filter(({ event }) => event === 'connecting').length, 1);
  assert.equal(client.seen.filter(({ event }) => event === 'error').length, 0);
}

async function sdkComesBack(version) {
  let mayHave = false;
  const client = sdkClient(cluster, version, {
    token: makeToken(key, { exp: nowSeconds() - 5 }),
    getToken: async () => {
      if (!mayHave) throw new Error('the backend is away');
      return makeToken(key);
    },
  });
  const subscription = sdkSubscription(client, `away-${version.replaceAll('.', '-')}`);
  subscription.subscribe();
  client.connect();
  await subscription.expect('subscribed');
  await client.expect('connecting', ({ code }) => code === 3005);
  mayHave = true;
  await subscription.expect('subscribed');
}

scenario('while time passes', { concurrency: 10 }, async (context) => {
  const checks = {
    'an expired connection is closed with 3005': endsWith3005,
    'refresh goes on with another token of the same subscriber': goesOnAfterRefresh,
  };
  for (const version of Object.keys(sdkVersions)) {
    checks[`SDK ${version} refreshes its token without a break`] = () => sdkRefreshes(version);
    checks[`SDK ${version} is closed when no token can be had, and comes back`] = () => sdkComesBack(version);
  }
  await Promise.all(Object.entries(checks).map(([name, check]) => context.test(name, check)));
});
