// Keys and connection tokens of a site's backend, made with Node's own cryptography: nothing here
// shares code with what is tested, and it signs whatever it is told to.
import {
  constants, createHmac, createPublicKey, generateKeyPairSync, randomBytes, sign,
} from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const base64 = (data) => Buffer.from(data).toString('base64url');
export const nowSeconds = () => Math.floor(Date.now() / 1000);

// The signature of `text` by a secret (a Buffer) or a private key.
function signature(alg, key, text) {
  const hash = `sha${alg.slice(2)}`;
  switch (alg.slice(0, 2)) {
    case 'HS': return createHmac(hash, key).update(text).digest();
    case 'PS': {
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      return sign(hash, text, { key, padding, saltLength: Number(alg.slice(2)) / 8 });
    }
    case 'ES': return sign(hash, text, { key, dsaEncoding: 'ieee-p1363' });
    default: return sign(hash, text, key);
  }
}

// A key {kid, alg, secret, jwk}: jwk is what the gateway gets.
export function newKey(alg, kid, pair) {
  if (alg.startsWith('HS')) {
    const secret = randomBytes(Number(alg.slice(2)) / 8);
    return { kid, alg, secret, jwk: { kty: 'oct', kid, alg, k: base64(secret) } };
  }
  return { kid, alg, secret: pair.privateKey, jwk: { ...createPublicKey(pair.privateKey).export({ format: 'jwk' }), kid, alg } };
}

// One key for each algorithm, with its name as kid; RSA keys are slow to make, so one serves all.
export function keysOfAllAlgorithms(prefix) {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const curves = { 256: 'P-256', 384: 'P-384', 512: 'P-521' };
  const keys = {};
  for (const family of ['HS', 'RS', 'PS', 'ES']) {
    for (const [size, namedCurve] of Object.entries(curves)) {
      const pair = family === 'ES' ? generateKeyPairSync('ec', { namedCurve }) : rsa;
      keys[family + size] = newKey(family + size, `${prefix}-${family}${size}`, pair);
    }
  }
  return keys;
}

// Writes keys as a JWK Set that only we can read; its path.
export async function writeKeys(directory, name, ...keys) {
  const path = join(directory, name);
  await writeFile(path, JSON.stringify({ keys: keys.map((key) => key.jwk) }), { mode: 0o600 });
  return path;
}

// Signs texts as they are: what no library would make.
export function signTexts(header, claims, alg, secret) {
  const text = `${base64(header)}.${base64(claims)}`;
  return `${text}.${base64(signature(alg, secret, text))}`;
}

// A token. `claims` without exp gets one in an hour (`exp: undefined`: none), `header` goes over
// {alg, kid}.
export function makeToken(key, claims = {}, { header = {}, alg = key.alg, secret = key.secret } = {}) {
  const all = { exp: nowSeconds() + 3600, type: 'MEMBER', sub: 'user-1', ...claims };
  const text = JSON.stringify({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header });
  return signTexts(text, JSON.stringify(all), alg, secret);
}
