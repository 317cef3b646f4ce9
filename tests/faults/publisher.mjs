// A steady flow of publications through the package for Node, each with an idempotency key, and each
// tried again until somebody says what became of it: what a careful backend does.
import { connect } from '@millrace/backend';
import { delay, until } from '../system/harness.mjs';

const TIMEOUT_MS = 3000;
const GIVE_UP_MS = 90000; // since the first attempt, after stop()

// The addresses prefix0, prefix1 ...
export const addressesOf = (prefix, count) => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

// {name, resourceId}
export function targetOf(address) {
  const [name, resourceId] = address.split(':');
  return { name, resourceId };
}

export class Publisher {
  constructor(world, { perSecond, channels, prefix }) {
    Object.assign(this, { world, perSecond });
    this.addresses = addressesOf(prefix, channels); // of which one after the other gets a publication
    this.backend = connect({ endpoint: world.cluster.endpoint, timeoutMs: TIMEOUT_MS, maxPending: 3500,
      onStateChange: (state) => world.records.write('state', { state }) });
    this.sent = 0;
    this.acknowledged = 0;
    this.refused = 0;
    this.again = 0;
    this.open = new Set();
    this.places = new Map(); // `address epoch offset` -> n, acknowledged
    this.tops = new Map(); // address -> {epoch, offset} of the last acknowledged publication
    this.work = this.#run();
  }

  get records() {
    return this.world.records;
  }

  payload(n, address, pad = 64) {
    return { n, a: address, pad: 'x'.repeat(pad) };
  }

  // A number of its own for a publication that somebody else sends: {n, address, key}.
  begin() {
    const address = this.addresses[this.sent % this.addresses.length];
    const n = ++this.sent;
    const key = `${this.world.name}-${n}`;
    this.records.write('attempt', { n, address, key });
    return { n, address, key };
  }

  // One more publication, however long it takes; resolves when that is decided.
  async publish({ pad } = {}) {
    const { n, address, key } = this.begin();
    await this.decide(n, address, key, pad);
  }

  // Nobody has said yet what became of number n.
  async decide(n, address, key, pad) {
    this.open.add(n);
    const payload = this.payload(n, address, pad);
    let isInDoubt = false;
    const givesUp = this.world.random.below(2) === 0; // when it is told that nothing was published
    while (!this.isAbandoned) {
      try {
        const { epoch, offset, duplicate } = await this.backend.publish(targetOf(address), payload, { key });
        this.records.write('ack', { n, epoch, offset, duplicate: duplicate ?? false });
        this.#acknowledged(n, address, epoch, offset);
        this.open.delete(n);
        return;
      } catch (error) {
        if (error.outcome === 'unknown') isInDoubt = true;
        const isFinal = error.outcome === 'refused' && !isInDoubt && givesUp;
        this.records.write(isFinal ? 'refused_publish' : 'again', { n, status: error.status, outcome: error.outcome });
        if (isFinal) {
          this.refused++;
          this.open.delete(n);
          return;
        }
        this.again++;
        await delay(50 + this.world.random.below(200));
      }
    }
  }

  #acknowledged(n, address, epoch, offset) {
    this.places.set(`${address} ${epoch} ${offset}`, n);
    this.acknowledged++;
    const top = this.tops.get(address);
    if (!top || top.epoch !== epoch || top.offset < offset) this.tops.set(address, { epoch, offset });
  }

  async #run() {
    let began = performance.now();
    let due = this.sent;
    while (!this.stopped) {
      const missing = Math.floor(((performance.now() - began) / 1000) * this.perSecond);
      for (; due < missing && !this.isPaused; due++) this.publish();
      if (this.isPaused) {
        began = performance.now();
        due = 0;
      }
      await delay(10);
    }
  }

  // Resolves when `count` more were acknowledged.
  async more(count, ms = 60000) {
    const goal = this.acknowledged + count;
    await until(ms, `${count} acknowledgements`, () => this.acknowledged >= goal);
  }

  // `count` more at once, as fast as they are taken.
  async burst(count, pad) {
    for (let done = 0; done < count; done += 1000) {
      await Promise.all(Array.from({ length: Math.min(1000, count - done) }, () => this.publish({ pad })));
    }
  }

  // Nothing new, and nothing under way, until resume().
  async pause() {
    this.isPaused = true;
    await until(60000, 'all publications to be decided', () => this.open.size === 0);
  }

  resume() {
    this.isPaused = false;
  }

  // No new ones; waits until all are decided, and no longer than GIVE_UP_MS.
  async stop() {
    this.stopped = true;
    await this.work;
    await until(GIVE_UP_MS, 'the last publications to be decided', () => this.open.size === 0).catch(() => {});
    this.isAbandoned = true;
    await this.backend.close({ now: true });
  }
}
