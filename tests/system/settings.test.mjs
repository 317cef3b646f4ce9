// Settings that are wrong: every process refuses to start, names file, line and rule, and
// `millrace check-config` says the same.
import assert from 'node:assert/strict';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, after } from 'node:test';
import { programs, root, run, scenario, temporaryDirectory } from './harness.mjs';

let directory;
before(async () => {
  directory = await temporaryDirectory();
});
after(() => rm(directory, { recursive: true }));

async function file(name, text) {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

const starts = {
  broker: (path) => [programs.broker, ['--config', path]],
  gateway: (path) => [programs.gateway, ['--config', path]],
  'check-config': (path) => [programs.cli, ['check-config', path]],
};

// name: [text, line of the mistake, what the message must say]
const mistakes = {
  'an unknown key': ['[broker]\nadmin_port = 0\nadmin_prot = 1\n', 3, /admin_prot/],
  'an unknown section': ['\n[brokre]\nadmin_port = 0\n', 2, /brokre/],
  'a number that is text': ['[gateway]\nsubscriptions = many\n', 2, /subscriptions/],
  'a number with a fraction': ['[gateway]\nsubscriptions = 1.5\n', 2, /subscriptions/],
  'a number out of range': ['[gateway]\nsubscriptions = 0\n', 2, /subscriptions.*1/],
  'a number beyond 64 bits': ['[streams]\ntotal_bytes = 99999999999999999999999\n', 2, /total_bytes/],
  'a time with a byte suffix': ['[gateway]\nping_seconds = 1k\n', 2, /ping_seconds/],
  'a word that is no choice': ['[log]\nlevel = loud\n', 2, /level/],
  'a switch that is neither': ['[channel "chat"]\nclient_history = maybe\n', 2, /client_history/],
  'a key twice': ['[gateway]\nlisten_port = 0\nlisten_port = 0\n', 3, /listen_port/],
  'a key outside of a section': ['listen_port = 1\n', 1, /listen_port|section/],
  'a line that is no setting': ['[gateway]\n\nnonsense\n', 3, /./],
  'a keyless broker socket beyond loopback': ['[broker]\n\ncontrol = tcp://0.0.0.0:7400\n', 3, /control.*loopback/],
  'a keyless backends socket beyond loopback': ['[broker]\nbackends = tcp://*:7402\n', 2, /backends/],
  'a keyless backends endpoint of its own': ['[backends "acme"]\nsite = acme\nbind = tcp://192.0.2.1:7500\n', 3, /loopback/],
  'a gateway beyond loopback without a word on anonymous': ['[gateway]\nlisten_address = 0.0.0.0\n', 2, /anonymous/],
  'an endpoint that is none': ['[broker]\ncontrol = 7400\n', 2, /control/],
  'a shared port that is none': ['[gateway]\nlisten_port = 0\nreuse_port = yes\n', 3, /reuse_port.*listen_port/],
  'an address that is none': ['[gateway]\nadmin_address = localhost\n', 2, /admin_address/],
  'two listeners on one port': ['[broker]\ncontrol = tcp://127.0.0.1:7500\nbackends = tcp://127.0.0.1:7500\n', 3, /same port/],
  'a right that is none': ['[backends "acme"]\nbind = ipc:///tmp/x.sock\nmay = publish fly\n', 3, /may: .*publish history preview/],
  'a channel that is no channel': ['\n[channel "a b"]\nmessages = 5\n', 2, /a b/],
  'a rule for nobody in particular': ['[rule "r"]\nallow = friends\n', 2, /allow: .*admin member visitor everyone/],
  'a rule that says nothing': ['\n[rule "r"]\nchannel = chat\n', 2, /\[rule "r"\] .*allow or deny/],
  'a rule for a resource of no channel': ['[rule "r"]\nresource = a\nallow = admin\n', 1, /resource: needs channel/],
  'two rules for the same place': ['[rule "a"]\nallow = admin\n[rule "b"]\ndeny = visitor\n', 3, /same.*\[rule "a"\]/],
  'a file to include that is not there': ['include = nowhere.ini\n', 1, /nowhere/],
};

for (const [name, [text, line, rule]] of Object.entries(mistakes)) {
  scenario(`refused: ${name}`, null, async () => {
    const path = await file('bad.ini', text);
    for (const [who, command] of Object.entries(starts)) {
      const { code, stdout, stderr } = await run(...command(path));
      assert.equal(code, 78, `${who}: ${stderr}`);
      assert.match(stderr, rule, who);
      assert.ok(stderr.includes(`${path}:${line}: `), `${who} names file and line: ${stderr}`);
      assert.equal(stdout, '', who);
    }
  });
}

scenario('every mistake of a file is told, one a line', null, async () => {
  const path = await file('many.ini', '[gateway]\nsubscriptions = x\nlisten_prot = 5\n[log]\nlevel = 7\n');
  const { code, stderr } = await run(programs.cli, ['check-config', path]);
  assert.equal(code, 78);
  assert.deepEqual(stderr.trim().split('\n').map((line) => line.match(/:(\d+): /)?.[1]), ['2', '3', '5']);
});

scenario('an included file is named in its errors', null, async () => {
  await mkdir(join(directory, 'more'), { recursive: true });
  await file('more/part.ini', '[log]\nlevel = loud\n');
  const path = await file('whole.ini', 'include = more/part.ini\n');
  const { code, stderr } = await run(programs.cli, ['check-config', path]);
  assert.equal(code, 78);
  assert.match(stderr, /more\/part\.ini:2: /);
});

scenario('a file that is not there', null, async () => {
  for (const [who, command] of Object.entries(starts)) {
    const { code, stderr } = await run(...command(join(directory, 'none.ini')));
    assert.equal(code, 78, who);
    assert.match(stderr, /none\.ini/, who);
  }
});

scenario('the environment comes last, also as a file, and is checked as well', null, async () => {
  const path = await file('good.ini', '[gateway]\nsubscriptions = 5\nlisten_port = 1234\n');
  const port = await file('port', '4321\n');
  const env = { MILLRACE_GATEWAY_SUBSCRIPTIONS: '6', MILLRACE_GATEWAY_LISTEN_PORT_FILE: port };
  const { code, stdout, stderr } = await run(programs.cli, ['check-config', path], { env });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^subscriptions = 6$/m);
  assert.match(stdout, /^listen_port = 4321$/m);
  const bad = await run(programs.gateway, [], { env: { MILLRACE_GATEWAY_SUBSCRIPTIONS: 'x' } });
  assert.equal(bad.code, 78);
  assert.match(bad.stderr, /MILLRACE_GATEWAY_SUBSCRIPTIONS/);
});

scenario('what check-config prints is a settings file with the same meaning', null, async () => {
  const path = await file('own.ini',
    '[node]\nname = n1\n[streams]\nmessages = 7\nbytes = 64k\n[channel "chat"]\nseconds = 9\nclient_history = no\n' +
    '[backends "acme"]\nbind = ipc:///tmp/acme.sock\nsite = acme\napps = a b\nmay = publish preview\n');
  const first = await run(programs.cli, ['check-config', path]);
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /^bytes = 65536$/m);
  const again = await run(programs.cli, ['check-config', await file('printed.ini', first.stdout)]);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(again.stdout, first.stdout);
});

scenario('docs/settings.md is what check-config --reference prints', null, async () => {
  const { code, stdout } = await run(programs.cli, ['check-config', '--reference']);
  assert.equal(code, 0);
  assert.equal(await readFile(join(root, 'docs/settings.md'), 'utf8'), stdout,
    'renew it: millrace check-config --reference > docs/settings.md');
});
