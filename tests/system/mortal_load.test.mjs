// Under load, gateways and the broker die: nobody misses anything, or is told so.
import assert from 'node:assert/strict';
import { scenarioWith, skipLarge } from './harness.mjs';
import { brokerDies, gatewayDies, gatewayReturns } from './mortal.mjs';

const options = { skip: skipLarge && 'thousands of connections', timeout: 180000 };
const load = { clients: 2000, perSecond: 500 };

scenarioWith('kill -9 of one of two gateways', {}, options, async (cluster, context) => {
  const figures = await gatewayDies(cluster, { ...load, signal: 'SIGKILL' });
  context.diagnostic(JSON.stringify(figures));
  assert.ok(figures.back_ms <= 5000, `the last one was back after ${figures.back_ms} ms`);
});

scenarioWith('kill -9 of the broker, and its return', {}, options, async (cluster, context) => {
  const figures = await brokerDies(cluster, load);
  context.diagnostic(JSON.stringify(figures));
  assert.ok(figures.publish_ms <= 2000, `the first publication after ${figures.publish_ms} ms`);
  assert.ok(figures.told_ms <= 5000, `the last one was told after ${figures.told_ms} ms`);
});

scenarioWith('kill -9 of a gateway with 10,000 clients', {}, options, async (cluster, context) => {
  const figures = await gatewayReturns(cluster, { clients: 10000, perSecond: 50 });
  context.diagnostic(JSON.stringify(figures));
  assert.ok(figures.back_ms <= 30000, `the last one was back after ${figures.back_ms} ms`);
  for (const key of ['rss_percent', 'broker_rss_percent', 'descriptors_percent', 'broker_descriptors_percent']) {
    assert.ok(figures[key] <= 10, `${key}: ${figures[key]}`);
  }
});
