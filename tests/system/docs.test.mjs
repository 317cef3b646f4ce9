// The documentation is true: every command of the README and of the guides is run as it stands
// there, every dialogue of docs/protocol.md is played.
//
// A command block has a comment in front that says what must come of it:
//   <!-- test: prints "TEXT" -->                    it ends with status 0 and has printed TEXT
//   <!-- test: ends with N, prints "TEXT" -->       it ends with status N
//   <!-- test: stays, prints "TEXT" -->             it goes on running; TEXT comes before the next block
//   <!-- test: stays, prints "TEXT", then "MORE" --> MORE comes before the end of the page
//   <!-- test: is the one that runs this page -->   only ./dev test
// Default ports are replaced by free ones, the folder build/ by the build that is under test.
import assert from 'node:assert/strict';
import { access, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { encode } from '@msgpack/msgpack';
import { Backend } from './backend.mjs';
import { Client } from './client.mjs';
import { atEnd, buildDir, Child, freePort, patience, programs, root, run, scenario, sharedCluster, temporaryDirectory, until, within } from './harness.mjs';

const here = join(root, 'tests/system');
const node = ['node', '--input-type=module', '-e'];
const languages = { sh: ['bash', '-ec'], python: ['/usr/bin/python3', '-uc'], js: node, html: node };

// [{test, language, text}] of the blocks in one of our languages.
function commandBlocks(page) {
  const blocks = page.matchAll(/(?:<!-- test: (.*) -->\n)?^```(\w+)\n([^]*?)^```$/gm);
  return [...blocks].map(([, test, language, text]) => ({ test, language, text }))
    .filter(({ language }) => language in languages);
}

// What the packages for backends find in the environment.
function packages(endpoint) {
  return { MILLRACE_BACKENDS: endpoint, PYTHONPATH: join(root, 'sdk/python'), PYTHONDONTWRITEBYTECODE: '1' };
}

async function freeSettings() {
  const defaults = [7400, 7401, 7402, 7403, 7404, 7480, 8000, 8001];
  const ports = new Map();
  for (const port of defaults) ports.set(`${port}`, await freePort());
  const tcp = (port) => `tcp://127.0.0.1:${ports.get(port)}`;
  const env = {
    MILLRACE_BROKER_CONTROL: tcp('7400'),
    MILLRACE_BROKER_PUBLICATIONS: tcp('7401'),
    MILLRACE_BROKER_BACKENDS: tcp('7402'),
    MILLRACE_BROKER_ADMIN_PORT: `${ports.get('7480')}`,
    MILLRACE_GATEWAY_CONTROL: tcp('7400'),
    MILLRACE_GATEWAY_PUBLICATIONS: tcp('7401'),
    MILLRACE_GATEWAY_LISTEN_PORT: `${ports.get('8000')}`,
    MILLRACE_GATEWAY_ADMIN_PORT: `${ports.get('8001')}`,
    ...packages(tcp('7402')),
    BUILD_DIR: buildDir,
  };
  const adapt = (text) => ownBuild(text)
    .replace(/127\.0\.0\.1:(\d{4})/g, (whole, port) => `127.0.0.1:${ports.get(port) ?? port}`);
  return { env, adapt };
}

// A page that says build/ means the build that is under test.
function ownBuild(text) {
  return text.replaceAll(/(^|[ |])build\//gm, `$1${buildDir}/`);
}

// Resolves when the process has printed this, to whichever stream.
function prints(child, text, ms) {
  const on = (stream) => child.line(stream, (line) => line.includes(text), ms);
  return Promise.any([on('stdout'), on('stderr')]).catch(() => {
    throw new Error(`"${text}" was not printed:\n${child.tail()}`);
  });
}

// The script of a page, in Node: with the few things of a browser that it uses.
async function pageScript(html) {
  const built = await run('node', [join(root, 'sdk/js/client/build.mjs')]);
  assert.equal(built.code, 0, built.stderr);
  const [, script] = html.match(/^<script type="module">\n([^]*)<\/script>$/m);
  return `import WebSocket from 'ws';
    Object.assign(globalThis, { WebSocket, location: new URL('http://127.0.0.1:8000/'), document: { body: { append: console.log } } });
    ${script.replace("'./millrace-client.js'", `'${root}/sdk/js/client/dist/millrace-client.js'`)}`;
}

async function runBlock(block, { env, adapt, folder = root }, last) {
  const [, stays, status = '0', expected, later] = block.test.match(/^(?:(stays, )|ends with (\d+), )?prints "(.*?)"(?:, then "(.*)")?$/) ?? [];
  assert.ok(expected, `not understood: ${block.test}`);
  const [program, ...options] = languages[block.language];
  const cwd = program === 'node' && folder === root ? here : folder;
  const text = block.language === 'html' ? await pageScript(block.text) : block.text;
  const child = new Child(block.text.split('\n')[0], program, [...options, adapt(text)], { env, cwd, input: '' });
  if (stays) {
    atEnd(() => child.stop('SIGTERM'));
    await prints(child, expected, patience);
    if (later) last.push(() => prints(child, later, patience));
    return;
  }
  const end = await within(patience, block.text, child.exited);
  assert.equal(end.code, Number(status), `${block.text}${child.tail()}`);
  await prints(child, expected, 1);
}

async function runPage(file, settings) {
  const blocks = commandBlocks(await readFile(join(root, file), 'utf8'));
  assert.ok(blocks.length > 0);
  const last = [];
  for (const block of blocks) {
    assert.ok(block.test, `this block has no word on how to test it:\n${block.text}`);
    if (block.test === 'is the one that runs this page') assert.equal(block.text, './dev test\n');
    else await runBlock(block, settings, last);
  }
  for (const check of last) await check();
}

// These start a node of their own; those that make files are played in a folder of their own.
const makeFiles = ['docs/tokens.md', 'docs/permissions.md'];
// These find one.
const withRunningNode = ['docs/client-guide.md', 'sdk/js/client/README.md', 'sdk/js/backend/README.md', 'sdk/python/README.md'];
const withOwnNode = ['README.md', 'docs/quick-start.md', 'docs/operations.md', 'docs/backend-guide.md', ...makeFiles];
for (const file of withOwnNode) {
  scenario(`every command of ${file}`, null, { timeout: 240000 }, async () => {
    const settings = await freeSettings();
    settings.env.RUN_DIR = await temporaryDirectory(); // with a store that is empty
    atEnd(() => rm(settings.env.RUN_DIR, { recursive: true, force: true }));
    if (makeFiles.includes(file)) {
      settings.folder = await temporaryDirectory();
      atEnd(() => rm(settings.folder, { recursive: true, force: true }));
      await symlink(join(root, 'node_modules'), join(settings.folder, 'node_modules'));
    }
    await runPage(file, settings);
  });
}

// Every page of the repository, by its path.
async function allPages(folder = '') {
  const entries = await readdir(join(root, folder), { withFileTypes: true });
  const pages = await Promise.all(entries.map((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return /^(node_modules|build.*|\..*)$/.test(entry.name) ? [] : allPages(path);
    return path.endsWith('.md') ? [path] : [];
  }));
  return pages.flat();
}

// As GitHub names the headings of a page.
const anchors = (page) => new Set([...page.replaceAll(/^```[^]*?^```$/gm, '').matchAll(/^#+ (.*)$/gm)]
  .map(([, heading]) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')));

scenario('links between pages lead somewhere', null, async () => {
  for (const file of await allPages()) {
    const page = await readFile(join(root, file), 'utf8');
    for (const [link, target, anchor] of page.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)) {
      const other = target ? join(dirname(file), target) : file;
      await access(join(root, other));
      if (anchor) assert.ok(anchors(await readFile(join(root, other), 'utf8')).has(anchor), `${file}: ${link}`);
    }
  }
});

scenario('no page has commands that nobody runs', null, async () => {
  const byRoot = ['deploy/README.md']; // its units and settings are what deploy.test.mjs is about
  for (const file of await allPages()) {
    const hasCommands = commandBlocks(await readFile(join(root, file), 'utf8')).length > 0;
    const isRun = [...withOwnNode, ...withRunningNode, ...byRoot].includes(file);
    assert.equal(hasCommands, isRun, file);
  }
});

scenario('every example of settings is right', null, async () => {
  let count = 0;
  for (const file of await allPages()) {
    for (const [, text] of (await readFile(join(root, file), 'utf8')).matchAll(/^```ini\n([^]*?)^```$/gm)) {
      const directory = await temporaryDirectory();
      atEnd(() => rm(directory, { recursive: true, force: true }));
      await writeFile(join(directory, 'example.ini'), text);
      const { code, stderr } = await run(programs.cli, ['check-config', join(directory, 'example.ini')]);
      assert.equal(code, 0, `${file}: ${stderr}`);
      count++;
    }
  }
  assert.ok(count >= 3);
});

// --- tables ---

// The cells of a Markdown table's rows.
function rows(table) {
  return table.trim().split('\n').filter((line) => !/^\|( --- \|)+$/.test(line))
    .map((line) => line.slice(1, -1).split('|').map((cell) => cell.trim()));
}

const tables = {
  handshake: 'protocol', fallback: 'protocol', algorithms: 'protocol',
  errors: 'protocol', unsubscribes: 'protocol', closes: 'protocol', methods: 'protocol', statuses: 'protocol', figures: 'operations',
};
for (const [name, where] of Object.entries(tables)) {
  scenario(`docs/${where}.md: the ${name} are what the programs say, with columns for people behind`, null, async () => {
    const page = await readFile(join(root, `docs/${where}.md`), 'utf8');
    const documented = page.match(new RegExp(`^<!-- table: ${name} -->\n((\\|.*\\|\n)+)`, 'm'));
    assert.ok(documented, `<!-- table: ${name} -->`);
    const { code, stdout } = await run(programs.cli, ['reference', name]);
    assert.equal(code, 0);
    const width = rows(stdout)[0].length;
    assert.deepEqual(rows(documented[1]).map((cells) => cells.slice(0, width)), rows(stdout));
  });
}

scenario('millrace reference prints all tables', null, async () => {
  const { stdout } = await run(programs.cli, ['reference']);
  for (const name of Object.keys(tables)) {
    const one = (await run(programs.cli, ['reference', name])).stdout;
    assert.ok(stdout.includes(`${name}\n\n${one}`), name);
  }
});

// --- pages that find a node running ---

const { cluster, scenario: dialogue } = sharedCluster({
  broker: { presence_return_ms: 0 }, 'channel "lobby"': { presence: 'full' },
});

function sharedSettings() {
  const env = { MILLRACE_BROKER_BACKENDS: cluster.endpoint, ...packages(cluster.endpoint), BUILD_DIR: buildDir };
  const port = (endpoint) => endpoint.match(/\d+$/)[0];
  return {
    env,
    adapt: (text) => ownBuild(text)
      .replaceAll('127.0.0.1:8000', `127.0.0.1:${cluster.clientPort}`)
      .replaceAll('127.0.0.1:7402', `127.0.0.1:${port(cluster.endpoint)}`),
  };
}

for (const file of withRunningNode) {
  dialogue(`every command of ${file}`, { timeout: 240000 }, () => runPage(file, sharedSettings()));
}

// --- dialogues ---

// "…" stands for any text or number.
function same(expected, got) {
  if (expected === '…') return ['string', 'number'].includes(typeof got);
  if (expected === null || typeof expected !== 'object') return expected === got;
  let keys = Object.keys(expected);
  if (keys.length === 1 && keys[0] === '…') { // an object with one member of any name
    keys = Object.keys(got ?? {});
    return keys.length === 1 && same(expected['…'], got[keys[0]]);
  }
  return got !== null && typeof got === 'object' && Array.isArray(expected) === Array.isArray(got) &&
    keys.length === Object.keys(got).length && keys.every((key) => same(expected[key], got[key]));
}

function expectSame(line, got) {
  assert.ok(same(JSON.parse(line), got), `documented: ${line}\nreceived:   ${JSON.stringify(got)}`);
}

async function playClient(lines) {
  const client = await Client.open(cluster, { connect: false });
  const backend = Backend.open(cluster);
  let read = 0;
  const next = async () => {
    while (client.lines.length <= read) await within(patience, 'a line', new Promise((done) => client.socket.once('text', done)));
    return client.lines[read++];
  };
  for (const [mark, line] of lines) {
    if (mark === '>') client.send(line);
    else if (mark === '<') expectSame(line, await next());
    else if (mark === 'x') assert.equal(Object.values(await client.closing()).join(' '), line);
    else assert.equal((await backend.request(JSON.parse(line).op, JSON.parse(line))).ok, true);
  }
  assert.equal(client.lines.length, read, 'nothing else came');
}

// A check comes unasked, under an id that the broker chose, and its answer has no reply.
async function playBackend(lines) {
  const backend = Backend.open(cluster);
  let reply, check;
  const isCheck = ({ op, checks }) => op === 'check' && checks.length > 0; // an empty one is a heartbeat
  for (const [mark, line] of lines) {
    const { op, id, ...body } = JSON.parse(line);
    if (mark === '<' && op === 'check') {
      await until(patience, 'a check', () => (check = backend.strays.find(isCheck)));
      expectSame(line, { ...check, id });
    } else if (mark === '<') expectSame(line, await reply);
    else if (op === 'answer') await backend.raw(encode({ op, id: check.id, ...body }));
    else reply = backend.ask(op, id, body);
  }
}

const protocol = await readFile(join(root, 'docs/protocol.md'), 'utf8');
const dialogues = [...protocol.matchAll(/^```(client|backend)\n([^]*?)^```$/gm)];
for (const [number, [, who, text]] of dialogues.entries()) {
  dialogue(`dialogue ${number + 1} of docs/protocol.md: ${text.split('\n')[0]}`, async () => {
    const lines = text.trimEnd().split('\n').map((line) => [line[0], line.slice(2)]);
    await (who === 'client' ? playClient(lines) : playBackend(lines));
  });
}

dialogue('docs/protocol.md has dialogues for both sides', () => {
  const sides = dialogues.map(([, who]) => who);
  assert.ok(sides.includes('client') && sides.includes('backend'));
});
