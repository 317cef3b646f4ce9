// What deploy/ gives to operators is true: the settings start both processes, the units' commands are
// those of the real programs, systemd finds nothing to complain about, `meson install` installs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { atEnd, buildDir, Child, deploySettings as settings, freePort, httpGet, patience, programs, root, run, scenario, temporaryDirectory, until } from './harness.mjs';

const units = join(root, 'deploy/systemd');

async function scratch() {
  const directory = await temporaryDirectory();
  atEnd(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

// --- units ---

// [[section, key, value]] of a unit for one instance.
async function unitLines(name, instance) {
  const text = (await readFile(join(units, name), 'utf8')).replaceAll('%i', instance);
  let section = '';
  const lines = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('[')) section = line.slice(1, -1);
    else if (line && !line.startsWith('#')) lines.push([section, ...line.match(/^(\w+)=(.*)$/).slice(1)]);
  }
  return lines;
}

const valuesOf = (lines, key) => lines.filter(([, name]) => name === key).map(([, , value]) => value);

// The unit's command and environment, with the programs under test and the settings of deploy/.
async function commandOf(name, instance = '') {
  const lines = await unitLines(name, instance);
  const [command] = valuesOf(lines, 'ExecStart');
  const [program, ...args] = command.split(' ');
  const file = { '/usr/local/bin/millrace-broker': programs.broker, '/usr/local/bin/millrace-gateway': programs.gateway }[program];
  assert.ok(file, `${program} is what meson install installs`);
  return {
    file,
    args: args.map((at) => (at === '/etc/millrace/millrace.ini' ? settings : at)),
    env: Object.fromEntries(valuesOf(lines, 'Environment').map((at) => at.split(/=(.*)/s).slice(0, 2))),
    lines,
  };
}

// What `systemctl reload` runs; its status.
async function reloadAs(lines, pid, env, file = settings) {
  for (const command of valuesOf(lines, 'ExecReload')) {
    const words = command.replace('/usr/local/bin/millrace ', `${programs.cli} `).replace('/etc/millrace/millrace.ini', file).replace('$MAINPID', `${pid}`);
    const { code } = await run('/bin/sh', ['-c', words], { env });
    if (code !== 0) return code;
  }
  return 0;
}

scenario('systemctl reload looks at the settings first: with an error in them nobody is told', null, async () => {
  const file = join(await scratch(), 'bad.ini');
  await writeFile(file, '[log]\nlevel = loud\n');
  for (const name of ['millrace-broker.service', 'millrace-gateway@.service']) {
    const { lines } = await commandOf(name, '1');
    const witness = new Child('witness', '/bin/sleep', ['300']);
    atEnd(() => witness.signal('SIGKILL'));
    assert.equal(await reloadAs(lines, witness.pid, {}, file), 78);
    assert.equal(witness.end, undefined);
    assert.equal(await reloadAs(lines, witness.pid, {}), 0);
    assert.equal((await witness.exited).signal, 'SIGHUP');
  }
});

scenario('the units start a node from deploy/settings: a message goes through, each ends by SIGTERM', null, { timeout: 240000 },
  async () => {
    const [control, publications, backends, admin] = [await freePort(), await freePort(), await freePort(), await freePort()];
    const tcp = (port) => `tcp://127.0.0.1:${port}`;
    const shared = {
      MILLRACE_BROKER_CONTROL: tcp(control),
      MILLRACE_BROKER_PUBLICATIONS: tcp(publications),
      MILLRACE_BROKER_BACKENDS: tcp(backends),
      MILLRACE_BROKER_ADMIN_PORT: `${admin}`,
      MILLRACE_GATEWAY_CONTROL: tcp(control),
      MILLRACE_GATEWAY_PUBLICATIONS: tcp(publications),
      MILLRACE_STORE_PATH: join(await scratch(), 'millrace.db'),
    };
    const started = [];
    const start = async (name, instance, adminPort, more = {}) => {
      const { file, args, env, lines } = await commandOf(name, instance);
      const child = new Child(name, file, args, { env: { ...env, ...shared, ...more } });
      atEnd(() => child.signal('SIGKILL'));
      child.reload = () => reloadAs(lines, child.pid, { ...env, ...shared, ...more });
      started.push(child);
      await until(patience, `${name} to be ready`, async () => {
        assert.ok(!child.end, child.tail());
        return (await httpGet(`http://127.0.0.1:${adminPort}/readyz`).catch(() => null))?.status === 200;
      });
    };
    await start('millrace-broker.service', '', admin);
    const gateways = [];
    const clientPort = await freePort(); // which they share
    for (const instance of ['1', '2']) {
      const adminPort = await freePort();
      await start('millrace-gateway@.service', instance, adminPort,
        { MILLRACE_GATEWAY_LISTEN_PORT: `${clientPort}`, MILLRACE_GATEWAY_ADMIN_PORT: `${adminPort}` });
      gateways.push({ clientPort });
    }

    const clients = await Promise.all(gateways.map((gateway) => Client.open(gateway)));
    for (const client of clients) await client.subscribe('chat');
    await Backend.open({ endpoint: tcp(backends) }).publish('chat', { text: 'deployed' });
    for (const client of clients) assert.deepEqual((await client.publications('chat', 1)).map((at) => at.data), [{ text: 'deployed' }]);

    const names = await until(patience, 'both gateways', async () => {
      const page = JSON.parse((await httpGet(`http://127.0.0.1:${admin}/status`)).text);
      return page.gateways.length === 2 && page.gateways.map((gateway) => gateway.name).sort();
    });
    assert.deepEqual(names, ['gateway-1', 'gateway-2']);

    for (const child of started) {
      assert.equal(await child.reload(), 0);
      assert.equal((await child.event('reloaded')).changed, 0);
    }

    for (const child of started.reverse()) assert.deepEqual(await child.stop('SIGTERM'), { code: 0, signal: null });
  });

scenario('instances of the gateway differ in name and admin port', null, async () => {
  for (const instance of ['1', '9']) {
    const { env } = await commandOf('millrace-gateway@.service', instance);
    assert.equal(env.MILLRACE_GATEWAY_NAME, `gateway-${instance}`);
    assert.equal(env.MILLRACE_GATEWAY_ADMIN_PORT, `800${instance}`);
  }
});

scenario('the units leave enough time to stop and enough descriptors for the settings', null, async () => {
  const { lines } = await commandOf('millrace-gateway@.service', '1');
  const { stdout } = await run(programs.cli, ['check-config', settings]);
  const setting = (key) => Number(stdout.match(new RegExp(`^${key} = (\\d+)$`, 'm'))?.[1] ?? 0);
  assert.ok(parseInt(valuesOf(lines, 'TimeoutStopSec')[0]) > 2 * setting('drain_seconds'));
  assert.ok(Number(valuesOf(lines, 'LimitNOFILE')[0]) >= setting('connections') + 1280);
  for (const name of ['millrace-broker.service', 'millrace-gateway@.service']) {
    const own = (await commandOf(name, '1')).lines;
    assert.deepEqual(valuesOf(own, 'RestartPreventExitStatus'), ['64 78']);
    assert.deepEqual(valuesOf(own, 'Restart'), ['on-failure']);
  }
});

scenario('the store is where the broker\'s unit may write, and nobody else may read', null, async () => {
  const { lines } = await commandOf('millrace-broker.service');
  const { stdout } = await run(programs.cli, ['check-config', settings]);
  const [path] = stdout.match(/(?<=^path = ).*$/m);
  const [directory] = valuesOf(lines, 'StateDirectory');
  assert.equal(dirname(path), `/var/lib/${directory}`);
  assert.deepEqual(valuesOf(lines, 'StateDirectoryMode'), ['0700']);
});

scenario('both units are hardened alike', null, async () => {
  const common = async (name) => (await readFile(join(units, name), 'utf8')).match(/# What is below is the same[^]*?(?=\n\[Install\])/)[0];
  assert.equal(await common('millrace-broker.service'), await common('millrace-gateway@.service'));
});

// systemd's own checks, with the programs where they are now.
const analyze = ['/usr/bin/systemd-analyze', '/bin/systemd-analyze'].find((at) => existsSync(at));
scenario('systemd has nothing to complain about, and little exposure to see', null,
  { skip: !analyze && 'systemd is not installed' }, async () => {
    const directory = await scratch();
    for (const name of await readdir(units)) {
      if (name.endsWith('.conf')) continue;
      const text = (await readFile(join(units, name), 'utf8'))
        .replace('/usr/local/bin/millrace-broker', programs.broker).replace('/usr/local/bin/millrace-gateway', programs.gateway);
      await writeFile(join(directory, name), text);
    }
    const target = (await unitLines('millrace.target', '')).find(([, key]) => key === 'Wants')[2].split(' ');
    const instances = [...target.filter((name) => name.includes('@')), 'millrace-gateway@9.service'];
    const gateway = await readFile(join(directory, 'millrace-gateway@.service'));
    for (const name of instances) await writeFile(join(directory, name), gateway);
    for (const name of target) assert.ok(existsSync(join(directory, name)), `${name} of millrace.target is a unit`);

    const services = ['millrace-broker.service', ...instances].map((name) => join(directory, name));
    const verify = spawnSync(analyze, ['verify', '--man=no', ...services, join(directory, 'millrace.target')], { encoding: 'utf8' });
    assert.deepEqual([verify.status, verify.stderr], [0, '']);
    for (const service of services) {
      const security = spawnSync(analyze, ['security', '--offline=yes', '--threshold=20', '--no-pager', service], { encoding: 'utf8' });
      assert.equal(security.status, 0, security.stdout + security.stderr);
    }
  });

const sysusers = ['/usr/bin/systemd-sysusers', '/bin/systemd-sysusers'].find((at) => existsSync(at));
scenario('the user of the units is made by systemd-sysusers', null,
  { skip: !(sysusers && process.getuid() === 0) && 'needs systemd and root' }, async () => {
    const directory = await scratch();
    await mkdir(join(directory, 'etc'));
    const made = spawnSync(sysusers, [`--root=${directory}`, join(units, 'millrace.sysusers.conf')], { encoding: 'utf8' });
    assert.equal(made.status, 0, made.stderr);
    const user = (await commandOf('millrace-broker.service')).lines.find(([, key]) => key === 'User')[2];
    assert.match(await readFile(join(directory, 'etc/passwd'), 'utf8'), new RegExp(`^${user}:.*nologin$`, 'm'));
  });

// --- settings ---

scenario('each key that the example settings mention exists, with the default that they show', null, async () => {
  const text = await readFile(settings, 'utf8');
  const directory = await scratch();
  const all = join(directory, 'all.ini');
  const key = await run(programs.cli, ['keys', 'new', '--alg', 'ES256', '--kid', '2026-1', '--out', join(directory, 'private.jwks')]);
  assert.equal(key.code, 0, key.stderr);
  const shared = await run(programs.cli, ['keys', 'public', join(directory, 'private.jwks')]);
  assert.equal(shared.code, 0, shared.stderr);
  await writeFile(join(directory, 'default.jwks'), shared.stdout);
  await writeFile(all, text.replaceAll(/^#(?=[a-z_]+ = |[a-z_]+ =$|\[)/gm, ''));
  const shown = await run(programs.cli, ['check-config', all]);
  assert.equal(shown.code, 0, shown.stderr);

  const lines = (config) => config.split('\n').filter((line) => /^(\[|[a-z_]+ =)/.test(line));
  const defaults = lines((await run(programs.cli, ['check-config'])).stdout);
  const plain = lines(shown.stdout).slice(0, lines(shown.stdout).findIndex((line) => /^\[(site|channel|rule|backends) /.test(line)));
  const changed = plain.filter((line) => !defaults.includes(line));
  assert.deepEqual(changed, text.match(/^[a-z_]+ = .*$/gm), 'what is set, and no more, differs from the defaults');
  assert.ok(text.match(/^#[a-z_]+ =/gm).length >= 20);
});

// --- meson install ---

scenario('meson install installs the three programs', null, async () => {
  const directory = await scratch();
  const installed = await run('meson', ['install', '-C', buildDir, '--no-rebuild', '--destdir', directory]);
  assert.equal(installed.code, 0, installed.stderr);
  const bin = join(directory, 'usr/local/bin');
  assert.deepEqual((await readdir(bin)).sort(), ['millrace', 'millrace-broker', 'millrace-gateway']);
  for (const name of await readdir(bin)) {
    assert.equal((await stat(join(bin, name))).mode & 0o777, 0o755);
    const { code, stdout } = await run(join(bin, name), ['--version']);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^${name} \\d`));
  }
  assert.deepEqual(await readdir(join(directory, 'usr/local')), ['bin'], 'nothing else');
});
