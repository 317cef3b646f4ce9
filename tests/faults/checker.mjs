// Did everything that happened agree with what is promised? Reads records (records.mjs), one after the
// other, and keeps for each publication and each subscription a few words. Knows no process and no
// clock: what it has not been told it does not believe.
//
//   I1  nothing acknowledged is missing at a subscriber that stayed or recovered; that something was
//       lost is told where this fault may cost something, and nowhere else
//   I2  nothing comes twice
//   I3  offsets strictly increase, per address and epoch, and each belongs to one publication
//   I4  otherwise there is a signal: a word for each subscriber that lost something, and an answer for
//       each publication, which is true
//   I5  nothing is delivered that the permission rules refuse, and nothing that nobody published
//   I6  memory and descriptors return to where they were
import { recordsOf } from './records.mjs';

const KEPT = 20; // violations with their text; all are counted
const LATE_MS = 500; // what takes longer is part of the disturbance
const CALM_MS = 3000;
const SLOWER = 2; // times as long, at the 99th percentile, is what others may notice of a fault that is not theirs
const NOTICEABLE_MS = 100;
const DESCRIPTORS = 20; // pages of figures that are being read, files of the store
const RSS_FACTOR = 1.25;
const RSS_BYTES = 24 * 1024 * 1024; // history that has come meanwhile

function percentile(values, share) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

export class Checker {
  violations = 0;
  byInvariant = {};
  texts = [];
  delivered = 0;
  recovered = 0;
  toldLost = 0;
  repaired = 0;
  #attempts = new Map(); // n -> {t, address, outcome: null | 'acknowledged' | 'refused', epoch, offset}
  #places = new Map(); // `address epoch` -> Map(offset -> n), as delivered or acknowledged
  #tops = new Map(); // address -> {epoch, offset, t} of the last acknowledged publication
  #subscriptions = new Map(); // `herd client address` -> what its client knows
  #clients = new Map(); // `herd client` -> its subscriptions
  #expected = 0; // subscriptions
  #closed = new Set(); // addresses that nobody may read
  #guarded = new Set(); // addresses that need a yes
  #grants = new Map(); // `user address` -> {read, t}
  #footprints = new Map();
  #mayLose = false;
  #lostTooSoon = 0; // of toldLost: before anything could cost something
  #over = null; // when the fault was over
  #aside = new Set(); // herds whose own fault it is
  #paces = {}; // how long deliveries to the others took, before and during
  #pace = null; // that of what is published now
  #isPaceJudged = false;
  #lastTrouble = { t: 0, text: '' };

  take(record) {
    const handle = this[`_${record.kind}`];
    if (handle) handle.call(this, record);
  }

  #violate(invariant, text) {
    this.violations++;
    this.byInvariant[invariant] = (this.byInvariant[invariant] ?? 0) + 1;
    if (this.texts.length < KEPT) this.texts.push(`${invariant}: ${text}`);
  }

  // What is only late does not belong to the fault any more when all was calm for a while: machines are busy
  // with other things, too. What was published before that belongs to it, however late it comes.
  #late(record, published, what) {
    const since = Math.max(this.#over ?? record.t, this.#lastTrouble.t);
    if (published - since < CALM_MS) this.#trouble(record, what);
  }

  #trouble({ t, kind }, what) {
    if (t > this.#lastTrouble.t) this.#lastTrouble = { t, text: `${kind} of ${what}` };
  }

  // --- what the suite says of itself ---

  _expect({ subscriptions }) {
    this.#expected += subscriptions;
  }

  // From now on a signal is an answer to this fault.
  _may_lose() {
    this.#mayLose = true;
  }

  _over({ t }) {
    this.#over = t;
  }

  _repaired({ count }) {
    this.repaired += count;
  }

  _aside({ of: herd }) {
    this.#aside.add(herd);
  }

  _pace({ when, judged }) {
    this.#pace = when && (this.#paces[when] = []);
    this.#isPaceJudged ||= judged === true;
  }

  // A promise of a fault that only the one who injected it can judge.
  _broken({ invariant, text }) {
    this.#violate(invariant, text);
  }

  #of(herd) {
    return [...this.#subscriptions.values()].filter(({ who }) => who.startsWith(`${herd} `));
  }

  // The clients of this herd will go when they have what was acknowledged until now.
  _leaving({ of: herd }) {
    for (const one of this.#of(herd)) one.goal = this.#tops.get(one.address);
  }

  // They are sent home: what comes later is nothing to them.
  _left({ of: herd }) {
    for (const one of this.#of(herd)) {
      this.#finishSubscription(one, one.goal);
      one.isGone = true;
    }
  }

  // The herd's own look at what came: it sees what is no delivery at all.
  _faults({ faults }) {
    const mine = { foreign: 'I5', strays: 'I4', malformed: 'I3', replies: 'I4' };
    for (const [name, invariant] of Object.entries(mine)) {
      if (faults[name] > 0) this.#violate(invariant, `clients saw ${faults[name]} ${name}`);
    }
  }

  _footprint({ process, when, rss, descriptors }) {
    if (when === 'before') {
      this.#footprints.set(process, { rss, descriptors });
      return;
    }
    const before = this.#footprints.get(process);
    if (before) before.isOver = true;
    if (!before) return this.#violate('I6', `nobody knows how large ${process} was before`);
    if (descriptors > before.descriptors + DESCRIPTORS) {
      this.#violate('I6', `${process} has ${descriptors} descriptors, before ${before.descriptors}`);
    }
    if (rss > before.rss * RSS_FACTOR + RSS_BYTES) {
      this.#violate('I6', `${process} takes ${rss} bytes, before ${before.rss}`);
    }
  }

  // --- publications ---

  _attempt({ t, n, address }) {
    if (this.#attempts.has(n)) this.#violate('I3', `number ${n} is used twice`);
    this.#attempts.set(n, { t, address, outcome: null, pace: this.#pace });
  }

  _ack(record) {
    const { t, n, epoch, offset } = record;
    const attempt = this.#attempts.get(n);
    if (!attempt) return this.#violate('I4', `${n} was acknowledged, and never published`);
    if (attempt.outcome === 'refused') this.#violate('I4', `${n} was refused and acknowledged`);
    if (attempt.outcome === 'acknowledged' && (attempt.epoch !== epoch || attempt.offset !== offset)) {
      this.#violate('I2', `${n} was acknowledged at ${attempt.offset} and at ${offset}`);
    }
    Object.assign(attempt, { outcome: 'acknowledged', epoch, offset });
    this.#place(attempt.address, epoch, offset, n, 'was acknowledged');
    const top = this.#tops.get(attempt.address);
    if (!top || top.epoch !== epoch || top.offset < offset) this.#tops.set(attempt.address, { epoch, offset });
    if (t - attempt.t > LATE_MS) this.#late(record, attempt.t, `${n} after ${Math.round(t - attempt.t)} ms`);
  }

  _refused_publish({ n }) {
    const attempt = this.#attempts.get(n);
    if (!attempt) return this.#violate('I4', `${n} was refused, and never published`);
    if (attempt.outcome === 'acknowledged') this.#violate('I4', `${n} was acknowledged and refused`);
    else attempt.outcome = 'refused';
  }

  // One place, one publication, and one publication, one place: whoever says so.
  #place(address, epoch, offset, n, how) {
    const attempt = this.#attempts.get(n);
    const place = `${epoch} ${offset}`;
    if (attempt && attempt.address === address) {
      attempt.place ??= place;
      if (attempt.place !== place) this.#violate('I2', `${n} ${how} at ${place}, and its place is ${attempt.place}`);
    }
    const key = `${address} ${epoch}`;
    let offsets = this.#places.get(key);
    if (!offsets) this.#places.set(key, (offsets = new Map()));
    const there = offsets.get(offset);
    if (there === undefined) offsets.set(offset, n);
    else if (there !== n) this.#violate('I3', `${n} ${how} at ${key} ${offset}, which is ${there}'s place`);
  }

  // --- subscribers ---

  #subscription({ herd, client, address }) {
    const who = `${herd ?? 0} ${client}`;
    const key = `${who} ${address}`;
    let one = this.#subscriptions.get(key);
    if (!one) {
      one = { key, who, client, address, state: 'new', epoch: null, position: null, numbers: new Set() };
      this.#subscriptions.set(key, one);
      if (!this.#clients.has(who)) this.#clients.set(who, []);
      this.#clients.get(who).push(one);
    }
    return one;
  }

  #mayRead(one, t, what) {
    if (this.#closed.has(one.address)) this.#violate('I5', `${one.key} ${what}, which nobody may read`);
    if (!this.#guarded.has(one.address)) return;
    const grant = this.#grants.get(`u${one.client} ${one.address}`);
    if (!grant?.read) this.#violate('I5', `${one.key} ${what} without a yes of the permission handler`);
  }

  _subscribed(record) {
    const { t, epoch, offset, asked, recovered } = record;
    const one = this.#subscription(record);
    this.#mayRead(one, t, 'was subscribed');
    if (one.state !== 'new') this.#trouble(record, one.key);
    if (asked !== (one.position !== null)) this.#violate('I4', `${one.key} ${asked ? 'asked for a place that it never had' : 'forgot its place'}`);
    if (recovered && (epoch !== one.epoch || offset !== one.position)) {
      this.#violate('I4', `${one.key} was recovered at ${epoch} ${offset}, and is at ${one.epoch} ${one.position}`);
    }
    if (asked && !recovered) this.toldLost++;
    if (asked && !recovered && !this.#mayLose) this.#lostTooSoon++;
    if (!recovered) {
      if (epoch === one.epoch && offset < one.position) this.#violate('I3', `${one.key} goes back from ${one.position} to ${offset}`);
      Object.assign(one, { epoch, position: offset });
    }
    one.state = 'live';
  }

  _deliver(record) {
    const { t, epoch, offset, n, recovered } = record;
    const one = this.#subscription(record);
    if (one.isGone) return;
    this.delivered++;
    if (recovered) this.recovered++;
    this.#mayRead(one, t, `got ${n}`);
    if (one.state !== 'live') this.#violate('I4', `${one.key} got ${n} while it was not subscribed`);
    if (epoch !== one.epoch) this.#violate('I3', `${one.key} got ${n} of the epoch ${epoch}, and is in ${one.epoch}`);
    if (one.numbers.has(n)) {
      this.#violate('I2', `${one.key} got ${n} twice`);
    } else if (offset <= one.position) {
      this.#violate('I3', `${one.key} got ${offset} behind ${one.position}`);
    } else if (offset > one.position + 1) {
      this.#violate('I1', `${one.key} misses ${one.position + 1} to ${offset - 1} of ${epoch}`);
    }
    one.numbers.add(n);
    one.position = Math.max(one.position, offset);

    this.#place(one.address, epoch, offset, n, 'was delivered');
    const attempt = this.#attempts.get(n);
    if (!attempt) return this.#violate('I5', `${one.key} got ${n}, which nobody published`);
    if (attempt.address !== one.address) this.#violate('I5', `${one.key} got ${n}, which is for ${attempt.address}`);
    attempt.isDelivered = true;
    if (!this.#aside.has(record.herd)) attempt.pace?.push(t - attempt.t);
    if (t - attempt.t > LATE_MS) this.#late(record, attempt.t, `${n} to ${one.key} after ${Math.round(t - attempt.t)} ms`);
  }

  _told(record) {
    const one = this.#subscription(record);
    one.state = 'told';
    this.#trouble(record, one.key);
  }

  _refused_for_now(record) {
    this.#trouble(record, record.address ?? record.client);
    if (record.address) this.#subscription(record).state = 'refused for now';
  }

  _refused(record) {
    this.#subscription(record).state = 'refused';
  }

  _revoked(record) {
    this.#subscription(record).state = 'revoked';
  }

  _disconnected(record) {
    const { herd, client } = record;
    this.#trouble(record, client);
    for (const one of this.#clients.get(`${herd ?? 0} ${client}`) ?? []) if (one.state === 'live') one.state = 'away';
  }

  _ended({ herd, client }) {
    for (const one of this.#clients.get(`${herd ?? 0} ${client}`) ?? []) one.state = 'sent away';
    this.#violate('I4', `client ${herd ?? 0} ${client} was sent away for good`);
  }

  // --- who may read ---

  _closed({ address }) {
    this.#closed.add(address);
  }

  _guarded({ address }) {
    this.#guarded.add(address);
  }

  _answer({ user, address, read }) {
    this.#grants.set(`${user} ${address}`, { read });
  }

  // --- the end ---

  // top: what it must have, if anything.
  #finishSubscription(one, top) {
    const isKept = this.#closed.has(one.address) || this.#guarded.has(one.address);
    if (one.state !== 'live') {
      const isFine = isKept && ['refused', 'revoked'].includes(one.state);
      if (!isFine) this.#violate('I4', `${one.key} ended ${one.state}`);
      return;
    }
    if (!top) return;
    if (one.epoch !== top.epoch) this.#violate('I1', `${one.key} is in the epoch ${one.epoch}, and ${top.epoch} was acknowledged`);
    else if (one.position < top.offset) this.#violate('I1', `${one.key} is at ${one.position}, and ${top.offset} was acknowledged`);
  }

  // Others take no longer than before.
  #finishPace() {
    const { before = [], during = [] } = this.#paces;
    const [was, is] = [before, during].map((all) => Math.round(percentile(all, 0.99)));
    if (this.#isPaceJudged && (before.length === 0 || during.length === 0)) this.#violate('I4', 'nobody else got anything');
    if (this.#isPaceJudged && is > Math.max(NOTICEABLE_MS, SLOWER * was)) {
      this.#violate('I4', `others had to wait: p99 ${is} ms, before ${was} ms`);
    }
    return before.length > 0 ? { p99_before_ms: was, p99_during_ms: is } : null;
  }

  // The row of the table.
  finish() {
    let acknowledged = 0;
    for (const [n, { outcome, isDelivered }] of this.#attempts) {
      acknowledged += outcome === 'acknowledged' ? 1 : 0;
      if (outcome === null) this.#violate('I4', `nobody was told what became of ${n}`);
      if (outcome === 'refused' && isDelivered) this.#violate('I4', `${n} was refused and delivered`);
    }
    for (const one of this.#subscriptions.values()) if (!one.isGone) this.#finishSubscription(one, this.#tops.get(one.address));
    for (const [process, { isOver }] of this.#footprints) if (!isOver) this.#violate('I6', `nobody knows how large ${process} is now`);
    if (this.#lostTooSoon > 0) this.#violate('I1', `${this.#lostTooSoon} times a subscriber was told that something is lost`);
    const pace = this.#finishPace();
    const missing = this.#expected - this.#subscriptions.size;
    if (missing > 0) this.#violate('I4', `${missing} subscriptions were never made nor refused`);
    if (this.#expected === 0 || this.#attempts.size === 0) this.#violate('I4', 'nothing was recorded');
    return {
      published: this.#attempts.size,
      acknowledged,
      delivered: this.delivered,
      repaired: this.repaired + this.recovered,
      told_lost: this.toldLost,
      violations: this.violations,
      recovery_ms: this.#over === null ? 0 : Math.round(Math.max(0, this.#lastTrouble.t - this.#over)),
      last_trouble: this.#lastTrouble.text,
      texts: this.texts,
      ...(pace && { pace }),
    };
  }
}

// paths: of the suite first, then of the herds.
export async function checkFiles(paths) {
  const checker = new Checker();
  for await (const record of recordsOf(paths)) checker.take(record);
  return checker.finish();
}
