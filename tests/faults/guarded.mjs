// Addresses that a permission handler guards, and those that a rule closes to all; clients who ask for them.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeToken, newKey, nowSeconds, writeKeys } from '../system/tokens.mjs';
import { guardedChannel, mayRead } from './handler.mjs';
import { addressesOf } from './publisher.mjs';
import { channels, delay } from './world.mjs';

// A key of the site, and a token for each client of the guarded addresses.
export async function useTokens(world) {
  const key = newKey('HS256', 'faults');
  world.keys = await writeKeys(world.directory, 'site.keys', key);
  world.tokens = join(world.directory, 'tokens');
  const exp = nowSeconds() + 4 * 3600;
  await writeFile(world.tokens, Array.from({ length: 1000 }, (_, i) => `${makeToken(key, { sub: `u${i}`, exp })}\n`).join(''));
}

const closedChannel = 'closed';

// A handler that does not answer is something for now.
export function guardedSettings(world) {
  return {
    'site "default"': { keys: world.keys, unavailable: 'retry' },
    'rule "closed"': { channel: closedChannel, deny: 'everyone' },
  };
}

const guardedPrefix = `${guardedChannel}:room-`;
const closedPrefix = `${closedChannel}:room-`;

// A rule needs no handler: they are refused, whatever happens to it. They stay, and must not get anything.
async function closedHerd(world) {
  const addresses = addressesOf(closedPrefix, 5);
  for (const address of addresses) world.records.write('closed', { address });
  const herd = await world.herd(world.cluster.gateways, { connections: 50, channels: addresses.length, prefix: closedPrefix }, { wait: false, isWhole: false });
  await world.expect(20000, 'I5', 'those to be refused whom a rule refuses', async () => (await herd.report()).faults.refused === 50);
  world.publisher.addresses.push(...addresses);
}

// They are not waited for: a handler decides.
export async function guardedHerd(world, connections) {
  await closedHerd(world);
  const addresses = addressesOf(guardedPrefix, channels);
  for (const address of addresses) world.records.write('guarded', { address });
  const [one, two] = world.cluster.gateways;
  const herd = await world.herd([one, two], { connections, channels, prefix: guardedPrefix, tokens: world.tokens, inFlight: connections }, { wait: false, isWhole: false });
  world.publisher.addresses.push(...addresses);
  return herd;
}

// Those whom the handler allows, and nobody else.
export async function allIn(world, herd, clients) {
  const allowed = Array.from({ length: clients }, (_, i) => `u${i}`).filter(mayRead).length;
  await world.expect(60000, 'I4', 'all who may read to be subscribed', async () => (await herd.report()).live === allowed);
  await delay(100);
  const { live } = await herd.report();
  if (live !== allowed) world.broken('I5', `${live} are subscribed, and ${allowed} may`);
}
