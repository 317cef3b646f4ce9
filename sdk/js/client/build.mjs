// Bundles the package with the SDK into one file for browsers, and watches its size.
//   node build.mjs [--limit-kib=60] [--to=dist]
import { build } from 'esbuild';
import { stat, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

const { values } = parseArgs({ options: { 'limit-kib': { type: 'string', default: '60' }, to: { type: 'string', default: 'dist' } } });
const limitKiB = Number(values['limit-kib']);
const here = dirname(fileURLToPath(import.meta.url));
const file = resolve(here, values.to, 'millrace-client.js');

await build({
  entryPoints: [join(here, 'src/index.js')],
  outfile: file,
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  sourcemap: 'linked',
  legalComments: 'inline',
  logLevel: 'warning',
});

const kib = (bytes) => (bytes / 1024).toFixed(1);
const raw = (await stat(file)).size;
const gzipped = gzipSync(await readFile(file), { level: 9 }).length;
console.log(`${values.to}/millrace-client.js: ${kib(raw)} KiB, ${kib(gzipped)} KiB gzipped (limit ${limitKiB} KiB)`);
if (gzipped > limitKiB * 1024) {
  console.error(`the bundle is too large: ${kib(gzipped)} KiB gzipped, above ${limitKiB} KiB`);
  process.exitCode = 1;
}
