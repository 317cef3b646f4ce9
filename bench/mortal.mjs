// Plays the scenarios of tests/system/mortal.mjs in full size; prints one JSON object with all
// figures. A fault ends it with status 1.
import { Cluster, undoAll } from '../tests/system/harness.mjs';
import { brokerDies, gatewayDies, gatewayReturns } from '../tests/system/mortal.mjs';

const load = { clients: 2000, perSecond: 500 };
const scenarios = {
  gateway_killed: (cluster) => gatewayDies(cluster, { ...load, signal: 'SIGKILL' }),
  gateway_drained: (cluster) => gatewayDies(cluster, { ...load, signal: 'SIGTERM' }),
  broker_killed: (cluster) => brokerDies(cluster, load),
  crowd: (cluster) => gatewayReturns(cluster, { clients: 10000, perSecond: 50 }),
};

async function play(scenario) {
  const cluster = new Cluster({ store: { engine: 'memory' }, gateway: { drain_seconds: 10 } });
  try {
    await cluster.start();
    return await scenario(cluster);
  } finally {
    await undoAll();
    await cluster.stop();
  }
}

const figures = {};
for (const [name, scenario] of Object.entries(scenarios)) {
  for (const [key, value] of Object.entries(await play(scenario))) figures[`${name}_${key}`] = value;
}
console.log(JSON.stringify(figures));
