// The packages as the guides install them, from what a fresh clone has: no bundle, no node_modules, and
// no install scripts. What they import by themselves comes from npm's cache or the registry.
import assert from 'node:assert/strict';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { atEnd, Child, patience, root, run, scenario, temporaryDirectory, within } from './harness.mjs';
import { python } from './packages.mjs';

const built = ['dist', 'build', 'node_modules', '__pycache__'];

async function freshClone(...folders) {
  const directory = await temporaryDirectory();
  atEnd(() => rm(directory, { recursive: true, force: true }));
  const filter = (from) => !built.includes(basename(from)) && !from.endsWith('.egg-info');
  for (const folder of folders) await cp(join(root, folder), join(directory, folder), { recursive: true, filter });
  return directory;
}

// In this folder; returns what was printed.
async function done(cwd, program, args, env) {
  const child = new Child(program, program, args, { cwd, env, input: '' });
  const { code } = await within(3 * patience, `${program} ${args[0]}`, child.exited);
  assert.equal(code, 0, child.tail());
  return child.stdout.join('\n');
}

scenario('the npm packages: everything that they export is there', null, { timeout: 4 * patience }, async () => {
  const folders = ['sdk/js/client', 'sdk/js/backend'];
  const clone = await freshClone(...folders);
  const app = join(clone, 'app');
  await mkdir(app);
  await writeFile(join(app, 'package.json'), '{"private":true,"type":"module"}');
  await done(app, 'npm', ['install', '--install-links', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund',
    ...folders.map((folder) => join(clone, folder))]);
  for (const folder of folders) {
    const { name, exports } = JSON.parse(await readFile(join(clone, folder, 'package.json'), 'utf8'));
    for (const [place, { types }] of Object.entries(exports)) {
      const script = `console.log(JSON.stringify(Object.keys(await import('${name}${place.slice(1)}'))))`;
      const names = JSON.parse(await done(app, 'node', ['--input-type=module', '-e', script]));
      assert.ok(names.includes('connect'), `${name}: ${names}`);
      await readFile(join(app, 'node_modules', name, types));
    }
  }
});

// Debian's pip, where there is one; its packages for the rest.
scenario('the Python package: by pip, or on PYTHONPATH', null, { timeout: 4 * patience }, async () => {
  const clone = await freshClone('sdk/python');
  const hasPip = (await run(python, ['-c', 'import setuptools, wheel, pip'])).code === 0;
  const place = join(clone, hasPip ? 'target' : 'sdk/python');
  if (hasPip) {
    await done(clone, python, ['-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation', '--no-index',
      '--disable-pip-version-check', '--target', place, './sdk/python']);
  }
  const script = 'import millrace, os; print(os.path.dirname(millrace.__file__)); print(sorted(millrace.__all__))';
  const [where, names] = (await done(clone, python, ['-c', script], { PYTHONPATH: place, PYTHONDONTWRITEBYTECODE: '1' })).split('\n');
  assert.equal(where, join(place, 'millrace'));
  assert.match(names, /'Backend'/);
  await readFile(join(place, 'millrace/py.typed'));
});
