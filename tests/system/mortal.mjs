// What happens to clients under load when a gateway or the broker dies: the scenarios of
// mortal_load.test.mjs and of bench/mortal.mjs. Each checks that nothing is lost, doubled, reordered
// or mixed up in silence, and returns its figures; `others` among them is how many processors the rest
// of the machine took from the death until all was well.
import assert from 'node:assert/strict';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { Flow, Herd, assertNoFaults, killed, otherGateway, settled, watchOthers } from './herd.mjs';
import { delay, patience, until, within } from './harness.mjs';

const channels = 50;
const prefix = 'load:room-';
const back = 120000; // ms after which those who are not back never will be

async function allSubscribed(herds) {
  await Promise.all(herds.map((herd) => herd.event('subscribed')));
}

// Recovery gives back at most 300 messages: of an address with so many a second, for so long.
function assertRecovered(report, perSecond) {
  const longest = (300 / (perSecond / channels)) * 1000 * 0.8;
  if (report.away.max_ms < longest) assert.equal(report.unrecovered, 0, 'nothing was lost');
}

async function resetAll(herds) {
  await Promise.all(herds.map((herd) => herd.reset()));
}

// Ends the load and looks at everything; the last reports.
async function conclude(herds, flow, lost) {
  await flow.stop(lost);
  await settled(herds, flow);
  const reports = await Promise.all(herds.map((herd) => herd.report()));
  reports.forEach(assertNoFaults);
  return reports;
}

// Two gateways, each with `clients` of its own, that go to the other one when theirs is gone.
async function twoHerds(cluster, clients, perSecond) {
  const other = await otherGateway(cluster, 'gateway-b');
  const options = { connections: clients, channels, prefix };
  const herds = [
    Herd.start([cluster.clientPort, other.clientPort], options),
    Herd.start([other.clientPort, cluster.clientPort], options),
  ];
  await allSubscribed(herds);
  const flow = new Flow(cluster, { perSecond, channels, prefix });
  await flow.more(perSecond);
  await resetAll(herds);
  return { herds, flow };
}

// signal: 'SIGKILL' or 'SIGTERM'.
export async function gatewayDies(cluster, { clients, perSecond, signal }) {
  const { herds, flow } = await twoHerds(cluster, clients, perSecond);
  const [own] = herds;
  const others = await watchOthers();
  if (signal === 'SIGKILL') {
    await killed(cluster.gateway);
  } else {
    cluster.gateway.signal(signal);
    const end = await within(back, 'the gateway to end', cluster.gateway.exited);
    assert.deepEqual(end, { code: 0, signal: null });
  }
  const all = (report) => report.disconnected >= clients && report.whole === clients;
  await own.reports('all clients to be back', all, back);
  const figures = { others: await others() };
  await flow.more(perSecond);
  const [mine, theirs] = await conclude(herds, flow);

  assertRecovered(mine, perSecond);
  for (const what of ['disconnected', 'connected', 'recovered', 'unrecovered', 'told', 'failed']) {
    assert.equal(theirs[what], 0, `${what}, at the other gateway`);
  }
  assert.ok(theirs.publications > 0);
  return { ...figures, back_ms: mine.last_ms.recovered, away_p50_ms: mine.away.p50_ms, away_max_ms: mine.away.max_ms };
}

// Two gateways share one port, and the kernel deals out the clients: those of the one that is killed
// find the other by the address that they know.
export async function gatewayOfOnePortDies(cluster, { clients, perSecond }) {
  const herd = Herd.start([cluster.clientPort], { connections: 2 * clients, channels, prefix });
  await allSubscribed([herd]);
  const [first] = cluster.gateways;
  const own = await first.metric('connections');
  assert.ok(own > clients / 2 && own < 1.5 * clients, `${own} of ${2 * clients} are at one gateway`);
  const flow = new Flow(cluster, { perSecond, channels, prefix });
  await flow.more(perSecond);
  await resetAll([herd]);

  const others = await watchOthers();
  await first.end('SIGKILL');
  const all = (report) => report.disconnected >= own && report.whole === 2 * clients;
  await herd.reports('all clients to be back', all, back);
  const figures = { others: await others() };
  await flow.more(perSecond);
  const [report] = await conclude([herd], flow);
  assertRecovered(report, perSecond);
  // On a starved machine a client may give up a second time, and then cannot be told from the others.
  if (report.unanswered === 0) assert.equal(report.disconnected, own, 'the clients of the other one see nothing');
  return { ...figures, back_ms: report.last_ms.recovered, away_max_ms: report.away.max_ms };
}

// kill -9, and away long enough for everybody to be past the first quick attempts to find it again.
export async function brokerDies(cluster, { clients, perSecond }) {
  const { herds, flow } = await twoHerds(cluster, clients, perSecond);
  await killed(cluster.broker);
  const died = performance.now();
  await until(patience, 'a long silence', async () => (await cluster.metric('canary_age_ms')) >= 7000);
  await resetAll(herds);
  const others = await watchOthers();
  const began = performance.now();
  const acknowledged = flow.nextAck();
  const starting = cluster.startBroker();
  const { at } = await acknowledged;
  await starting;

  const told = (report) => report.unrecovered >= clients && report.whole === clients;
  const reports = await Promise.all(herds.map((herd) => herd.reports('all to be told', told, back)));
  const figures = { others: await others() };
  await flow.more(perSecond);
  const ends = await conclude(herds, flow, (sent) => sent < died + 3000);
  for (const report of ends) {
    assert.equal(report.disconnected + report.failed, 0, 'no connection dropped');
    assert.ok(report.told >= clients && report.unrecovered >= clients, JSON.stringify(report));
    assert.equal(report.recovered, 0, 'nothing can be restored from a memory that is gone');
  }
  const last = (what) => Math.max(...reports.map((report) => report.last_ms[what]));
  return { ...figures, publish_ms: Math.round(at - began), told_ms: last('unrecovered') };
}

async function memory(child, name) {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
  return Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)[1]) * 1024;
}

export async function footprint(child) {
  const rss = await memory(child, 'VmRSS');
  return { rss, descriptors: (await readdir(`/proc/${child.pid}/fd`)).length };
}

// The most that it had at once since forgetPeak(), or its start.
export const peakOf = (child) => memory(child, 'VmHWM');

export const forgetPeak = (child) => writeFile(`/proc/${child.pid}/clear_refs`, '5');

export const percent = (before, after) => Math.round((after / before - 1) * 1000) / 10;

// The gateway gives back within seconds what the rush has left in its heap; at the latest when it had
// three times as long, what it needs is what it needs.
export async function settledFootprint(look, before) {
  const end = performance.now() + 15000;
  let now = await look();
  while (now[0].rss > before[0].rss * 1.1 && performance.now() < end) {
    await delay(200);
    now = await look();
  }
  return now;
}

// One gateway, kill -9 and started again at once.
export async function gatewayReturns(cluster, { clients, perSecond }) {
  const herd = Herd.start([cluster.clientPort], { connections: clients, channels, prefix });
  await allSubscribed([herd]);
  const flow = new Flow(cluster, { perSecond, channels, prefix });
  const look = () => Promise.all([cluster.gateway, cluster.broker].map(footprint));
  await flow.more(perSecond * 3);
  const before = await look();
  await resetAll([herd]);

  const others = await watchOthers();
  await killed(cluster.gateway);
  await cluster.startGateway();
  const all = (report) => report.disconnected >= clients && report.whole === clients;
  await herd.reports('all clients to be back', all, back);
  const figures = { others: await others() };
  await flow.more(perSecond * 3);
  await until(patience, 'the queues to be empty', async () => (await cluster.metric('bytes_queued')) === 0);
  const after = await settledFootprint(look, before);
  const [report] = await conclude([herd], flow);
  assertRecovered(report, perSecond);

  const change = (key, i) => percent(before[i][key], after[i][key]);
  return {
    ...figures,
    back_ms: report.last_ms.recovered,
    away_p50_ms: report.away.p50_ms,
    attempts_failed: report.failed,
    rss_mb: [before[0].rss, after[0].rss, before[1].rss, after[1].rss].map((at) => Math.round(at / 1e5) / 10),
    rss_percent: change('rss', 0),
    broker_rss_percent: change('rss', 1),
    descriptors_before: before[0].descriptors,
    descriptors_percent: change('descriptors', 0),
    broker_descriptors_percent: change('descriptors', 1),
  };
}
