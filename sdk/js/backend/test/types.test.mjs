// The declarations fit their use: test/types.ts is what tsc has to accept and to refuse.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as millrace from '@millrace/backend';

const here = dirname(fileURLToPath(import.meta.url));
const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));

test('the declarations, by tsc', () => {
  const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--skipLibCheck', 'false', '--types', ''];
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(typescript, 'bin/tsc'), ...options, join(here, 'types.ts')],
    { encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}${stderr}`);
});

test('everything that is declared is there', async () => {
  const { readFile } = await import('node:fs/promises');
  const declarations = await readFile(join(here, '../src/index.d.ts'), 'utf8');
  const names = [...declarations.matchAll(/^export (?:class|function|const) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(names.sort(), Object.keys(millrace).sort());
});
