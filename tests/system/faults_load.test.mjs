// The fault suite, in short: one seed, eight seconds of load before and after each of these. `./dev faults` runs
// all of them, longer. And the proof that it notices: a gateway that does not repair holes fails.
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { buildDir, root, run, skipLarge } from './harness.mjs';

const suite = join(root, 'tests/faults/run.mjs');
// They mostly wait. With sanitizers all is slower: fewer clients, and two faults only.
const chosen = skipLarge ? ['F2', 'F13'] : ['F8', 'F15', 'F6', 'F3', 'F1', 'F2', 'F13'];
const size = skipLarge ? ['--clients', '100'] : [];
const limit = 240000; // ms

async function runSuite(context, id, ...more) {
  const { code, stdout, stderr } = await run('node', [suite, '--short', '--seeds', '1', '--only', id, ...size, ...more], { ms: limit });
  const [heads, row] = stdout.split('\n').slice(stdout.split('\n').findIndex((line) => line.startsWith('fault ')));
  context.diagnostic(heads);
  context.diagnostic(row);
  return { code, text: `${stdout}${stderr}` };
}

describe('a node that is broken under load', { concurrency: skipLarge ? 2 : 4 }, () => {
  for (const id of chosen) {
    test(id, { timeout: limit }, async (context) => {
      const { code, text } = await runSuite(context, id);
      assert.equal(code, 0, text);
    });
  }

  test('a gateway that goes on behind a hole is found out', { timeout: limit, skip: skipLarge }, async (context) => {
    const { code, text } = await runSuite(context, 'F6', '--gateway', join(buildDir, 'gateway/gateway-without-repair'));
    assert.equal(code, 1, text);
    assert.match(text, /^ *I1: .* misses /m);
    const [, directory] = text.match(/records in (\S+)/);
    await rm(dirname(directory), { recursive: true });
  });
});
