// Three programs that are written for the API of @millrace/client alone, against the real processes.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Backend } from './backend.mjs';
import { blockingProxy } from './fallback.mjs';
import { atEnd, Child, patience, root, scenario, scenarioWith, until } from './harness.mjs';

const wait = patience;

const programsOfTheApi = ['chat_room', 'dashboard', 'members'];

scenario('the programs name this project only in their import and connection set-up', null, async () => {
  for (const program of programsOfTheApi) {
    const text = await readFile(join(root, `tests/system/client_programs/${program}.mjs`), 'utf8');
    const [, setUp, rest] = text.split(/^\/\/ --- import and connection set-up ---$|^\/\/ --- the page/m);
    assert.match(setUp, /from '@millrace\/client'/);
    assert.match(rest, /subscribe\(/);
    assert.doesNotMatch(rest, /millrace|configure|createClient|onConnection/);
  }
});

// Where programs find the node: by WebSocket, and behind a proxy that lets none through.
const ways = {
  'by WebSocket': async (own) => own.url,
  'where WebSocket is blocked': async (own) => `ws://127.0.0.1:${(await blockingProxy(() => own.clientPort)).port}`,
};

function start(program, url) {
  const child = new Child(program, process.execPath, [`client_programs/${program}.mjs`], {
    cwd: join(root, 'tests/system'),
    env: { GATEWAY_URL: url },
  });
  atEnd(() => child.stop('SIGKILL'));
  const lines = (count, text) => until(wait, `${count} times '${text}' of ${program}\n${child.tail()}`,
    () => child.stdout.filter((at) => at === text).length >= count);
  const type = (line) => child.process.stdin.write(`${line}\n`);
  // It ends by itself, as nothing is left to wait for, and has printed no error.
  const ended = async () => {
    child.process.stdin.end();
    const { code } = await child.exited;
    assert.equal(code, 0, child.tail());
    assert.deepEqual(child.stderr, []);
    return child.stdout;
  };
  return { child, lines, type, ended };
}

for (const [way, urlOf] of Object.entries(ways)) {
  scenarioWith(`a program ${way}: chat rooms`, {}, async (own) => {
    const backend = Backend.open(own);
    const { child, lines, type, ended } = start('chat_room', await urlOf(own));
    type('enter red');
    type('enter blue');
    await lines(1, 'history of red loaded');
    await lines(1, 'history of blue loaded');
    await backend.publish('chat:red', { text: 'hello' }, { publisher: 'ann' });
    await backend.publish('chat', { text: 'not for a room' });
    await backend.publish('chat:blue', { text: 'hi' });
    await lines(1, '[red] ann: hello');
    await lines(1, '[blue] somebody: hi');

    own.gateway.expectedToDie = true;
    own.gateway.signal('SIGKILL');
    await lines(1, 'red is away: DISCONNECTED');
    await backend.publish('chat:red', { text: 'are you there?' }, { publisher: 'ann' });
    await own.startGateway();
    await lines(1, 'red has caught up');
    await lines(1, 'blue has caught up');
    type('leave blue');
    await lines(1, 'left blue, 1 open');
    await backend.publish('chat:blue', { text: 'not heard' });
    await backend.publish('chat:red', { text: 'bye' }, { publisher: 'ann' });
    await lines(1, '[red] ann: bye');
    type('leave red');
    await lines(1, 'left red, 0 open');
    const steady = (await ended()).filter((line) => !/(CONNECTION_ERROR|SUBSCRIPTION_FAILED)$/.test(line));
    assert.deepEqual(steady.filter((line) => line.includes('red')), [
      'history of red loaded', '[red] ann: hello', 'red is away: DISCONNECTED', '[red] ann: are you there?',
      'red has caught up', '[red] ann: bye', 'left red, 0 open',
    ]);
    assert.ok(!child.stdout.some((line) => /not (for|heard)|wrong/.test(line)), child.tail());
  });

  scenarioWith(`a program ${way}: a dashboard`, {}, async (own) => {
    const backend = Backend.open(own);
    const { lines, type, ended } = start('dashboard', await urlOf(own));
    for (const widget of ['ticker', 'total', 'north']) await lines(1, `${widget} is live`);
    await lines(1, 'foreign: refused with 404');
    await lines(1, `broken: {"name":"sales today"} cannot be: channel: only letters, digits, '_' and '-' are allowed, with an optional leading '@'`);
    await backend.publish('sales', { amount: 10 });
    await backend.publish('sales:north', { amount: 1 });
    await lines(1, 'ticker 10');
    await lines(1, 'total 10');
    await lines(1, 'north 1');
    type('both ticker'); // it does not listen to that channel
    type('id ticker');
    type('nothing');
    await lines(1, 'nothing: BAD_INPUT');
    await backend.publish('sales', { amount: 5 });
    await lines(1, 'total 15');
    type('channel');
    await lines(1, 'closed by channel');
    await backend.publish('sales', { amount: 2 });
    await backend.publish('sales:north', { amount: 3 });
    await lines(1, 'north 3');
    type('both north');
    const printed = await ended();
    assert.deepEqual(printed.filter((line) => /^(ticker|total|north) \d/.test(line)), [
      'ticker 10', 'total 10', 'north 1', 'total 15', 'north 3',
    ]);
    assert.ok(!printed.includes('never'));
  });

  scenarioWith(`a program ${way}: members and an app`, {}, async (own) => {
    const backend = Backend.open(own);
    const { lines, ended } = start('members', await urlOf(own));
    await lines(1, '3 subscriptions');
    await lines(1, 'reviews: SUBSCRIPTION_FAILED 404 of app 13d21c63-b5ec-5912-8397-c3a5ddb27a97');
    await lines(1, 'own true false');
    await lines(1, 'everybody true false');
    await backend.publish('@members', { text: 'welcome' });
    await lines(1, 'to all: welcome');
    await backend.publish('@members:member 7 / ünï', { text: 'your order is here' });
    await backend.publish('@members:member 8', { text: 'not yours' });
    await lines(1, 'to me: your order is here');
    await backend.publish('@members', { text: 'closing time', logout: true });
    const printed = await ended();
    assert.deepEqual(printed.slice(-4), ['to all: welcome', 'to me: your order is here', 'to all: closing time', 'logged out']);
  });
}
