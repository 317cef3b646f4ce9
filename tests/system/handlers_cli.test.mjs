// `millrace handlers` and `millrace explain` at a real broker, with workers that answer its checks: who is
// registered, who decides and how fresh that is, and how an operator gets rid of a handler that nobody answers for.
import assert from 'node:assert/strict';
import { decode, encode } from '@msgpack/msgpack';
import * as zmq from 'zeromq';
import { atEnd, Child, freePort, patience, programs, root, run, scenarioWith, sharedCluster, until, within } from './harness.mjs';

const REFUSED = 1, UNAVAILABLE = 69;

// A backend that registers handlers. `decide` makes an answer of each check; undefined leaves the whole message
// unanswered.
class Worker {
  static open(endpoint, decide = () => ({ read: true })) {
    const worker = new Worker(endpoint, decide);
    atEnd(() => worker.close());
    return worker;
  }

  constructor(endpoint, decide) {
    this.socket = new zmq.Dealer({ linger: 0 });
    this.socket.connect(endpoint);
    this.decide = decide;
    this.checks = []; // all that were asked
    this.replies = new Map();
    this.lastId = 0;
    this.sending = Promise.resolve();
    this.receiving = this.#receive();
  }

  async #receive() {
    for await (const [bytes] of this.socket) {
      const message = decode(bytes);
      if (message.op === 'check') this.#answer(message);
      else this.replies.get(message.id)(message);
    }
  }

  #answer({ id, checks }) {
    this.checks.push(...checks);
    const answers = checks.map((check) => this.decide(check));
    if (!answers.includes(undefined)) this.#send({ op: 'answer', id, answers });
  }

  #send(message) {
    this.sending = this.sending.then(() => this.socket.send(encode(message))).catch(() => {}); // closed meanwhile
  }

  async request(op, body) {
    const id = ++this.lastId;
    const reply = new Promise((done) => this.replies.set(id, done));
    this.#send({ ...body, op, id });
    return within(patience, `the reply to ${op}`, reply);
  }

  // places: "" is the default handler, else "channel" or "channel:resource".
  async handle(places, more = {}) {
    const handlers = places.map((place) => {
      const [channel, ...resource] = place.split(':');
      if (!channel) return {};
      return resource.length > 0 ? { channel, resource: resource.join(':') } : { channel };
    });
    const reply = await this.request('handle', { ...more, handlers });
    assert.equal(reply.ok, true, JSON.stringify(reply));
  }

  close() {
    this.socket.close();
    return this.receiving;
  }
}

// A program of its own that registers a handler for the channel, says so and goes on.
function script(endpoint, channel) {
  const text = `
    import { encode } from '@msgpack/msgpack';
    import * as zmq from 'zeromq';
    const socket = new zmq.Dealer();
    socket.connect('${endpoint}');
    await socket.send(encode({ op: 'handle', id: 1, handlers: [{ channel: '${channel}' }] }));
    for await (const _ of socket) console.log('registered');`;
  const child = new Child('script', 'node', ['--input-type=module', '-e', text], { cwd: root });
  atEnd(() => child.stop('SIGKILL'));
  return child;
}

const at = (endpoint) => (...args) => run(programs.cli, [...args, '--endpoint', endpoint]);

// The JSON that a command prints, and its exit status as `code`.
async function json(millrace, ...args) {
  const { code, stdout, stderr } = await millrace(...args, '--json');
  assert.equal(stderr, '');
  assert.match(stdout, /^[^\n]+\n$/, 'one line');
  return { code, ...JSON.parse(stdout) };
}

// The lines of an explanation by their titles, the first one as `verdict`.
function lines(stdout) {
  const [verdict, ...rest] = stdout.trimEnd().split('\n');
  return { verdict, ...Object.fromEntries(rest.map((line) => line.match(/^ {2}(\w+) +(.*)$/).slice(1))) };
}

const endpoints = {};
for (const name of ['shop', 'reader']) endpoints[name] = `tcp://127.0.0.1:${await freePort()}`;
const settings = {
  broker: { check_ms: 400 },
  'rule "staff-only"': { channel: 'staff', allow: 'admin' },
  'rule "guests"': { channel: 'club', resource: 'vip', deny: 'visitor' },
  'backends "shop"': { bind: endpoints.shop, site: 'shop', apps: 'crm', may: 'handle' },
  'backends "reader"': { bind: endpoints.reader, may: 'history' },
  'site "shop"': { require_handlers: 'yes' },
};

// --- explain ---

const { cluster, scenario } = sharedCluster(settings);
const millrace = (...args) => at(cluster.endpoint)(...args);
const explain = (channel, ...more) => millrace('explain', channel, '--subscriber', 'ann', '--type', 'MEMBER', ...more);

scenario('where nothing is registered everybody may read', async () => {
  const { code, stdout, stderr } = await explain('empty:room 1');
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(lines(stdout), {
    verdict: 'ann (MEMBER) may read empty:room 1', level: 'none', by: 'nobody: no handler is registered and no rule fits',
    answer: 'static, after 0 ms', holds: 'as long as the subscription lives',
  });
  const visitor = await millrace('explain', 'empty', '--type', 'VISITOR');
  assert.equal(lines(visitor.stdout).verdict, 'a VISITOR without an id may read empty');
});

scenario('a handler is asked once while its answer holds', async () => {
  const worker = Worker.open(cluster.endpoint, () => ({ read: true, ttl: 600 }));
  await worker.handle(['kept']);
  const live = await explain('kept:room 1');
  assert.equal(live.code, 0);
  const { answer, ...rest } = lines(live.stdout);
  assert.match(answer, /^live, after \d+ ms$/);
  assert.deepEqual(rest, {
    verdict: 'ann (MEMBER) may read kept:room 1', level: 'channel', by: 'the handler of kept', holds: 'for 600 s' });

  const again = lines((await explain('kept:room 1')).stdout);
  assert.match(again.answer, /^cached, after \d+ ms$/);
  assert.match(again.holds, /^for another 5\d\d(\.\d+)? s$/);
  const { ttl, took_ms: took, ...fields } = await json(explain, 'kept:room 1');
  assert.deepEqual(fields, { code: 0, read: true, status: 0, level: 'channel', by: 'handler', source: 'cached' });
  assert.ok(ttl > 500 && ttl <= 600 && Number.isInteger(took));
  assert.equal(worker.checks.length, 1);

  const admin = await json(explain, 'kept:room 1', '--type', 'ADMIN');
  assert.equal(admin.source, 'live');
  const [{ channel, resource, subscriber, site }] = worker.checks;
  assert.deepEqual([channel, resource, subscriber, site], ['kept', 'room 1', { id: 'ann', type: 'MEMBER' }, 'default']);
  assert.equal(worker.checks.length, 2);
});

scenario('an answer without ttl, and one for a single message, are not remembered', async () => {
  const answers = [{ read: true }, { read: true, ttl: 0 }, { read: false }];
  const worker = Worker.open(cluster.endpoint, () => answers[worker.checks.length - 1]);
  await worker.handle(['fresh']);
  const holds = [];
  for (const _ of answers) holds.push(lines((await explain('fresh')).stdout).holds);
  assert.deepEqual(holds, ['as long as the subscription lives', 'for one message: the handler is asked for each', undefined]);
  assert.equal(worker.checks.length, answers.length);
});

scenario('a refusal ends with 1 and says why, as long as it holds', async () => {
  const worker = Worker.open(cluster.endpoint, ({ resource }) => ({
    bad: { error: { status: 400, message: 'no such röom' } }, failed: { error: { status: 500, message: 'secret' } },
  })[resource] ?? { read: false, ttl: 600 });
  await worker.handle(['closed']);
  const refused = await explain('closed');
  assert.deepEqual([refused.code, refused.stderr], [REFUSED, '']);
  assert.equal(lines(refused.stdout).verdict, 'ann (MEMBER) may not read closed: 403 read permission refused');
  assert.equal(lines(refused.stdout).holds, 'for 600 s');
  assert.match(lines((await explain('closed')).stdout).answer, /^cached/);

  const bad = await explain('closed:bad');
  assert.equal(bad.code, REFUSED);
  assert.equal(lines(bad.stdout).verdict, 'ann (MEMBER) may not read closed:bad: 400 no such röom');
  const failed = await json(explain, 'closed:failed');
  assert.deepEqual([failed.code, failed.status, failed.read], [REFUSED, 503, false]);
  assert.doesNotMatch(failed.message, /secret/);
});

scenario('each level answers for itself', async () => {
  const worker = Worker.open(cluster.endpoint);
  await worker.handle(['levels:one', 'levels']);
  assert.equal(lines((await explain('levels:one')).stdout).by, 'the handler of levels:one');
  assert.equal(lines((await explain('levels:two')).stdout).by, 'the handler of levels');
  assert.equal((await json(explain, 'levels:one')).level, 'resource');
});

scenario('a handler that does not answer is 503, not the silence of the broker', async () => {
  const worker = Worker.open(cluster.endpoint, () => undefined);
  await worker.handle(['slow']);
  const { code, stdout } = await explain('slow');
  assert.equal(code, REFUSED);
  assert.match(lines(stdout).verdict, /may not read slow: 503 .*did not answer in time/);
  assert.ok(Number(lines(stdout).answer.match(/after (\d+) ms/)[1]) >= 400);
  assert.equal(lines(stdout).holds, undefined);
});

scenario('rules without code are named, and a handler of the same level comes first', async () => {
  const member = await explain('staff:desk');
  assert.equal(member.code, REFUSED);
  assert.deepEqual(lines(member.stdout), {
    verdict: 'ann (MEMBER) may not read staff:desk: 403 read permission refused', level: 'channel',
    by: 'the rule "staff-only" of staff', answer: 'static, after 0 ms' });
  assert.equal((await explain('staff', '--type', 'ADMIN')).code, 0);
  const vip = await json(millrace, 'explain', 'club:vip', '--type', 'VISITOR');
  assert.deepEqual([vip.code, vip.level, vip.by, vip.rule], [REFUSED, 'resource', 'rule', 'guests']);
  assert.equal((await explain('club:vip')).code, 0);

  const worker = Worker.open(cluster.endpoint);
  await worker.handle(['staff', 'club']);
  assert.equal((await json(explain, 'staff')).by, 'handler');
  assert.equal((await json(explain, 'club:vip')).by, 'rule');
  assert.equal((await millrace('handlers', 'remove', 'staff')).code, 0);
  assert.equal((await json(explain, 'staff')).by, 'rule');
});

scenario('in preview nobody is asked', async () => {
  const worker = Worker.open(cluster.endpoint, () => ({ read: false }));
  await worker.handle(['draft']);
  const { code, stdout } = await explain('draft', '--preview');
  assert.equal(code, 0);
  assert.equal(lines(stdout).verdict, 'ann (MEMBER) may read draft in preview');
  assert.match(lines(stdout).by, /preview/);
  assert.equal((await explain('draft')).code, REFUSED);
  assert.equal(worker.checks.length, 1);
});

scenario('what the endpoint may not do is refused', async () => {
  const reader = at(endpoints.reader);
  for (const args of [['handlers', 'list'], ['handlers', 'remove', 'chat'], ['explain', 'chat', '--type', 'VISITOR']]) {
    const right = await reader(...args);
    assert.deepEqual([right.code, right.stdout], [REFUSED, '']);
    assert.match(right.stderr, /the broker refused it with status 403: op: this endpoint may not handle permissions/);
    const site = await millrace(...args, '--site', 'shop');
    assert.deepEqual([site.code, site.stdout], [REFUSED, '']);
    assert.match(site.stderr, /status 403: site: this endpoint acts for "default" only/);
    assert.equal((await millrace(...args, '--site', 'default')).stderr.includes('403'), false);
  }
});

// --- apps, and a site that requires handlers ---

scenario('the handlers of an app are apart from those of the site', async () => {
  const shop = at(endpoints.shop);
  const required = await shop('explain', 'chat', '--type', 'VISITOR');
  assert.equal(required.code, REFUSED);
  assert.match(lines(required.stdout).by, /require_handlers/);

  const worker = Worker.open(endpoints.shop);
  await worker.handle(['', 'chat'], { app: 'crm' });
  await worker.handle(['']);
  const table = (await shop('handlers', 'list', '--site', 'shop')).stdout.split('\n').map((line) => line.split(/ +/).slice(0, 4));
  assert.deepEqual(table.slice(1, -1), [
    ['shop', '-', 'default', 'default'], ['shop', 'crm', 'default', 'default'], ['shop', 'crm', 'channel', 'chat']]);
  assert.equal((await json(shop, 'handlers', 'list', '--app', 'crm')).total, 2);
  assert.equal((await json(shop, 'handlers', 'list', '--app', '')).total, 1);

  const app = await shop('explain', 'crm/news', '--type', 'VISITOR');
  assert.equal(lines(app.stdout).verdict, 'a VISITOR without an id may read crm/news');
  assert.equal(lines(app.stdout).by, 'the default handler of app crm');
  assert.equal((await shop('handlers', 'remove', '--default', '--app', 'crm')).stdout, 'removed 1: the default of app crm\n');
  assert.equal((await shop('handlers', 'remove', 'crm/chat')).stdout, 'removed 1: crm/chat\n');
  assert.equal((await shop('handlers', 'remove', '--default')).stdout, 'removed 1: the default\n');
  assert.equal((await json(shop, 'handlers', 'list')).total, 0);
  const foreign = await shop('handlers', 'remove', 'other/chat');
  assert.equal(foreign.code, REFUSED);
  assert.match(foreign.stderr, /status 403: .*"other"/);
});

// --- handlers ---

scenarioWith('the list shows levels, workers and what was asked', {}, async (own) => {
  const cli = at(own.endpoint);
  const none = await cli('handlers', 'list');
  assert.deepEqual([none.code, none.stdout], [0, 'No permission handler is registered.\n']);
  assert.deepEqual(await json(cli, 'handlers', 'list'), { code: 0, total: 0, handlers: [] });

  const workers = [Worker.open(own.endpoint), Worker.open(own.endpoint, () => ({ error: { status: 503 } }))];
  await workers[0].handle(['', 'chat', 'chat:room 1']);
  await workers[0].handle(['chat']); // again changes nothing
  await workers[1].handle(['chat', 'broken']);
  for (const channel of ['broken', 'broken', 'chat:room 1']) await cli('explain', channel, '--type', 'VISITOR');
  const { code, stdout } = await cli('handlers', 'list');
  assert.equal(code, 0);
  assert.equal(stdout, `\
SITE     APP  LEVEL     CHANNEL      WORKERS  BREAKER  QUESTIONS  FAILURES
default  -    default   default            1   closed          0         0
default  -    channel   broken             1   closed          2         2
default  -    channel   chat               2   closed          0         0
default  -    resource  chat:room 1        1   closed          1         0
`);
  const { total, handlers } = await json(cli, 'handlers', 'list');
  assert.equal(total, 4);
  assert.deepEqual(handlers.find(({ resource }) => resource), {
    site: 'default', app: '', channel: 'chat', resource: 'room 1', workers: 1, breaker: 'closed', questions: 1, failures: 0 });
  const bySettings = await run(programs.cli, ['handlers', 'list', '--config', own.file]);
  assert.equal(bySettings.stdout, stdout);
});

scenarioWith('of very many the list shows a thousand and says so', {}, async (own) => {
  const cli = at(own.endpoint);
  const worker = Worker.open(own.endpoint);
  const names = Array.from({ length: 1100 }, (_, i) => `${'x'.repeat(100)}-${i}:${'ö'.repeat(30)}`);
  await worker.handle(names.slice(0, 1000));
  assert.doesNotMatch((await cli('handlers', 'list')).stdout, /shown/);
  await worker.handle(names.slice(1000));
  const { code, stdout } = await cli('handlers', 'list');
  assert.equal(code, 0);
  assert.equal(stdout.split('\n').length, 1 + 1000 + 1 + 1);
  assert.match(stdout, /\n1,000 of 1,100 are shown\.\n$/);
  const { total, handlers } = await json(cli, 'handlers', 'list');
  assert.deepEqual([total, handlers.length], [1100, 1000]);
  assert.ok(names.includes(`${handlers[0].channel}:${handlers[0].resource}`));
});

scenarioWith('a script that registered, ended and is forgotten is mended by remove', {}, async (own) => {
  const cli = at(own.endpoint);
  const visitor = ['chat', '--type', 'VISITOR'];
  const child = script(own.endpoint, 'chat');
  await child.line('stdout', (line) => line === 'registered');
  assert.equal((await json(cli, 'handlers', 'list')).handlers[0].workers, 1);
  await child.stop('SIGKILL');
  await until(patience, 'the broker to miss the script', async () => (await json(cli, 'handlers', 'list')).handlers[0].workers === 0);

  const unavailable = await cli('explain', ...visitor);
  assert.equal(unavailable.code, REFUSED);
  assert.match(lines(unavailable.stdout).verdict, /may not read chat: 503 .*not connected/);

  own.broker.expectedToDie = true;
  await own.broker.stop('SIGKILL');
  await own.startBroker();
  assert.equal((await cli('explain', ...visitor)).code, REFUSED, 'it survives the broker');

  const other = await cli('handlers', 'remove', 'chat:room 1');
  assert.deepEqual([other.code, other.stdout], [REFUSED, '']);
  assert.match(other.stderr, /no handler is registered for chat:room 1; millrace handlers list shows all/);
  assert.equal((await cli('handlers', 'remove', '--default')).code, REFUSED);
  const removed = await cli('handlers', 'remove', 'chat');
  assert.deepEqual([removed.code, removed.stdout, removed.stderr], [0, 'removed 1: chat\n', '']);
  assert.equal((await cli('handlers', 'remove', 'chat')).code, REFUSED);
  assert.equal((await cli('explain', ...visitor)).code, 0);

  await own.broker.stop();
  await own.startBroker();
  assert.equal((await json(cli, 'handlers', 'list')).total, 0, 'removed for good');
});

scenarioWith('a worker that still runs is not asked any more after remove', {}, async (own) => {
  const cli = at(own.endpoint);
  const worker = Worker.open(own.endpoint, () => ({ read: false }));
  await worker.handle(['chat']);
  assert.equal((await cli('explain', 'chat', '--type', 'VISITOR')).code, REFUSED);
  assert.equal((await cli('handlers', 'remove', 'chat')).code, 0);
  assert.equal((await cli('explain', 'chat', '--type', 'VISITOR')).code, 0);
  assert.equal(worker.checks.length, 1);
  await worker.handle(['chat']);
  assert.equal((await cli('explain', 'chat', '--type', 'VISITOR')).code, REFUSED);
});

scenarioWith('a broker that is stopped is silent or away', {}, async (own) => {
  const cli = at(own.endpoint);
  own.broker.signal('SIGSTOP');
  atEnd(() => own.broker.signal('SIGCONT'));
  for (const args of [['handlers', 'list'], ['handlers', 'remove', 'chat'], ['explain', 'chat', '--type', 'VISITOR']]) {
    const { code, stdout, stderr } = await cli(...args, '--timeout', '300');
    assert.deepEqual([code, stdout], [UNAVAILABLE, '']);
    assert.match(stderr, /no broker answers|did not answer within 300 ms;\n(it may have been removed|--timeout)/);
  }
});
