// What grows with time: herds that come and go, and a load that goes on and on. Used by
// soak_load.test.mjs, bench/mortal.mjs and bench/soak.mjs. Each checks that nothing is lost, doubled,
// reordered or mixed up, and returns its figures.
import assert from 'node:assert/strict';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { Flow, Herd, assertNoFaults, otherGateway, settled } from './herd.mjs';
import { delay, patience, until } from './harness.mjs';
import { footprint, percent, settledFootprint } from './mortal.mjs';

const channels = 50;
const prefix = 'load:room-';

// --- herds that come and go ---

async function comeAndGo(cluster, connections, before) {
  const herd = Herd.start([cluster.clientPort], { connections, channels, prefix });
  await herd.event('subscribed');
  const flow = new Flow(cluster, { perSecond: 50, channels, prefix });
  await flow.more(channels);
  await flow.stop();
  await settled([herd], flow);
  assertNoFaults(await herd.report());
  await herd.end();
  flow.backend.close();
  await until(patience, 'all to have left', async () => (await cluster.metric('connections')) === 0);
  await until(patience, 'their sockets to be gone', async () => (await footprint(cluster.gateway)).descriptors <= before + slack);
}

const slack = 20; // descriptors: a page of figures that is being read, files of the store

// The same number of clients again and again: what one herd has left behind, the next one uses.
export async function herdsComeAndGo(cluster, { clients, herds }) {
  const look = () => Promise.all([cluster.gateway, cluster.broker].map(footprint));
  const { descriptors } = await footprint(cluster.gateway);
  await comeAndGo(cluster, clients, descriptors);
  const first = await settledFootprint(look, await look());
  for (let i = 1; i < herds; i++) await comeAndGo(cluster, clients, descriptors);
  const last = await settledFootprint(look, first);
  return {
    rss_mb: [first[0].rss, last[0].rss, first[1].rss, last[1].rss].map((at) => Math.round(at / 1e5) / 10),
    rss_percent: percent(first[0].rss, last[0].rss),
    broker_rss_percent: percent(first[1].rss, last[1].rss),
    descriptors_percent: percent(first[0].descriptors, last[0].descriptors),
    broker_descriptors_percent: percent(first[1].descriptors, last[1].descriptors),
  };
}

// --- a load that goes on ---

// How much a line through the samples [{ms, rss}] rises in an hour, in percent of where it begins.
export function risePerHour(samples) {
  const mean = (of) => samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const ms = mean((at) => at.ms);
  const rss = mean((at) => at.rss);
  const slope = mean((at) => (at.ms - ms) * (at.rss - rss)) / mean((at) => (at.ms - ms) ** 2);
  const begin = rss + slope * (samples[0].ms - ms);
  return ((slope * 3600e3) / begin) * 100;
}

// Clients that stay for a while and leave, over and over.
async function visit(cluster, other, state) {
  while (!state.isOver) {
    const herd = Herd.start([cluster.clientPort, other.clientPort], { connections: 200, channels, prefix });
    await herd.event('subscribed');
    for (let s = 0; s < 20 && !state.isOver; s++) await delay(1000);
    assertNoFaults(await herd.report());
    await herd.end();
    state.visits++;
  }
}

// Names that are used once, to publish and to subscribe, and some that are used now and then: what
// they leave behind ends by its age. Resolves to how many there were.
async function useNames(cluster, state) {
  const backend = Backend.open(cluster);
  const client = await Client.open(cluster);
  let n = 0;
  for (; !state.isOver; n++) {
    await backend.publish(`load:once-${n}`, { n });
    await backend.publish(`load:rare-${n % 100}`, { n });
    await client.subscribe(`load:seen-${n}`);
    await client.unsubscribe(`load:seen-${n}`);
    client.lines.length = 0;
    await delay(250);
  }
  client.cut();
  backend.close();
  return n;
}

// What `soak` needs: names that nobody uses end within the time to warm up.
export const soakSettings = { streams: { header_seconds: 60 } };

// Two gateways with `clients` each, `perSecond` publications, and others that come and go. `say` is
// told about once a minute. Memory counts from `warmUpMinutes` on: until then history fills.
export async function soak(cluster, { clients, perSecond, minutes, warmUpMinutes, sampleMs, say }) {
  const other = await otherGateway(cluster, 'gateway-b');
  const options = { connections: clients, channels, prefix };
  const ports = [cluster.clientPort, other.clientPort];
  const herds = [Herd.start(ports, options), Herd.start([...ports].reverse(), options)];
  await Promise.all(herds.map((herd) => herd.event('subscribed')));
  const flow = new Flow(cluster, { perSecond, channels, prefix });
  const state = { isOver: false, visits: 0 };
  const visits = visit(cluster, other, state);
  const names = useNames(cluster, state);
  for (const work of [visits, names]) work.catch(() => {}); // is looked at in the end

  const children = { broker: cluster.broker, gateway_a: cluster.gateway, gateway_b: other.child };
  const samples = Object.fromEntries(Object.keys(children).map((name) => [name, []]));
  const stored = []; // by minute
  const began = performance.now();
  const elapsed = () => performance.now() - began;
  for (let minute = 1; minute <= Math.ceil(minutes); minute++) {
    while (elapsed() < Math.min(minute, minutes) * 60000) {
      await delay(sampleMs);
      for (const [name, child] of Object.entries(children)) {
        assert.equal(child.end, undefined, `${name} has ended`);
        samples[name].push({ ms: elapsed(), ...(await footprint(child)) });
      }
    }
    const reports = await Promise.all(herds.map((herd) => herd.report()));
    reports.forEach(assertNoFaults);
    const store_mb = Math.round((await cluster.metric('store_file_bytes', 'broker')) / 1e5) / 10;
    stored.push(store_mb);
    say({ minute, acknowledged: flow.acknowledged, delivered: reports.reduce((sum, one) => sum + one.publications, 0),
      visits: state.visits, store_mb, ...Object.fromEntries(Object.entries(samples).map(([name, all]) => [`${name}_mb`, Math.round(all.at(-1).rss / 1e4) / 100])) });
  }
  state.isOver = true;
  await visits;
  const used = await names;
  await flow.stop();
  await settled(herds, flow);
  const reports = await Promise.all(herds.map((herd) => herd.report()));
  reports.forEach(assertNoFaults);
  for (const report of reports) assert.equal(report.disconnected + report.told + report.unrecovered, 0, JSON.stringify(report));

  const figures = {
    minutes, acknowledged: flow.acknowledged, delivered: reports.reduce((sum, one) => sum + one.publications, 0),
    visits: state.visits, names: 2 * used, violations: 0,
    store_mb: [stored[Math.min(Math.ceil(warmUpMinutes), stored.length) - 1], stored.at(-1)],
  };
  for (const [name, all] of Object.entries(samples)) {
    const warm = all.filter(({ ms }) => ms >= warmUpMinutes * 60000);
    figures[`${name}_rss_percent_per_hour`] = warm.length > 2 ? Math.round(risePerHour(warm) * 100) / 100 : null;
    figures[`${name}_descriptors`] = [all[0].descriptors, all.at(-1).descriptors];
  }
  return figures;
}
