// The file of a store, damaged at some place, and what a broker makes of it.
import { copyFile, open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { connect } from '@millrace/backend';
import { Child, freePort, httpGet, patience, programs, until, within } from '../system/harness.mjs';
import { targetOf } from './publisher.mjs';

const files = ['millrace.db', 'millrace.db-wal'];

// Of [streams], for a broker whose store is compared to what was acknowledged: so many of each address must be there.
// No run takes so long that one of them is too old.
export const keeping = { messages: 512, seconds: 3600 };

// A copy of what a killed broker has left, for the picking.
export async function copyStore(from, to) {
  for (const name of files) {
    if (existsSync(join(from, name))) await copyFile(join(from, name), join(to, name));
    else await writeFile(join(to, name), '');
  }
}

async function flipByte(path, at) {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0] ^= 1 << (at % 8);
  await file.write(byte, 0, 1, at);
  await file.close();
}

// Of a log of SQLite: where it ends that is read, and the numbers of the pages that are in it. Behind that are frames of
// earlier rounds, whose salts are others.
async function liveLog(path) {
  const bytes = await readFile(path);
  const pages = new Set();
  let end = 32;
  if (bytes.length < end) return { end: 0, pages };
  const frame = 24 + bytes.readUInt32BE(8);
  for (; end + frame <= bytes.length && bytes.compare(bytes, 16, 24, end + 8, end + 16) === 0; end += frame) pages.add(bytes.readUInt32BE(end));
  return { end, pages };
}

// A byte of a page that is read from the file itself; of any when all are in the log.
async function liveByte(path, pages, random) {
  const { size } = await stat(path);
  const pageSize = 4096; // of the store
  const live = Array.from({ length: size / pageSize }, (_, i) => i).filter((i) => !pages.has(i + 1));
  return live.length > 0 ? random.pick(live) * pageSize + random.below(pageSize) : random.below(size);
}

// One place that is read, chosen by `random`: a byte of either file, or where the log ends (a multiple of 512). A text
// that says which.
export async function damage(directory, random) {
  const [file, log] = files.map((name) => join(directory, name));
  const { end, pages } = await liveLog(log);
  const { size } = await stat(file);
  if (size > 0 && (end === 0 || random.below(2) === 0)) {
    const at = await liveByte(file, pages, random);
    await flipByte(file, at);
    return `byte ${at} of ${size} of the file is another`;
  }
  if (end === 0) return 'nothing';
  if (random.below(2) === 0) {
    const at = 512 * random.below(Math.ceil(end / 512));
    await truncate(log, at);
    return `the log ends at ${at} of ${end}`;
  }
  const at = random.below(end);
  await flipByte(log, at);
  return `byte ${at} of ${end} of the log is another`;
}

async function startOn(directory, settings) {
  const tcp = async () => `tcp://127.0.0.1:${await freePort()}`;
  const [endpoint, admin] = [await tcp(), await freePort()];
  const child = new Child('damaged broker', programs.broker, ['--config', settings], {
    env: {
      MILLRACE_BROKER_CONTROL: await tcp(), MILLRACE_BROKER_PUBLICATIONS: await tcp(), MILLRACE_BROKER_BACKENDS: endpoint,
      MILLRACE_BROKER_ADMIN_PORT: `${admin}`, MILLRACE_STORE_PATH: join(directory, files[0]),
    },
  });
  const starts = until(patience, 'a damaged broker to start', async () => {
    if (child.end) return 'refused';
    const page = await httpGet(`http://127.0.0.1:${admin}/healthz`).catch(() => null);
    return page?.status === 200 && 'started';
  });
  return { child, endpoint, outcome: await starts, page: `http://127.0.0.1:${admin}/metrics` };
}

// All that is kept of an address: {publications, epoch, offset}. One answer has the oldest only.
async function keptOf(backend, target) {
  const kept = await backend.history(target);
  for (let page = kept.publications; page.length > 0 && page.at(-1).offset < kept.offset; ) {
    const more = await backend.history(target, { since: { epoch: kept.epoch, offset: page.at(-1).offset } });
    page = more.publications;
    kept.offset = more.offset;
    kept.publications.push(...page);
  }
  return kept;
}

// The places of what was acknowledged in this epoch, is not too old to be kept, and is not there. Positions are no
// proof: the store has them on their own.
function missingOf({ publications, epoch, offset }, placed) {
  const there = new Set(publications.map(({ offset: at }) => at));
  const oldest = Math.max(1, offset - keeping.messages + 1);
  const places = Array.from({ length: offset - oldest + 1 }, (_, i) => oldest + i);
  return places.filter((at) => !there.has(at) && placed(epoch, at) !== undefined);
}

// {wrong: text or null, missing: text or null, wentBack, isNew} of one address. `top` was acknowledged last there,
// `placed(epoch, offset)` is the number of what was acknowledged at a place, `payloadOf(n)` what was published. A log of
// SQLite that is cut or damaged ends earlier: nobody can see that, but the positions that subscribers have are beyond
// it, and they are told.
export async function wrongAt(backend, { target, top, placed, payloadOf }) {
  const kept = await keptOf(backend, target);
  const { publications, epoch, offset } = kept;
  for (const [i, { offset: at, payload }] of publications.entries()) {
    const n = placed(epoch, at);
    if (n !== undefined && n !== payload.n) return { wrong: `${payload.n} is at ${epoch} ${at}, which is ${n}'s place` };
    if (!isDeepStrictEqual(payload, payloadOf(payload.n))) return { wrong: `${epoch} ${at} was not published so: ${JSON.stringify(payload)}` };
    if (at !== publications[0].offset + i || at > offset) return { wrong: `${epoch} ${at} comes behind ${publications[0].offset + i - 1}, the last one is ${offset}` };
  }
  const gone = missingOf(kept, placed);
  const missing = gone.length > 0 ? `${JSON.stringify(target)} ${epoch} lacks ${gone.length} of ${offset}, from ${gone[0]} to ${gone.at(-1)}` : null;
  return { wrong: null, missing, wentBack: epoch === top.epoch && offset < top.offset, isNew: epoch !== top.epoch };
}

// What is wrong with a broker that was killed behind its last acknowledgement: [text].
export async function wrongAfterRestart(endpoint, addresses) {
  const backend = connect({ endpoint });
  const wrong = [];
  for (const address of addresses) {
    const one = await wrongAt(backend, address);
    if (one.wrong ?? one.missing) wrong.push(one.wrong ?? one.missing);
    else if (one.wentBack || one.isNew) wrong.push(`${JSON.stringify(address.target)} has lost what was acknowledged`);
  }
  await backend.close({ now: true });
  return wrong;
}

// {place, outcome: 'refused' | 'started', wrong: [text], wentBack, isNew, isNoticed}
export async function judgeDamaged(world, from, addresses) {
  const directory = await mkdtemp(join(world.directory, 'damaged-'));
  await copyStore(from, directory);
  const place = await damage(directory, world.random);
  const { child, endpoint, outcome, page } = await startOn(directory, world.cluster.file);
  const wrong = [];
  let [wentBack, isNew] = [false, false];
  try {
    if (outcome === 'refused') {
      const failure = child.events.find(({ event }) => event === 'start_failed');
      if (child.end.code !== 1 || !failure) wrong.push(`it ended with ${JSON.stringify(child.end)}`);
      return { place, outcome, wrong };
    }
    const { text } = await httpGet(page);
    const isNoticed = /^millrace_broker_store_damaged [1-9]/m.test(text);
    const backend = connect({ endpoint });
    for (const address of addresses) {
      const one = await wrongAt(backend, address);
      if (one.wrong) wrong.push(one.wrong);
      if (one.missing && !isNoticed) wrong.push(`${one.missing}, and nothing was noticed`);
      wentBack ||= one.wentBack;
      isNew ||= one.isNew;
    }
    const next = await Promise.allSettled(addresses.map(({ target }) => backend.publish(target, { n: 0 })));
    for (const { reason } of next) if (reason) wrong.push(`it takes nothing more: ${reason.message}`);
    await backend.close({ now: true });
    return { place, outcome, wrong, wentBack, isNew, isNoticed };
  } finally {
    child.signal('SIGKILL');
    await within(patience, 'its end', child.exited);
    await rm(directory, { recursive: true });
  }
}

// What a store must have: the last one of each address, and whatever is at any place.
export const acknowledgedBy = (publisher) => publisher.addresses.map((address) => ({
  target: targetOf(address),
  top: publisher.tops.get(address),
  placed: (epoch, offset) => publisher.places.get(`${address} ${epoch} ${offset}`),
  payloadOf: (n) => publisher.payload(n, address),
}));

export async function compareToStore(world) {
  for (const text of await wrongAfterRestart(world.cluster.endpoint, acknowledgedBy(world.publisher))) world.broken('I1', text);
}
