// A connection that nobody answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ClosedError, connect } from '../src/index.js';

test('closed when it is time to connect anew', async (context) => {
  const backend = connect({ endpoint: 'tcp://127.0.0.1:1' });
  const now = performance.now.bind(performance);
  context.mock.method(performance, 'now', () => now() + 10000);
  const asked = backend.publish({ name: 'chat' }, { n: 1 });
  const closed = backend.close({ now: true });
  await assert.rejects(asked, ClosedError);
  await closed;
  await delay(100); // what ZeroMQ was being given comes back
});
