// What publishers were told and what clients saw, compared: nothing acknowledged is missing, nothing
// comes twice, positions grow by one, and where that cannot be the client was told.
import assert from 'node:assert/strict';
import { encode } from '@msgpack/msgpack';
import { Backend } from './backend.mjs';
import { Client, sdkClient, sdkSubscription } from './client.mjs';
import { atEnd, delay, patience, until } from './harness.mjs';

// Publishes {n}, each number once, to one channel after the other. A broker that is away leaves some
// without an answer: those may have been published or not.
export class Publisher {
  constructor(cluster, channels, perSecond = 100) {
    this.backend = Backend.open(cluster);
    this.channels = channels;
    this.acknowledged = new Map(); // `${channel} ${epoch} ${offset}` -> n
    this.unanswered = new Set();
    this.refusals = [];
    this.sent = 0;
    this.last = new Map(); // channel -> {epoch, offset}
    this.pause = 1000 / perSecond;
    this.work = this.#run();
    atEnd(() => this.stop());
  }

  async #run() {
    while (!this.stopped) {
      this.#publish(++this.sent);
      await delay(this.pause);
    }
  }

  async #publish(n) {
    const channel = this.channels[n % this.channels.length];
    this.unanswered.add(n);
    const [name, resource] = channel.split(':');
    const target = resource === undefined ? { channel: name } : { channel: name, resource };
    const id = ++this.backend.lastId;
    const answer = new Promise((done) => this.backend.replies.set(id, done)); // however late
    this.backend.raw(encode({ op: 'publish', id, ...target, payload: { n } }));
    const reply = await answer;
    this.unanswered.delete(n);
    if (!reply.ok) {
      if (reply.error.code !== 'stopping') this.refusals.push(reply); // it says that nothing was done
      return;
    }
    this.acknowledged.set(`${channel} ${reply.epoch} ${reply.offset}`, n);
    this.last.set(channel, reply);
  }

  // Resolves when something was acknowledged that was sent after now, on every channel.
  async works(ms = patience) {
    const begin = this.sent;
    await until(ms, 'publications to be acknowledged', () => this.channels.every((channel) => {
      assert.deepEqual(this.refusals, []);
      const at = this.last.get(channel);
      return at && this.acknowledged.get(`${channel} ${at.epoch} ${at.offset}`) > begin;
    }));
  }

  stop() {
    this.stopped = true;
    return this.work;
  }
}

// One channel of one client.
export class Witness {
  constructor(who, channel) {
    this.who = `${who}, ${channel}`;
    this.channel = channel;
    this.position = null;
    this.seen = []; // [epoch, offset, n]
    this.numbers = new Set();
    this.first = 0;
    this.recovered = 0;
    this.lost = 0;
    this.problems = [];
  }

  #check(holds, problem) {
    if (!holds && this.problems.length < 5) this.problems.push(`${this.who}: ${problem}`);
  }

  // What a subscribe reply said, in the words of the SDK.
  subscribed({ wasRecovering, recovered, epoch, offset }) {
    if (wasRecovering && recovered) {
      this.#check(epoch === this.epoch && offset === this.position,
        `recovered at ${epoch} ${offset} from ${this.epoch} ${this.position}`);
      this.recovered++;
      return;
    }
    this.#check(wasRecovering === (this.position !== null), 'was_recovering');
    this.#check(epoch !== this.epoch || offset >= this.position, `back from ${this.position} to ${offset}`);
    this[wasRecovering ? 'lost' : 'first']++;
    this.epoch = epoch;
    this.position = offset;
  }

  message({ offset, data }) {
    this.#check(offset === this.position + 1, `${offset} came behind ${this.position}`);
    this.#check(!this.numbers.has(data.n), `number ${data.n} came twice`);
    this.position = offset;
    this.numbers.add(data.n);
    this.seen.push([this.epoch, offset, data.n]);
  }

  has(position) {
    return this.epoch === position.epoch && this.position >= position.offset;
  }

  // At the end, with all that the publisher knows.
  verify(publisher) {
    for (const [epoch, offset, n] of this.seen) {
      const right = publisher.acknowledged.get(`${this.channel} ${epoch} ${offset}`);
      if (right === undefined) this.#check(publisher.unanswered.has(n), `${n} at ${epoch} ${offset}: nobody was told so`);
      else this.#check(right === n, `${n} came at ${epoch} ${offset}, which is ${right}'s place`);
    }
    assert.deepEqual(this.problems, []);
  }
}

// The client protocol by hand; comes back by itself, as an SDK does.
export class RawFollower {
  constructor(cluster, channels, who = 'raw') {
    this.cluster = cluster;
    this.witnesses = channels.map((channel) => new Witness(who, channel));
    this.connections = 0;
    this.work = this.#run();
    atEnd(() => this.stop());
  }

  async #run() {
    while (!this.stopped) {
      const client = await Client.open(this.cluster).catch(() => null);
      if (client && this.stopped) client.cut();
      else if (client) {
        this.connections++;
        this.client = client;
        client.onPush = (push) => this.#push(client, push);
        for (const witness of this.witnesses) this.#subscribe(client, witness);
        await client.closed;
      }
      await delay(50);
    }
  }

  async #subscribe(client, witness) {
    const { epoch, position: offset } = witness;
    const recover = offset === null ? {} : { recover: true, epoch, offset };
    const { text, reply } = client.prepare('subscribe', { channel: witness.channel, recoverable: true, positioned: true, ...recover });
    witness.early = []; // pushes may share the frame of the reply
    client.send(text);
    const { subscribe, error } = await reply;
    if (client !== this.client) return;
    if (error) {
      if (!error.temporary) witness.problems.push(`${witness.who}: ${JSON.stringify(error)}`);
      await delay(50);
      if (client === this.client && !client.socket.isClosed) this.#subscribe(client, witness);
      return;
    }
    witness.subscribed({
      wasRecovering: subscribe.was_recovering ?? false, recovered: subscribe.recovered ?? false,
      epoch: subscribe.epoch, offset: subscribe.offset ?? 0,
    });
    for (const publication of subscribe.publications ?? []) witness.message(publication);
    const early = witness.early;
    witness.early = null;
    for (const publication of early) witness.message(publication);
  }

  #push(client, push) {
    if (client !== this.client) return;
    const witness = this.witnesses.find((one) => one.channel === push.channel);
    if (push.unsubscribe) {
      if (push.unsubscribe.code !== 2500) witness.problems.push(`${witness.who}: ${JSON.stringify(push)}`);
      this.#subscribe(client, witness);
    } else if (witness.early) {
      witness.early.push(push.pub);
    } else {
      witness.message(push.pub);
    }
  }

  async stop() {
    this.stopped = true;
    this.client?.cut();
    await this.work;
  }
}

// The stock SDK, over WebSocket unless the client is another one.
export class SdkFollower {
  constructor(cluster, channels, version, client = sdkClient(cluster, version)) {
    this.client = client;
    this.connections = 0;
    this.client.on('connected', () => this.connections++);
    this.witnesses = channels.map((channel) => new Witness(`SDK ${version}`, channel));
    for (const witness of this.witnesses) this.#follow(witness);
    this.client.connect();
  }

  #follow(witness) {
    const subscription = sdkSubscription(this.client, witness.channel, {
      recoverable: true, positioned: true, minResubscribeDelay: 50, maxResubscribeDelay: 500,
    });
    subscription.on('subscribed', ({ wasRecovering, recovered, streamPosition }) =>
      witness.subscribed({ wasRecovering, recovered, ...streamPosition }));
    subscription.on('publication', (publication) => witness.message(publication));
    subscription.on('unsubscribed', (context) => {
      if (!this.stopped) witness.problems.push(`${witness.who}: unsubscribed ${JSON.stringify(context)}`);
    });
    subscription.subscribe();
  }

  stop() {
    this.stopped = true;
    this.client.disconnect();
  }
}

// Until all of them have what was acknowledged by now.
export async function caughtUp(followers, publisher, ms = patience) {
  const marks = new Map(publisher.last);
  const behind = () => followers.flatMap(({ witnesses }) => witnesses.filter((one) => !one.has(marks.get(one.channel))));
  await until(ms, 'all clients to be up to date', () => behind().length === 0).catch((error) => {
    const where = behind().map((one) => `${one.who}: ${one.epoch} ${one.position} of ${JSON.stringify(marks.get(one.channel))}`);
    throw new Error(`${error.message}\n${where.join('\n')}`);
  });
}

// The end: everybody has everything, and all that they have seen was right.
export async function verify(followers, publisher) {
  await publisher.works();
  await publisher.stop();
  await delay(0);
  await caughtUp(followers, publisher);
  assert.deepEqual(publisher.refusals, []);
  for (const { witnesses } of followers) for (const witness of witnesses) witness.verify(publisher);
}
