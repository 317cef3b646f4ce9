// A stream of 100,000 messages and a client that disconnects at random points and comes back 200
// times: recovered is true and nothing is missing or doubled, or recovered is false and what follows
// is whole again. Never anything else.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client, sdkClient, sdkSubscription, sdkVersions } from './client.mjs';
import { delay, patience, scenarioWith, until } from './harness.mjs';
import { seed, seeded } from './random.mjs';

const batch = 20;

// Publishes {n} = offset, about `perSecond` of them, until `total` or stop(); none above state.limit, so
// that what an absence misses need not depend on how fast anybody is.
function stream(backend, channel, total, perSecond) {
  const state = { sent: 0, stopped: false, limit: Infinity };
  const work = (async () => {
    const began = performance.now();
    while (state.sent < total && !state.stopped) {
      if (state.sent + batch > state.limit) {
        await delay(1);
        continue;
      }
      const size = Math.min(batch, total - state.sent);
      const payloads = Array.from({ length: size }, (_, i) => ({ n: state.sent + 1 + i }));
      const results = await backend.publishMany(channel, payloads);
      state.sent += size;
      assert.equal(results.at(-1).offset, state.sent);
      const ahead = (state.sent / perSecond) * 1000 - (performance.now() - began);
      if (ahead > 0) await delay(ahead);
    }
  })();
  const reaches = (offset) => until(patience, `message ${offset} to be published`, () => state.sent >= Math.min(offset, total));
  return { state, work, reaches, stop: () => { state.stopped = true; return work; } };
}

const restorable = 300; // messages

// What a client saw of the stream; every message must be the next one.
class Witness {
  constructor() {
    this.position = null;
    this.outcomes = { first: 0, recovered: 0, lost: 0 };
  }

  subscribed({ was_recovering: asked, recovered, offset = 0, epoch, publications = [] }) {
    if (recovered) {
      assert.ok(asked && this.position !== null);
      assert.equal(offset, this.position, 'the position that the client sent');
      assert.equal(epoch, this.epoch);
      this.outcomes.recovered++;
    } else {
      assert.deepEqual(publications, [], 'all or nothing');
      assert.ok(offset >= (this.position ?? 0), 'a position never goes back');
      this.position = offset;
      this.outcomes[asked ? 'lost' : 'first']++;
    }
    this.epoch = epoch;
    publications.forEach((publication) => this.message(publication));
  }

  message({ offset, data }) {
    assert.equal(offset, this.position + 1, `a hole or a double, seed ${seed}`);
    assert.equal(data.n, offset, 'the right message');
    this.position = offset;
  }
}

scenarioWith('100,000 messages, 200 returns', {}, { timeout: 240000 }, async (cluster) => {
  const total = 100000;
  const returns = 200;
  const random = seeded('resume');
  const flow = stream(Backend.open(cluster), 'long', total, 5000);
  const witness = new Witness();
  let failure = null;
  const guarded = (action) => {
    try {
      action();
    } catch (error) {
      failure ??= error;
    }
  };

  let came = 0;
  while (came <= returns || flow.state.sent < total) {
    const client = await Client.open(cluster);
    const resume = witness.position === null ? {}
      : { recover: true, offset: witness.position, epoch: witness.epoch };
    // The reply is examined before the pushes behind it, however they share frames.
    const prepared = client.prepare('subscribe', { channel: 'long', recoverable: true, positioned: true, ...resume });
    const early = [];
    client.onPush = (push) => early.push(push.pub);
    client.send(prepared.text);
    const reply = await prepared.reply;
    guarded(() => witness.subscribed(reply.subscribe));
    early.splice(0).forEach((publication) => guarded(() => witness.message(publication)));
    client.onPush = (push) => guarded(() => witness.message(push.pub));
    if (failure) throw failure;
    came++;
    // Random points of the stream. Every fourth absence is too long, every fourth is not, however slow the machine.
    await delay(random.below(80));
    if (came % 4 === 0) {
      flow.state.limit = flow.state.sent;
      await until(patience, 'the client to have everything', () => failure || witness.position >= flow.state.sent);
      client.cut();
      flow.state.limit = flow.state.sent + batch * (1 + random.below(restorable / batch - 2));
      await flow.reaches(flow.state.limit - batch);
    } else {
      flow.state.limit = Infinity;
      client.cut();
      if (came % 4 === 2) await flow.reaches(witness.position + restorable + batch);
      else await delay(random.below(40));
    }
    if (failure) throw failure;
  }
  await flow.work;
  const last = await Client.open(cluster);
  const end = await last.subscribe('long', { recover: true, offset: witness.position, epoch: witness.epoch });
  witness.subscribed(end);
  assert.equal(witness.position, total);
  assert.ok(came > returns);
  assert.ok(witness.outcomes.recovered > 20, JSON.stringify(witness.outcomes));
  assert.ok(witness.outcomes.lost > 5, JSON.stringify(witness.outcomes));
});

for (const version of Object.keys(sdkVersions)) {
  scenarioWith(`SDK ${version} leaves and returns 30 times`, {}, { timeout: 240000 }, async (cluster) => {
    const random = seeded(`resume ${version}`);
    const flow = stream(Backend.open(cluster), 'long', Infinity, 500);
    const sdk = sdkClient(cluster, version);
    const subscription = sdkSubscription(sdk, 'long', { recoverable: true, positioned: true });
    const witness = { position: null, recovered: 0, lost: 0 };
    const failures = [];
    subscription.on('subscribed', ({ wasRecovering, recovered, streamPosition }) => {
      if (wasRecovering && recovered) {
        witness.recovered++;
      } else {
        if (wasRecovering) witness.lost++;
        witness.position = streamPosition.offset;
      }
    });
    subscription.on('publication', ({ offset, data }) => {
      if (offset !== witness.position + 1 || data.n !== offset) {
        failures.push(`${offset} after ${witness.position} (data ${data.n}), seed ${seed}`);
      }
      witness.position = offset;
    });
    subscription.subscribe();
    for (let round = 0; round < 30; round++) {
      sdk.connect();
      await subscription.expect('subscribed');
      await subscription.expect('publication');
      await delay(random.below(50));
      if (round % 2) {
        sdk.disconnect();
      } else {
        sdk._transport.close(); // as if the network had done it: the SDK comes back by itself
        await subscription.expect('subscribed');
        await subscription.expect('publication');
        sdk.disconnect();
      }
      if (round % 5 === 4) await flow.reaches(witness.position + restorable + batch);
      else await delay(random.below(100));
    }
    await flow.stop();
    assert.deepEqual(failures, []);
    assert.ok(witness.recovered > 5, JSON.stringify(witness));
    assert.ok(witness.lost > 0, JSON.stringify(witness));
  });
}
