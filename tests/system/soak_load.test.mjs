// Herds of clients that come and go leave nothing behind; a load that goes on keeps what it promises.
// `./dev soak` does the second for an hour and looks at the memory, too.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scenarioWith, skipLarge } from './harness.mjs';
import { herdsComeAndGo, risePerHour, soak, soakSettings } from './soak.mjs';

const size = skipLarge ? { clients: 100, herds: 3 } : { clients: 10000, herds: 10 };

scenarioWith('herds come and go', {}, { timeout: 400000 }, async (cluster, context) => {
  const figures = await herdsComeAndGo(cluster, size);
  context.diagnostic(JSON.stringify(figures));
  if (skipLarge) return;
  for (const name of ['rss_percent', 'broker_rss_percent', 'descriptors_percent', 'broker_descriptors_percent']) {
    assert.ok(Math.abs(figures[name]) <= 10, `${name}: ${figures[name]} is not within 10`);
  }
});

scenarioWith('a load that goes on', soakSettings, { timeout: 240000 }, async (cluster, context) => {
  const figures = await soak(cluster, {
    clients: 100, perSecond: 200, minutes: 0.2, warmUpMinutes: 0.1, sampleMs: 500, say: (line) => context.diagnostic(JSON.stringify(line)),
  });
  assert.ok(figures.acknowledged > 1000, JSON.stringify(figures));
  assert.equal(figures.delivered, 4 * figures.acknowledged, 'each of 50 addresses has two readers at each gateway');
});

test('the rise of a line', () => {
  const line = (begin, perHour) => Array.from({ length: 61 }, (_, i) => ({ ms: i * 60e3, rss: begin * (1 + (perHour / 100) * (i / 60)) }));
  assert.ok(Math.abs(risePerHour(line(1e8, 0))) < 1e-9);
  assert.ok(Math.abs(risePerHour(line(1e8, 5)) - 5) < 1e-6);
  assert.ok(Math.abs(risePerHour(line(3e6, -2)) + 2) < 1e-6);
});
