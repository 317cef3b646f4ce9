// Every command of `millrace` with every kind of wrong argument: standard error names the argument
// and the rule, standard output stays empty, the exit status is the documented one.
import assert from 'node:assert/strict';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { programs, run, scenario, temporaryDirectory } from './harness.mjs';

const USAGE = 64, BAD_DATA = 65, BAD_CONFIG = 78;
const nowhere = 'tcp://127.0.0.1:1';

// Arguments with which each command is right as far as its command line goes.
const commands = {
  publish: ['chat', '{}'],
  subscribe: ['chat'],
  status: [],
  'handlers list': [],
  'handlers remove': ['chat'],
  explain: ['chat', '--subscriber', 'user-7', '--type', 'MEMBER'],
  token: ['--key', 'k'],
  'keys new': ['--alg', 'HS256', '--kid', 'a'],
  'keys public': ['k'],
  'check-config': [],
  reference: [],
};

// The same commands by what they need.
const ofBackends = ['publish', 'handlers list', 'handlers remove', 'explain'];
const withSettings = [...ofBackends, 'subscribe', 'status'];
const line = (command, ...more) => [...command.split(' '), ...commands[command], ...more];

let directory;
before(async () => {
  directory = await temporaryDirectory();
  await mkdir(join(directory, 'folder'));
  await writeFile(join(directory, 'binary.ini'), Buffer.from([0, 1, 2, 255, 10, 91]));
  await writeFile(join(directory, 'unknown.ini'), '[gateway]\nlisten_prot = 1\n');
  await writeFile(join(directory, 'loop.ini'), 'include = loop.ini\n');
});
after(() => rm(directory, { recursive: true }));

async function expectRefusal(args, code, rule, env) {
  const got = await run(programs.cli, args, { env });
  assert.equal(got.code, code, `${args.join(' ')}: ${got.stderr}`);
  assert.match(got.stderr, rule);
  assert.equal(got.stdout, '');
}

// --- what holds for every command ---

// [{name, value}] as --help lists them: "--name", "--name VALUE" or "--name[=VALUE]".
async function optionsOf(command) {
  const { stdout } = await run(programs.cli, [...command.split(' '), '--help']);
  const found = [...stdout.matchAll(/^ {2}--([a-z-]+)( [A-Za-z:_]+|\[=[A-Z]+\])? {2,}\S/gm)];
  return found.map(([, name, value]) => ({ name, value: !value ? 'none' : value[0] === ' ' ? 'needed' : 'allowed' }));
}

for (const command of Object.keys(commands)) {
  scenario(`${command}: options that are none, that lack a value or have one too many`, null, async () => {
    await expectRefusal(line(command, '--colour'), USAGE, /--colour is not an option of this command/);
    await expectRefusal(line(command, '--colour=red'), USAGE, /--colour=red is not an option/);
    await expectRefusal(line(command, '-x'), USAGE, /: -x is not an option/);
    await expectRefusal(line(command, '-xy'), USAGE, /: -x is not an option/);
    await expectRefusal(line(command, '-ä'), USAGE, /: -\\xc3 is not an option/);
    const options = await optionsOf(command);
    assert.equal(options.at(-1).name, 'help');
    for (const { name, value } of options) {
      if (value === 'needed') await expectRefusal(line(command, `--${name}`), USAGE, new RegExp(`--${name} needs a value`));
      if (value === 'none') await expectRefusal(line(command, `--${name}=x`), USAGE, new RegExp(`--${name}=x takes no value`));
    }
  });

  scenario(`${command}: --help and -h are no mistakes`, null, async () => {
    assert.match((await run(programs.cli, ['--help'])).stdout, new RegExp(`^  ${command.split(' ')[0]} `, 'm'));
    for (const option of ['--help', '-h']) {
      const { code, stdout, stderr } = await run(programs.cli, [...command.split(' '), option]);
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(stdout, new RegExp(`^usage: millrace ${command} `));
    }
  });

  scenario(`${command}: the usage is told`, null, async () => {
    const { stderr } = await run(programs.cli, line(command, '--colour'));
    assert.match(stderr, new RegExp(`^millrace ${command}: .*\nusage: millrace ${command} .*\nmillrace ${command} --help tells more\\.\n$`));
  });
}

for (const command of [...ofBackends, 'status']) {
  for (const value of ['', 'soon', '-1', '+1', '0', '1.5', '0x10', '1e3', ' 5', '5 ', '600001', '99999999999999999999']) {
    scenario(`${command}: --timeout '${value}'`, null, () => expectRefusal(
      line(command, `--timeout=${value}`), USAGE,
      new RegExp(`--timeout '${value.replace(/[.+]/, '\\$&')}': a number from 1 to 600000 is expected`)));
  }
}

for (const [option, place, of] of [['endpoint', nowhere, ofBackends], ['url', 'ws://127.0.0.1:1/', ['subscribe']],
  ['url', 'http://127.0.0.1:1', ['status']]]) {
  for (const command of of) {
    scenario(`${command}: --${option} would make --config meaningless`, null, () => expectRefusal(
      line(command, `--${option}`, place, '--config', 'none.ini'), USAGE, new RegExp(`--${option} or --config: not both`)));
  }
}

for (const command of ofBackends) {
  scenario(`${command}: --endpoint and --site that are none`, null, async () => {
    for (const endpoint of ['', 'nowhere', 'http://127.0.0.1:7402', 'tcp://127.0.0.1', 'tcp://127.0.0.1:99999', 'ipc://']) {
      await expectRefusal(line(command, '--endpoint', endpoint), USAGE, new RegExp(`: ${endpoint} is no endpoint: tcp:`));
    }
    for (const site of ['', 'a b', 'a/b', 'ä', 'x'.repeat(65)]) {
      await expectRefusal(line(command, '--site', site), USAGE, new RegExp(`--site '${site}': 1 to 64 letters`));
    }
  });
}

// --- command lines (more of them are in cli.test.mjs) ---

const lines = [
  [[''], /'' is no command/],
  [['--dance'], /'--dance' is no command/],
  [['Publish'], /'Publish' is no command/],
  [['--help', 'publish'], /'publish' is one argument too many: --help stands alone/],
  [['-h', ''], /'' is one argument too many/],
  [['--version', '--short'], /'--short' is one argument too many: --version stands alone/],

  [['publish', '', '{}'], /'': channel/],
  [['publish', ':room', '{}'], /':room': channel/],
  [['publish', 'x'.repeat(141), '{}'], /140/],
  [['publish', 'chät', '{}'], /'chät': channel/],
  [['publish', 'chat', '{}', '--endpoint', ''], / is no endpoint: tcp:/],
  [['publish', 'chat', '{}', '--endpoint', 'tcp://127.0.0.1:99999'], /tcp:\/\/127\.0\.0\.1:99999 is no endpoint/],
  ...['', 'x'.repeat(65), 'ä'.repeat(33)].map((key) => [['publish', 'chat', '{}', '--key', key], /--key: 1 to 64 bytes of UTF-8/]),
  ...['', 'x'.repeat(257)].map((id) => [['publish', 'chat', '{}', '--publisher', id], /--publisher: 1 to 256 bytes of UTF-8/]),

  [['token', '--key', 'k', '--audience', ''], /--audience: 1 to 1024 bytes of UTF-8/],
  [['token', '--key', 'k', '--kid', ''], /--kid: 1 to 128 bytes/],
  [['token', '--key', 'k', '--kid', 'x'.repeat(129)], /--kid: 1 to 128 bytes/],
  [['keys', '--colour'], /--colour is not an option/],
  [['keys', 'new', '--alg', 'HS256', '--kid', 'x'.repeat(129)], /--kid: 1 to 128 bytes/],
  [['keys', 'new', '--alg', 'HS256', '--kid', 'a', '--out', ''], /--out '': the name of a file is expected/],
  [['keys', 'new', '--alg', 'HS256', '--kid', 'a', '--add', ''], /--add '': the name of a file is expected/],

  [['check-config', 'millrace.ini', '--reference'], /'millrace\.ini' or --reference: not both/],

  [['subscribe', ''], /'': channel/],
  [['subscribe', ...Array.from({ length: 129 }, (_, i) => `c${i}`)], /'c128' is one argument too many/],
  [['subscribe', 'chat', '--since', ':5'], /--since ':5': EPOCH:OFFSET/],
  [['subscribe', 'chat', '--since', 'e:'], /--since ''/],
  [['subscribe', 'chat', '--since', 'e:9007199254740993'], /--since '9007199254740993'/],
  [['subscribe', 'chat', '--url', ''], /'' is no address like ws:/],

  [['status', '5'], /'5' is one argument too many/],
  [['status', '--watch', '5', '6'], /'6' is one argument too many/],
  [['status', '--watch=5', '6'], /'6' is one argument too many/],
  [['status', '--watch', 'often'], /--watch 'often': a number from 1 to 3600 is expected/],
  [['status', '--watch', '0'], /--watch '0'/],
  [['status', '--watch=0.5'], /--watch '0\.5'/],
  [['status', '--watch='], /--watch ''/],
  [['status', '--watch', '3601'], /--watch '3601'/],
  [['status', '--url', ''], /--url '': an address like http:/],
  [['status', '--url', '127.0.0.1:7480'], /--url '127.0.0.1:7480': an address like http:/],
  [['status', '--url', 'ws://127.0.0.1:7480'], /--url 'ws:/],
  [['status', '--url', 'file:///etc/passwd'], /--url 'file:/],
  [['status', '--url', 'http://'], /--url 'http:\/\/'/],
  [['status', '--url', 'http://127.0.0.1:99999'], /--url 'http:\/\/127.0.0.1:99999'/],
  [['status', '--url', 'http://127.0.0.1:7480/?x=1'], /--url/],
  [['status', '--url', 'http://127.0.0.1:7480/#x'], /--url/],
  [['status', '--url', `http://127.0.0.1/${'x'.repeat(2000)}`], /--url: more than 2000 bytes/],

  [['handlers', ''], /'' is neither list nor remove/],
  [['handlers', 'List'], /'List' is neither list nor remove/],
  [['handlers', 'list', ''], /'' is one argument too many/],
  [['handlers', 'list', '--app', 'a b'], /--app 'a b': 1 to 64 letters/],
  [['handlers', 'list', '--app', 'x'.repeat(65)], /--app 'x{65}': 1 to 64 letters/],
  [['handlers', 'list', '--default'], /--default is not an option/],
  [['handlers', 'remove', ''], /'': channel/],
  [['handlers', 'remove', ':room'], /':room': channel/],
  [['handlers', 'remove', 'chat:'], /'chat:': resource/],
  [['handlers', 'remove', `chat:${'x'.repeat(137)}`], /140/],
  [['handlers', 'remove', 'chat', 'news'], /'news' is one argument too many/],
  [['handlers', 'remove', 'chat', '--default'], /'chat' or --default: not both/],
  [['handlers', 'remove', '--default', '--app', ''], /--app '': 1 to 64 letters/],
  [['handlers', 'remove', 'chat', '--app', 'a/b'], /--app 'a\/b': 1 to 64 letters/],
  [['handlers', 'remove', 'crm/chat', '--app', 'shop'], /'crm\/chat' names another app than --app shop/],
  [['handlers', 'remove', '/chat', '--app', 'shop'], /'\/chat' names another app than --app shop/],
  [['handlers', 'remove', 'c r m/chat'], /'c r m\/chat': app/],

  [['explain', '', '--type', 'VISITOR'], /'': channel/],
  [['explain', 'chat:', '--type', 'VISITOR'], /'chat:': resource/],
  [['explain', 'x'.repeat(141), '--type', 'VISITOR'], /140/],
  [['explain', 'chat', 'news', '--type', 'VISITOR'], /'news' is one argument too many/],
  [['explain', 'chat', '--subscriber', 'a'], /--type is missing: MEMBER, ADMIN or VISITOR/],
  [['explain', 'chat', '--type', ''], /--type '': MEMBER, ADMIN or VISITOR is expected/],
  [['explain', 'chat', '--subscriber', 'a', '--type', 'MEMBERS'], /--type 'MEMBERS'/],
  [['explain', 'chat', '--type', 'ADMIN'], /--subscriber is missing: the id of the ADMIN, .*only a VISITOR/],
  [['explain', 'chat', '--type', 'MEMBER', '--subscriber', ''], /--subscriber: 1 to 256 bytes of UTF-8/],
  [['explain', 'chat', '--type', 'MEMBER', '--subscriber', 'x'.repeat(257)], /--subscriber: 1 to 256 bytes/],
  [['explain', 'chat', '--type', 'VISITOR', '--subscriber', 'ä'.repeat(129)], /--subscriber: 1 to 256 bytes/],

  [['reference', 'codes'], /'codes' is no table; there are handshake, fallback, errors, closes/],
  [['reference', ''], /'' is no table/],
  [['reference', 'errors', 'closes'], /'closes' is one argument too many/],
];
for (const [args, rule] of lines) {
  const name = args.join(' ');
  scenario(`wrong arguments: millrace ${name.length > 80 ? `${name.slice(0, 80)}...` : name}`, null, () => expectRefusal(args, USAGE, rule));
}

for (const [name, env, args, rule] of [
  ['status', { MILLRACE_BROKER_ADMIN_PORT: '0' }, ['status'], /admin_port = 0.*--url/],
  ...ofBackends.map((command) => [
    command, { MILLRACE_BROKER_BACKENDS: '' }, line(command), /\[broker\] backends is nowhere: name a place with --endpoint/]),
  ['subscribe', { MILLRACE_GATEWAY_LISTEN_PORT: '0' }, ['subscribe', 'chat'], /port open: give --url/],
]) {
  scenario(`${name}: settings that do not say where`, null, () => expectRefusal(args, USAGE, rule, env));
}

// An argument of a program is text to Node: only a shell passes on what is no UTF-8.
scenario('publish: --key and --publisher that are no UTF-8', null, async () => {
  for (const option of ['key', 'publisher']) {
    const script = `exec '${programs.cli}' publish chat '{}' --${option} "$(printf '\\377')"`;
    const { code, stdout, stderr } = await run('/bin/sh', ['-c', script]);
    assert.deepEqual([code, stdout], [USAGE, ''], stderr);
    assert.match(stderr, new RegExp(`--${option}: 1 to \\d+ bytes of UTF-8`));
  }
});

// --- key files ---

scenario('keys new: --add to what is no file of keys', null, async () => {
  for (const [file, rule] of [['none.keys', /none\.keys: cannot be read/], ['folder', /folder: /],
    ['binary.ini', /binary\.ini: /]]) {
    await expectRefusal(line('keys new', '--add', join(directory, file)), BAD_DATA, rule);
  }
  assert.deepEqual((await readdir(directory)).sort(), ['binary.ini', 'folder', 'loop.ini', 'unknown.ini'], 'nothing is left behind');
});

// --- files with settings ---

const files = {
  'none.ini': /none\.ini/,
  'none/none.ini': /none\.ini/,
  folder: /folder/,
  'binary.ini': /binary\.ini cannot be read: it has a zero byte/,
  'unknown.ini': /unknown\.ini:2: .*listen_prot/,
  'loop.ini': /loop\.ini/,
};
for (const [file, rule] of Object.entries(files)) {
  scenario(`settings that cannot be read: ${file}`, null, async () => {
    const path = join(directory, file);
    await expectRefusal(['check-config', path], BAD_CONFIG, rule);
    for (const command of withSettings) {
      await expectRefusal(line(command, '--config', path), BAD_CONFIG, rule);
    }
  });
}

scenario('an empty file name', null, () => expectRefusal(['check-config', ''], BAD_CONFIG, /./));

scenario('settings in the environment are checked as well', null, async () => {
  const env = { MILLRACE_BROKER_ADMIN_PORT: 'x' };
  for (const command of [...withSettings, 'check-config']) {
    await expectRefusal(line(command), BAD_CONFIG, /MILLRACE_BROKER_ADMIN_PORT/, env);
  }
});

// --- JSON ---

for (const [json, rule] of [
  ['', /not JSON/], ['null', /JSON object/],
  ['5', /JSON object/], ['{"a":1}}', /not JSON/], ["{'a':1}", /not JSON/],
  ['{"a":1,}', /not JSON/], ['{"a":NaN}', /not JSON/], ['{"a":1e999}', /not JSON/], ['{"a":"\\ud800"}', /not JSON/],
  [`{"a":${'['.repeat(600)}${']'.repeat(600)}}`, /not JSON.*deep|not JSON.*nest/s],
]) {
  scenario(`wrong JSON: ${json.slice(0, 40)}`, null,
    () => expectRefusal(['publish', 'chat', json, '--endpoint', nowhere], BAD_DATA, rule));
}

scenario('wrong JSON on standard input names the line', null, async () => {
  const got = await run(programs.cli, ['publish', 'chat', '-', '--endpoint', nowhere], { input: '\n\n{"n":1\n' });
  assert.equal(got.code, BAD_DATA);
  assert.match(got.stderr, /not JSON[^]*line 3 of the input/);
  assert.equal(got.stdout, '');
});
