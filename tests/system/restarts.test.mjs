// Brokers and gateways die and come back in every order, while backends publish and clients listen:
// nothing is lost in silence. With the settings of deploy/.
import assert from 'node:assert/strict';
import { Client, sdkVersions } from './client.mjs';
import { ManyGateways } from './gateways.mjs';
import { atEnd, delay, deploySettings, patience, scenario, until } from './harness.mjs';
import { seeded } from './random.mjs';
import { caughtUp, Publisher, RawFollower, SdkFollower, verify } from './witness.mjs';

const channels = ['a', 'b', 'b:room'];

const engines = ['memory', 'sqlite'];

function node(name, body, engine = 'sqlite') {
  const cluster = new ManyGateways({ store: { engine } }, ['one', 'two'], { base: deploySettings });
  scenario(`${name}, ${engine}`, cluster, { timeout: 240000 }, async () => {
    atEnd(() => cluster.stop());
    await cluster.start();
    await body(cluster);
  });
}

function followersOf(cluster, raw = 4, sdk = 2) {
  return [
    ...Array.from({ length: raw }, (_, i) => new RawFollower(cluster, channels, `raw ${i}`)),
    ...Object.keys(sdkVersions).flatMap((version) =>
      Array.from({ length: sdk }, () => new SdkFollower(cluster, channels, version))),
  ];
}

const lostOf = (followers) => followers.flatMap(({ witnesses }) => witnesses.map((one) => one.lost));

// Everybody is there and has heard something.
async function begin(cluster) {
  const publisher = new Publisher(cluster, channels, 100);
  await publisher.works();
  const followers = followersOf(cluster);
  await publisher.works();
  await caughtUp(followers, publisher);
  return { publisher, followers };
}

async function settled(cluster, { publisher, followers }) {
  await Promise.all(cluster.gateways.map((gateway) => gateway.ready()));
  await publisher.works();
  await caughtUp(followers, publisher);
}

// How broker and gateways end and start again.
const orders = {
  'the broker': async (cluster, signal) => {
    await cluster.endBroker(signal);
    await cluster.startBroker();
  },
  'the gateways, one after the other': async (cluster, signal) => {
    for (const gateway of cluster.gateways) {
      await gateway.end(signal);
      await gateway.start();
    }
  },
  'the broker, then the gateways before it is back': async (cluster, signal) => {
    await cluster.endBroker(signal);
    await Promise.all(cluster.gateways.map((gateway) => gateway.end(signal)));
    cluster.gateways.forEach((gateway) => gateway.spawn());
    await cluster.startBroker();
  },
  'the gateways, then the broker before they are back': async (cluster, signal) => {
    await Promise.all(cluster.gateways.map((gateway) => gateway.end(signal)));
    await cluster.endBroker(signal);
    await cluster.startBroker();
    cluster.gateways.forEach((gateway) => gateway.spawn());
  },
  'the broker, then the gateways after it is back': async (cluster, signal) => {
    await cluster.endBroker(signal);
    await Promise.all(cluster.gateways.map((gateway) => gateway.end(signal)));
    await cluster.startBroker();
    cluster.gateways.forEach((gateway) => gateway.spawn());
  },
  'the broker, and one of two gateways while it is away': async (cluster, signal) => {
    await cluster.endBroker(signal);
    await cluster.gateways[0].end(signal);
    cluster.gateways[0].spawn();
    await cluster.gateways[0].child.event('started');
    await cluster.startBroker();
  },
  'all at once': async (cluster, signal) => {
    await Promise.all([cluster.endBroker(signal), ...cluster.gateways.map((gateway) => gateway.end(signal))]);
    cluster.gateways.forEach((gateway) => gateway.spawn());
    await cluster.startBroker();
  },
};

for (const [signal, engine] of ['SIGKILL', 'SIGTERM'].flatMap((one) => engines.map((engine) => [one, engine]))) {
  node(`every order, by ${signal}`, async (cluster) => {
    const all = await begin(cluster);
    for (const restart of Object.values(orders)) {
      await restart(cluster, signal);
      await settled(cluster, all);
    }
    await verify(all.followers, all.publisher);
    if (engine === 'memory') assert.ok(lostOf(all.followers).every((lost) => lost > 0), 'a new broker has another history');
    else assert.deepEqual(lostOf(all.followers), lostOf(all.followers).map(() => 0), 'all was restored');
  }, engine);
}

node('twenty brokers killed at any moment: what was acknowledged is there, and nobody notices', async (cluster) => {
  const all = await begin(cluster);
  const { epoch } = all.publisher.last.get('a');
  const random = seeded('kills');
  for (let round = 0; round < 20; round++) {
    await delay(random.below(300));
    await cluster.endBroker('SIGKILL');
    await cluster.startBroker();
    await all.publisher.works();
  }
  await settled(cluster, all);
  await verify(all.followers, all.publisher);
  assert.deepEqual(lostOf(all.followers), lostOf(all.followers).map(() => 0));
  assert.equal(all.publisher.last.get('a').epoch, epoch);
});

node('a broker that dies takes no connection along, and every subscription is told', async (cluster) => {
  const { publisher, followers } = await begin(cluster);
  const connections = followers.map((follower) => follower.connections);
  for (let round = 0; round < 3; round++) {
    await cluster.endBroker('SIGKILL');
    await cluster.startBroker();
    await settled(cluster, { publisher, followers });
  }
  assert.deepEqual(followers.map((follower) => follower.connections), connections);
  assert.deepEqual(lostOf(followers), lostOf(followers).map(() => 3), 'once for each broker');
  await verify(followers, publisher);
}, 'memory');

node('subscriptions that hear nothing are told as well', async (cluster) => {
  const client = await Client.open(cluster);
  const quiet = Array.from({ length: 100 }, (_, i) => `quiet:${i}`);
  for (const channel of quiet) await client.subscribe(channel);
  await cluster.endBroker('SIGKILL');
  await cluster.startBroker();
  // No message and no digest can show them that their history is gone.
  for (const channel of quiet) {
    const { unsubscribe } = await client.push((push) => push.channel === channel);
    assert.equal(unsubscribe.code, 2500);
    const { recovered, was_recovering: asked } = await client.subscribe(channel, { recover: true, offset: 0, epoch: '0000000000000001' });
    assert.deepEqual([asked, recovered ?? false], [true, false]);
  }
  assert.deepEqual(client.pushes, []);
}, 'memory');

node('a gateway that dies takes nothing from its clients and nothing from others', async (cluster) => {
  const { publisher, followers } = await begin(cluster);
  for (let round = 0; round < 4; round++) {
    const gateway = cluster.gateways[round % 2];
    const others = cluster.gateways.filter((one) => one !== gateway);
    const before = await others[0].metric('closed_by_server_total');
    await gateway.end('SIGKILL');
    await publisher.works();
    await caughtUp(followers, publisher); // all are on the other one
    assert.equal(await others[0].metric('closed_by_server_total'), before);
    await gateway.start();
  }
  assert.deepEqual(lostOf(followers), lostOf(followers).map(() => 0), 'all was restored');
  await verify(followers, publisher);
});

node('brokers that die one after the other before anybody has recovered', async (cluster) => {
  const all = await begin(cluster);
  for (let round = 0; round < 4; round++) {
    await cluster.endBroker('SIGKILL');
    await cluster.startBroker();
  }
  await settled(cluster, all);
  await verify(all.followers, all.publisher);
});

node('gateways that wait for a broker', async (cluster) => {
  const all = await begin(cluster);
  await cluster.endBroker('SIGTERM');
  await Promise.all(cluster.gateways.map((gateway) => gateway.end('SIGTERM')));
  cluster.gateways.forEach((gateway) => gateway.spawn());
  for (const gateway of cluster.gateways) {
    await gateway.child.event('started');
    const { status, reasons } = await gateway.readiness();
    assert.equal(status, 503);
    assert.deepEqual(reasons, ['the broker cannot be reached']);
  }
  // Clients come in; what they ask for must wait.
  await until(patience, 'connections', async () => {
    const counts = await Promise.all(cluster.gateways.map((gateway) => gateway.metric('connections')));
    return counts[0] + counts[1] === all.followers.length;
  });
  await cluster.startBroker();
  await settled(cluster, all);
  await verify(all.followers, all.publisher);
});
