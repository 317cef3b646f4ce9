// Under load, gateways and the broker die: nobody misses anything, or is told so.
//
// The bounds are what the system promises, on a machine that has time for it: when others take more
// than a quarter of a processor meanwhile, the figures are shown and not judged. `./dev bench mortal`
// prints them next to the promise. Where large tests are skipped, small herds go the same ways,
// without a look at the clock. What nobody may lose is checked always.
import assert from 'node:assert/strict';
import { ManyGateways } from './gateways.mjs';
import { atEnd, scenario, scenarioWith, skipLarge } from './harness.mjs';
import { brokerDies, gatewayDies, gatewayOfOnePortDies, gatewayReturns } from './mortal.mjs';

const options = { timeout: 400000 };
const quiet = 0.25; // processors
const load = skipLarge ? { clients: 100, perSecond: 100 } : { clients: 2000, perSecond: 500 };
const crowd = skipLarge ? { clients: 300, perSecond: 50 } : { clients: 10000, perSecond: 50 };

function assertAtMost(limits, figures, context) {
  context.diagnostic(JSON.stringify(figures));
  if (skipLarge) return;
  if (figures.others > quiet) {
    context.skip(`others took ${figures.others} of a processor: the times are shown and not judged`);
    return;
  }
  for (const [name, limit] of Object.entries(limits)) {
    assert.ok(figures[name] <= limit, `${name}: ${figures[name]} is more than ${limit}`);
  }
}

scenarioWith('kill -9 of one of two gateways', {}, options, async (cluster, context) => {
  const figures = await gatewayDies(cluster, { ...load, signal: 'SIGKILL' });
  assertAtMost({ back_ms: 5000 }, figures, context);
});

const onePort = new ManyGateways();
scenario('kill -9 of one of two gateways on one port', onePort, options, async (context) => {
  atEnd(() => onePort.stop());
  await onePort.start();
  const figures = await gatewayOfOnePortDies(onePort, load);
  assertAtMost({ back_ms: 5000 }, figures, context);
});

const draining = { gateway: { drain_seconds: skipLarge ? 2 : 10 } };
scenarioWith('SIGTERM to one of two gateways', draining, options, async (cluster, context) => {
  const figures = await gatewayDies(cluster, { ...load, signal: 'SIGTERM' });
  assertAtMost({ away_max_ms: 2000 }, figures, context);
});

scenarioWith('kill -9 of the broker, and its return', { store: { engine: 'memory' } }, options, async (cluster, context) => {
  const figures = await brokerDies(cluster, load);
  assertAtMost({ publish_ms: 2000, told_ms: 5000 }, figures, context);
});

scenarioWith('kill -9 of a gateway with 10,000 clients, and its return', {}, options, async (cluster, context) => {
  const figures = await gatewayReturns(cluster, crowd);
  assertAtMost({ back_ms: 30000 }, figures, context);
  // How much that is does not depend on how much time the machine has.
  if (skipLarge) return;
  for (const name of ['rss_percent', 'descriptors_percent', 'broker_descriptors_percent']) {
    assert.ok(Math.abs(figures[name]) <= 10, `${name}: ${figures[name]} is not within 10`);
  }
});
