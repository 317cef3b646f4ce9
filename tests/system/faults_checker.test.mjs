// The checker of the fault suite: records of a day on which all went well pass, and each kind of
// violation, written into them, is found and named.
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Checker } from '../faults/checker.mjs';
import { keeping, wrongAt } from '../faults/damage.mjs';
import { recordsOf } from '../faults/records.mjs';
import { root, run, temporaryDirectory } from './harness.mjs';

const suite = join(root, 'tests/faults/run.mjs');

const address = 'load:room-0';
const closed = 'load:closed-0';
const guarded = 'load:guarded-0';

// Two clients of one address: one stays, the other one loses its connection and comes back. A third one
// is refused, a fourth one let in by the permission handler.
function wellDone() {
  let t = 1000;
  const at = (kind, fields) => ({ t: (t += 10), kind, ...fields });
  const publish = (n) => at('attempt', { n, address, key: `k${n}` });
  const ack = (n) => at('ack', { n, epoch: 'e', offset: n });
  const deliver = (client, n, recovered = false) => at('deliver', { client, address, epoch: 'e', offset: n, n, recovered });
  const subscribed = (client, offset, asked = false, recovered = false) =>
    at('subscribed', { client, address, epoch: 'e', offset, asked, recovered });
  return [
    at('expect', { subscriptions: 4 }),
    at('closed', { address: closed }),
    at('guarded', { address: guarded }),
    at('footprint', { process: 'broker', when: 'before', rss: 50e6, descriptors: 20 }),
    subscribed(0, 0), subscribed(1, 0),
    at('refused', { client: 2, address: closed, code: 403 }),
    at('answer', { user: 'u3', address: guarded, read: true }),
    at('subscribed', { client: 3, address: guarded, epoch: 'g', offset: 0, asked: false, recovered: false }),
    publish(1), ack(1), deliver(0, 1), deliver(1, 1),
    at('disconnected', { client: 1, code: 0 }), at('connected', { client: 1 }),
    publish(2), deliver(0, 2), ack(2),
    at('attempt', { n: 9, address, key: 'k9' }), at('refused_publish', { n: 9, status: 507 }),
    at('over', {}),
    subscribed(1, 1, true, true), deliver(1, 2, true),
    publish(3), ack(3), deliver(0, 3), deliver(1, 3),
    at('told', { client: 0, address, code: 2500 }), subscribed(0, 3, true, true),
    publish(4), ack(4), deliver(0, 4), deliver(1, 4),
    at('footprint', { process: 'broker', when: 'after', rss: 55e6, descriptors: 24 }),
    at('faults', { faults: { foreign: 0, strays: 0, malformed: 0, replies: 0, repeated: 1 } }),
    at('repaired', { count: 2 }),
  ];
}

function judge(records) {
  const checker = new Checker();
  for (const record of records) checker.take(record);
  return { ...checker.finish(), byInvariant: checker.byInvariant };
}

const isDelivery = (client, n) => (one) => one.kind === 'deliver' && one.client === client && one.n === n;
const isAck = (n) => (one) => one.kind === 'ack' && one.n === n;
const last = (records) => records.at(-1).t;

// The records with something done to the first one that `which` likes.
function change(which, action) {
  const records = wellDone();
  const at = records.findIndex(which);
  assert.ok(at >= 0);
  action(records, at);
  return records;
}
const without = (which) => change(which, (records, at) => records.splice(at, 1));
const twice = (which) => change(which, (records, at) => records.splice(at + 1, 0, { ...records[at] }));
const edited = (which, fields) => change(which, (records, at) => Object.assign(records[at], fields));
const and = (...more) => {
  const records = wellDone();
  return [...records, ...more.map((one) => ({ t: last(records) + 1, ...one }))];
};

test('records of a day on which all went well', () => {
  const { texts, byInvariant, last_trouble: trouble, ...row } = judge(wellDone());
  assert.match(trouble, /^subscribed of /);
  assert.deepEqual(texts, []);
  assert.deepEqual(byInvariant, {});
  assert.deepEqual(row, { published: 5, acknowledged: 4, delivered: 8, repaired: 3, told_lost: 0, violations: 0, recovery_ms: row.recovery_ms });
  assert.ok(row.recovery_ms > 0);
});

test('who was told that something is lost is counted, and no violation', () => {
  const records = change((one) => one.kind === 'told', (all, at) => {
    Object.assign(all[at + 1], { epoch: 'f', offset: 7, recovered: false });
    const late = all.find(isDelivery(0, 4));
    Object.assign(late, { epoch: 'f', offset: 8 });
    Object.assign(all.find(isAck(4)), { epoch: 'f', offset: 8 });
    all.splice(all.findIndex(isDelivery(1, 4)), 1, { t: late.t, kind: 'told', client: 1, address, code: 2500 },
      { t: late.t, kind: 'subscribed', client: 1, address, epoch: 'f', offset: 8, asked: true, recovered: false });
  });
  const { texts, told_lost: told } = judge([{ t: 0, kind: 'may_lose' }, ...records]);
  assert.deepEqual(texts, []);
  assert.equal(told, 2);
  const { byInvariant } = judge(records);
  assert.deepEqual(byInvariant, { I1: 1 }, 'where nothing may be lost');
  const tooLate = judge([...records, { t: last(records), kind: 'may_lose' }]);
  assert.deepEqual(tooLate.byInvariant, { I1: 1 }, 'before something may be lost');
});

// Of two clients one is aside, the other one gets three publications before and three during a fault.
function paced({ lag = 10, others = true, judged = true } = {}) {
  const records = [{ t: 0, kind: 'expect', subscriptions: 2 }, { t: 0, kind: 'aside', of: 1 }];
  for (const [herd, client] of [[0, 0], [1, 0]]) {
    records.push({ t: 1, kind: 'subscribed', herd, client, address, epoch: 'e', offset: 0, asked: false, recovered: false });
  }
  for (let n = 1; n <= 6; n++) {
    const t = n * 1000;
    if (n === 1) records.push({ t, kind: 'pace', when: 'before' });
    if (n === 4) records.push({ t, kind: 'pace', when: 'during' });
    const late = t + (n > 3 ? lag : 90);
    const deliver = (herd, at) => ({ t: at, kind: 'deliver', herd, client: 0, address, epoch: 'e', offset: n, n, recovered: false });
    records.push({ t, kind: 'attempt', n, address }, { t, kind: 'ack', n, epoch: 'e', offset: n });
    if (others || n <= 3) records.push(deliver(0, late));
    records.push(deliver(1, t + 400));
    if (n === 3 || n === 6) records.push({ t: t + 500, kind: 'pace', when: null, judged });
  }
  if (!others) records.push(...[4, 5, 6].map((n) => ({ t: 9000, kind: 'deliver', herd: 0, client: 0, address, epoch: 'e', offset: n, n, recovered: false })));
  return records;
}

test('how long others wait is compared, and who is aside does not count', () => {
  for (const lag of [10, 90, 179]) {
    const { texts, pace } = judge(paced({ lag }));
    assert.deepEqual(texts, []);
    assert.deepEqual(pace, { p99_before_ms: 90, p99_during_ms: lag });
  }
  assert.deepEqual(judge(paced({ lag: 400, judged: false })).texts, []);
});

// A herd of one client, which comes, sees publication 1, and leaves when 2 is acknowledged. `before` and `after` its
// going away is announced.
function dismissed({ before = [], after = [] } = {}) {
  const one = { herd: 1, client: 0, address };
  const attempt = (n, t) => [{ t, kind: 'attempt', n, address }, { t: t + 1, kind: 'ack', n, epoch: 'e', offset: n }];
  return [
    { t: 0, kind: 'expect', subscriptions: 1 },
    { t: 1, kind: 'subscribed', ...one, epoch: 'e', offset: 0, asked: false, recovered: false },
    ...attempt(1, 2), { t: 4, kind: 'deliver', ...one, epoch: 'e', offset: 1, n: 1, recovered: false },
    ...attempt(2, 5), ...before.map((more) => ({ t: 7, ...one, ...more })),
    { t: 8, kind: 'leaving', of: 1 },
    ...attempt(3, 9), ...after.map((more) => ({ t: 11, ...one, ...more })),
    { t: 12, kind: 'left', of: 1 },
    ...attempt(4, 13),
  ];
}
const second = { kind: 'deliver', epoch: 'e', offset: 2, n: 2, recovered: false };

test('who leaves needs what was acknowledged before that was announced, and no more', () => {
  for (const records of [dismissed({ before: [second] }), dismissed({ after: [second] })]) assert.deepEqual(judge(records).texts, []);
});

// One client; what is published so long after the fault was over comes so much later.
function recoveryOf(...publications) {
  const over = 10000;
  const records = [{ t: 0, kind: 'expect', subscriptions: 1 }, { t: 1, kind: 'subscribed', client: 0, address, epoch: 'e', offset: 0, asked: false, recovered: false }];
  records.push({ t: over, kind: 'over' });
  for (const [i, { after, lag }] of publications.entries()) {
    const place = { n: i + 1, epoch: 'e', offset: i + 1 };
    const t = over + after + lag;
    records.push({ t: over + after, kind: 'attempt', n: i + 1, address }, { t, kind: 'ack', ...place }, { t, kind: 'deliver', client: 0, address, recovered: false, ...place });
  }
  const { texts, recovery_ms: ms } = judge(records.sort((a, b) => a.t - b.t));
  assert.deepEqual(texts, []);
  return ms;
}

test('recovery takes as long as what was published before three calm seconds is late', () => {
  assert.equal(recoveryOf({ after: 10, lag: 20 }), 0);
  assert.equal(recoveryOf({ after: 10, lag: 600 }), 610);
  assert.equal(recoveryOf({ after: 10, lag: 10000 }), 10010, 'nothing came for ten seconds');
  assert.equal(recoveryOf({ after: 10, lag: 10000 }, { after: 9000, lag: 1500 }), 10500);
  assert.equal(recoveryOf({ after: 10, lag: 20 }, { after: 3100, lag: 1000 }), 0, 'the machine was busy with something else');
});

const cases = [
  ['I1', 'a client that leaves and lacks something', dismissed()],
  ['I4', 'a client that leaves and was refused', dismissed({ before: [second, { kind: 'refused', code: 403 }] })],
  ['I4', 'a client that leaves while it is to try again', dismissed({ before: [second], after: [{ kind: 'refused_for_now', code: 100 }] })],
  ['I4', 'others who wait longer than before', paced({ lag: 200 })],
  ['I4', 'others who get nothing for a while', paced({ others: false })],
  ['I1', 'a hole between two deliveries', without(isDelivery(0, 2))],
  ['I1', 'a last message that never came', without(isDelivery(1, 4))],
  ['I1', 'a recovery that left something out', without(isDelivery(1, 2))],
  ['I1', 'a subscriber in an epoch that is gone', edited(isAck(4), { epoch: 'f', offset: 1 })],
  ['I2', 'a delivery that comes twice', twice(isDelivery(1, 3))],
  ['I2', 'a publication that was kept twice', change(isDelivery(0, 4), (records, at) => {
    records.splice(at + 1, 0, { ...records[at], offset: 5 });
  })],
  ['I2', 'a retry that was acknowledged at another place', change(isAck(4), (records, at) => {
    records.splice(at + 1, 0, { ...records[at], offset: 5 });
  })],
  ['I2', 'a publication that is at one place for its publisher and at another one for a subscriber', change(isAck(4), (records, at) => {
    Object.assign(records[at], { epoch: 'f' });
    records.push({ t: last(records), kind: 'attempt', n: 5, address, key: 'k5' }, { t: last(records), kind: 'ack', n: 5, epoch: 'e', offset: 5 },
      ...[0, 1].map((client) => ({ t: last(records), kind: 'deliver', client, address, epoch: 'e', offset: 5, n: 5, recovered: false })));
  })],
  ['I3', 'deliveries in the wrong order', change(isDelivery(0, 3), (records, at) => {
    const other = records.findIndex(isDelivery(0, 4));
    [records[at], records[other]] = [records[other], records[at]];
  })],
  ['I3', 'one place for two publications', edited(isAck(3), { offset: 2 })],
  ['I3', 'a position that goes back', change((one) => one.kind === 'told', (records, at) => {
    Object.assign(records[at + 1], { offset: 1, recovered: false });
  })],
  ['I3', 'another message than the publisher was told', edited(isDelivery(0, 3), { n: 4 })],
  ['I4', 'a recovery from another place', edited((one) => one.asked === true, { offset: 2 })],
  ['I4', 'a client that never comes back', change((one) => one.asked === true, (records) => {
    for (let i = records.length - 1; i >= 0; i--) {
      if (records[i].t > 1170 && records[i].client === 1) records.splice(i, 1);
    }
  })],
  ['I4', 'a publication without an answer', without(isAck(3))],
  ['I4', 'a refused publication that was delivered', edited(isAck(4), { kind: 'refused_publish' })],
  ['I4', 'a refused publication that was acknowledged', and({ kind: 'refused_publish', n: 4 })],
  ['I4', 'a subscriber that nobody has heard of', edited((one) => one.kind === 'expect', { subscriptions: 5 })],
  ['I4', 'a client sent away for good', and({ kind: 'ended', client: 0 })],
  ['I4', 'a message behind the end of a subscription', change(isDelivery(0, 4), (records, at) => {
    records.splice(at, 0, { t: records[at].t, kind: 'told', client: 0, address, code: 2500 });
  })],
  ['I5', 'a reader of what nobody may read', and({ kind: 'subscribed', client: 2, address: closed, epoch: 'c', offset: 0, asked: false, recovered: false })],
  ['I5', 'a reader without a yes', without((one) => one.kind === 'answer')],
  ['I5', 'a reader in spite of a no', edited((one) => one.kind === 'answer', { read: false })],
  ['I5', 'a message that nobody published', without((one) => one.kind === 'attempt' && one.n === 4)],
  ['I5', 'a message of another address', edited((one) => one.kind === 'attempt' && one.n === 4, { address: 'load:room-1' })],
  ['I5', 'what the clients saw of other addresses', edited((one) => one.kind === 'faults', { faults: { foreign: 1 } })],
  ['I6', 'memory that does not come back', edited((one) => one.when === 'after', { rss: 200e6 })],
  ['I6', 'a process whose memory nobody has looked at again', without((one) => one.when === 'after')],
  ['I6', 'descriptors that do not come back', edited((one) => one.when === 'after', { descriptors: 90 })],
];

for (const [invariant, name, records] of cases) {
  test(`${invariant}: ${name}`, () => {
    const { violations, byInvariant, texts } = judge(records);
    assert.ok(violations > 0, 'nothing was found');
    assert.ok(byInvariant[invariant] > 0, texts.join('\n'));
  });
}

test('records of several files come in the order of their times', async () => {
  const directory = await temporaryDirectory();
  const paths = ['a', 'b', 'empty'].map((name) => join(directory, name));
  const lines = (...times) => times.map((t) => `${JSON.stringify({ t, kind: 'deliver', client: t })}\n`).join('');
  await writeFile(paths[0], lines(1, 4, 5));
  await writeFile(paths[1], lines(2, 3, 6));
  await writeFile(paths[2], '');
  const seen = [];
  for await (const { t, herd } of recordsOf(paths)) seen.push([t, herd]);
  await rm(directory, { recursive: true });
  assert.deepEqual(seen, [[1, 0], [2, 1], [3, 1], [4, 0], [5, 0], [6, 1]]);
});

test('./dev faults says what is wrong with its arguments', async () => {
  const cases = [
    [['--seeds', '0'], /--seeds must be a number from 1 to 1000, not '0'/],
    [['--only', 'F1,F99'], /there is no fault F99; there are: F1 F2 /],
    [['--clients', 'many'], /--clients must be a number/],
    [['--loud'], /--loud/],
  ];
  for (const [args, reason] of cases) {
    const { code, stderr } = await run('node', [suite, ...args]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, reason);
  }
  const { code, stdout } = await run('node', [suite, '--help']);
  assert.equal(code, 0);
  assert.match(stdout, /F13 +backends die/);
});

// A broker that keeps these offsets of an address, gives at most 300 of them at once, and says that it is at `offset`.
function brokerWith(offsets, offset, epoch = 'e') {
  const history = async (target, { since } = {}) => {
    const from = since?.offset ?? 0;
    const publications = offsets.filter((at) => at > from).slice(0, 300).map((at) => ({ offset: at, payload: { n: at } }));
    return { publications, epoch, offset };
  };
  return { history };
}

// What wrongAt() says of it when everything up to `acknowledged` was acknowledged at the place of its number.
function compared(broker, acknowledged) {
  const placed = (epoch, at) => (epoch === 'e' && at <= acknowledged ? at : undefined);
  return wrongAt(broker, { target: { name: 'load', resourceId: 'room-0' }, top: { epoch: 'e', offset: acknowledged }, placed, payloadOf: (n) => ({ n }) });
}

const upTo = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test('a store that has what was acknowledged', async () => {
  const fine = { wrong: null, missing: null, wentBack: false, isNew: false };
  assert.deepEqual(await compared(brokerWith(upTo(1, 700), 700), 700), fine);
  assert.deepEqual(await compared(brokerWith(upTo(700 - keeping.messages + 1, 700), 700), 700), fine, 'older ones are not kept');
  assert.deepEqual(await compared(brokerWith(upTo(1, 10), 10), 9), fine, 'one was not acknowledged');
  assert.deepEqual(await compared(brokerWith([], 10), 0), fine, 'none was');
  assert.deepEqual(await compared(brokerWith([], 0, 'f'), 10), { ...fine, isNew: true });
  assert.deepEqual(await compared(brokerWith(upTo(1, 8), 8), 10), { ...fine, wentBack: true });
});

test('a store that lacks what was acknowledged', async () => {
  const cases = [
    ['the positions are there and no message', [], 10, /lacks 10 of 10, from 1 to 10/],
    ['the first page is whole and the second one is not', upTo(1, 300), 310, /lacks 10 of 310, from 301 to 310/],
    ['the oldest one', upTo(2, 10), 10, /lacks 1 of 10, from 1 to 1/],
    ['too few are kept', upTo(602, 700), 700, /lacks 413 of 700, from 189 to 601/],
  ];
  for (const [what, offsets, offset, text] of cases) assert.match((await compared(brokerWith(offsets, offset), offset)).missing, text, what);
  const { wrong } = await compared(brokerWith([...upTo(1, 320), 322], 322), 322);
  assert.match(wrong, /e 322 comes behind 320/, 'a hole on another page than the first');
});

test('nothing recorded is no success', () => {
  assert.ok(judge([]).violations > 0);
});
