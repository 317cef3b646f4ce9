// The demo page in Debian's Chromium, on what `./dev run --gateways 2` starts: rooms and channels are
// isolated, identities change, a gateway that is killed by the page's own button costs nobody a message,
// and a right that the other button takes back is gone at once. Screenshots of it all stay in tests/output/.
import assert from 'node:assert/strict';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';
import { Backend } from './backend.mjs';
import { atEnd, patience, root, run, scenario, temporaryDirectory, until } from './harness.mjs';
import { DevRun } from './dev_run.mjs';

const output = join(root, 'tests/output');
const LONG = patience; // ms for anything that has to happen in a browser
const PAUSE_MS = 8000; // for which members stay out
const MEMBERS = 'chat:members';
let node;
let browser;
let directory;

before(async () => {
  directory = await temporaryDirectory();
  await mkdir(output, { recursive: true });
  node = await DevRun.start(['--gateways', '2'], { RUN_DIR: directory, DEMO_PAUSE_MS: `${PAUSE_MS}` });
  browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
}, { timeout: 240000 });

after(async () => {
  await browser?.close();
  await node?.stop();
  if (directory) await rm(directory, { recursive: true, force: true });
}, { timeout: 240000 });

// The page as one person sees it, in a browser profile of its own.
class Person {
  static async open(options = {}) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 1250 }, ...options });
    atEnd(() => context.close());
    context.setDefaultTimeout(LONG);
    const person = new Person();
    person.page = await context.newPage();
    person.problems = [];
    person.page.on('pageerror', (error) => person.problems.push(`${error}`));
    person.page.on('console', (message) => {
      // A browser complains of each connection attempt that fails; while a gateway is away that is so.
      if (message.type() === 'error' && !message.text().startsWith('WebSocket connection to')) person.problems.push(message.text());
    });
    person.page.on('request', (request) => {
      if (!request.url().startsWith(node.page)) person.problems.push(`it asks for ${request.url()}`);
    });
    await person.page.goto(node.page);
    await person.connected();
    await person.synced('chat', 'first');
    await person.synced('chat:room-1', 'first');
    return person;
  }

  async connected() {
    await this.page.locator('#state[data-state=connected]').waitFor();
  }

  get gateway() {
    return this.page.locator('#gateways li.mine').textContent();
  }

  stream(address) {
    return this.page.locator(`.stream[data-address="${address}"]`);
  }

  // Waits until the stream's line on its subscription is of this kind, and returns its text.
  async synced(address, kind) {
    const line = this.stream(address).locator(`.sync[data-synced=${kind}]`);
    await line.waitFor();
    return line.textContent();
  }

  // Waits for the message with this text; then all rows of the stream.
  async rows(address, text) {
    await this.stream(address).locator('.messages .text').getByText(text, { exact: true }).waitFor();
    return this.stream(address).locator('.messages li:not(.nothing)').evaluateAll((items) => items.map((item) => ({
      offset: Number(item.querySelector('.at').textContent.slice(1)),
      text: item.querySelector('.text').textContent,
      from: item.querySelector('.from :first-child').textContent,
      restored: item.classList.contains('restored') && item.querySelector('.tag')?.textContent === 'restored',
    })));
  }

  async become(who) {
    await this.page.getByRole('radio', { name: who }).check();
    await this.page.locator('#you').getByText(`this page, as ${who}`).waitFor();
    await this.connected();
  }

  // Presses the button, and returns the news that this page shows of it.
  async takeRightBack() {
    await this.page.getByRole('button', { name: 'Take the members\' right back' }).click();
    return this.revoked();
  }

  async revoked() {
    const news = this.page.locator('#revoked.news');
    await news.waitFor();
    return news.textContent();
  }

  async membersBack() {
    await this.page.getByRole('button', { name: 'Take the members\' right back', disabled: false }).waitFor();
  }

  async askAgain() {
    await this.page.getByRole('button', { name: `Ask again for ${MEMBERS}` }).click();
  }

  async join(kind, name) {
    await this.page.getByLabel('Kind').selectOption(kind);
    await this.page.getByLabel('Its name').fill(name);
    await this.page.getByRole('button', { name: 'Join' }).click();
  }

  // Wide as the page was meant to be, and nothing sticks out.
  async screenshot(name) {
    const [wide, window] = await this.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    await this.page.screenshot({ path: join(output, `${name}.png`), fullPage: true });
    assert.ok(wide <= window, `${name}: ${wide} px wide in a window of ${window}`);
  }

  well() {
    assert.deepEqual(this.problems, []);
  }
}

const texts = (rows) => rows.map((row) => row.text);
const publisher = () => Backend.open({ endpoint: node.endpoint });

scenario('rooms and channels side by side, each message on its own address only', null, async () => {
  const [ann, bob] = await Promise.all([Person.open(), Person.open()]);
  const backend = publisher();
  await bob.stream('chat').getByRole('button', { name: 'Leave chat', exact: true }).click();
  await bob.join('room', 'room-2');
  await ann.join('channel', 'news');
  await Promise.all([bob.synced('chat:room-2', 'first'), ann.synced('news', 'first')]);

  const { offset } = await backend.publish('chat', { text: 'to all of chat' }, { publisher: 'ada' });
  await backend.publish('chat:room-1', { text: 'to room one' });
  await backend.publish('chat:room-2', { text: 'to room two' });
  await backend.publish('news', { text: 'to the news' });
  assert.deepEqual((await ann.rows('chat', 'to all of chat')).at(-1), { offset, text: 'to all of chat', from: 'ada', restored: false });
  assert.deepEqual(texts(await ann.rows('chat:room-1', 'to room one')), ['to room one']);
  assert.deepEqual(texts(await ann.rows('news', 'to the news')), ['to the news']);
  assert.deepEqual(texts(await bob.rows('chat:room-1', 'to room one')), ['to room one']);
  assert.deepEqual(texts(await bob.rows('chat:room-2', 'to room two')), ['to room two']);
  assert.equal(await bob.stream('chat').count(), 0);
  assert.equal(await ann.stream('chat:room-2').count(), 0);

  await bob.join('channel', 'no channel');
  await bob.page.locator('#join-problem').getByText('letters, digits').waitFor();
  await ann.screenshot('page-desktop');
  ann.well();
  bob.well();
});

scenario('what others write is text, never part of the page', null, async () => {
  const ann = await Person.open();
  const backend = publisher();
  const evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
  await backend.publish('chat:room-1', { text: evil }, { publisher: '<b>eve</b>' });
  const row = (await ann.rows('chat:room-1', evil)).at(-1);
  assert.equal(row.from, '<b>eve</b>');
  await ann.join('room', '<i>italic</i>"\'');
  await ann.page.getByRole('heading', { name: 'chat : <i>italic</i>"\'' }).waitFor();
  await backend.publish('chat', { no: ['text', { here: null }], end: true });
  await ann.rows('chat', '{"no":["text",{"here":null}],"end":true}');
  assert.equal(await ann.page.title(), 'Millrace');
  assert.equal(await ann.page.locator('.messages img, .messages script, .messages b, h3 i').count(), 0);
  ann.well();
});

scenario('who am I: the three demo tokens', null, async () => {
  const ann = await Person.open();
  const backend = publisher();
  const you = ann.page.locator('#you');
  assert.equal(await you.textContent(), 'this page, as visitor guest-1');
  for (const [who, name] of [['admin', 'admin ada'], ['member', 'member mia'], ['visitor', 'visitor guest-1']]) {
    await ann.page.getByRole('radio', { name: who }).check();
    await you.getByText(`this page, as ${name}`).waitFor();
    await ann.connected();
    await Promise.all(['chat', 'chat:room-1'].map((address) => ann.synced(address, 'first')));
    await backend.publish('chat', { text: `hello ${who}` });
    await ann.rows('chat', `hello ${who}`);
  }
  ann.well();
});

scenario('the site\'s own code decides who gets into the members\' room', null, async () => {
  const ann = await Person.open();
  const backend = publisher();
  const refused = /^SUBSCRIPTION_FAILED 403: .*: read permission refused/;
  assert.match(await ann.synced(MEMBERS, 'error'), refused);
  await ann.askAgain();
  assert.match(await ann.synced(MEMBERS, 'error'), refused);
  for (const who of ['member', 'admin']) {
    await ann.become(who);
    await ann.synced(MEMBERS, 'first');
    await backend.publish(MEMBERS, { text: `hello ${who}` });
    await ann.rows(MEMBERS, `hello ${who}`);
  }
  await ann.become('visitor');
  assert.match(await ann.synced(MEMBERS, 'error'), refused);
  await backend.publish(MEMBERS, { text: 'not for visitors' });
  await backend.publish('chat', { text: 'for all' });
  await ann.rows('chat', 'for all');
  assert.equal(await ann.page.getByText('not for visitors').count(), 0);

  const source = (await readFile(join(root, 'demo/permissions.mjs'), 'utf8')).replaceAll(/\s+/g, ' ');
  for (const lines of (await ann.page.locator('#handler').textContent()).split('\n\n')) {
    assert.ok(source.includes(lines.replaceAll(/\s+/g, ' ')), `the page shows other code than it runs: ${lines}`);
  }
  ann.well();
});

scenario('a right that is taken back is gone at once on all pages, and comes back', null, { timeout: 240000 }, async () => {
  const [ann, bob, eve] = await Promise.all([Person.open(), Person.open({ colorScheme: 'dark', viewport: { width: 360, height: 740 } }), Person.open()]);
  const backend = publisher();
  for (const person of [ann, bob]) {
    await person.become('member');
    await person.synced(MEMBERS, 'first');
  }
  await backend.publish(MEMBERS, { text: 'among us' });
  for (const person of [ann, bob]) await person.rows(MEMBERS, 'among us');

  const news = await ann.takeRightBack();
  assert.match(news, /: 2 subscriptions ended in [0-9.]+ ms, confirmed by all gateways\./);
  for (const person of [ann, bob]) assert.match(await person.synced(MEMBERS, 'error'), /^SUBSCRIPTION_FAILED 403: .*: read permission revoked/);
  for (const person of [bob, eve]) assert.equal((await person.revoked()).match(/[0-9.]+ ms/)[0], news.match(/[0-9.]+ ms/)[0]);
  for (const person of [ann, bob]) await person.page.locator('#revoked').filter({ hasText: /This page: .*: read permission revoked/ }).waitFor();
  await ann.screenshot('page-revoked');
  await bob.screenshot('page-revoked-phone-dark');

  await ann.askAgain();
  await ann.page.locator('#revoked').filter({ hasText: 'read permission refused' }).waitFor();
  await ann.stream(MEMBERS).getByText('read permission refused').waitFor();
  assert.ok(await ann.page.getByRole('button', { name: 'Members are back in' }).isDisabled());
  await backend.publish(MEMBERS, { text: 'behind closed doors' });
  await Promise.all([ann, bob, eve].map((person) => person.membersBack()));
  for (const person of [ann, bob]) {
    await person.askAgain();
    await person.synced(MEMBERS, 'first');
  }
  await backend.publish(MEMBERS, { text: 'welcome back' });
  for (const person of [ann, bob]) assert.deepEqual(texts(await person.rows(MEMBERS, 'welcome back')), ['among us', 'welcome back']);
  for (const person of [ann, bob, eve]) person.well();
});

scenario('the demo\'s backend is killed: it is started again, and nobody gets in without it', null, { timeout: 240000 }, async () => {
  const [ann, eve] = await Promise.all([Person.open(), Person.open()]);
  await ann.become('member');
  await ann.synced(MEMBERS, 'first');
  const killed = node.pid('permissions');
  const printed = node.child.stdout.length;
  process.kill(killed, 'SIGKILL');
  await node.line('permissions ended (SIGKILL); starting it again in 1 s', LONG, printed);
  await eve.askAgain();
  await until(LONG, 'another backend', () => node.processes.permissions);
  assert.notEqual(node.pid('permissions'), killed);
  await until(LONG, 'eve\'s refusal by the new one', async () => {
    const line = await eve.stream(MEMBERS).locator('.sync').textContent();
    if (line.includes('503')) await eve.askAgain();
    return /403: .*: read permission refused/.test(line);
  });
  // Whoever was in stays in, and the new one obeys the button.
  assert.match(await ann.synced(MEMBERS, 'first'), /the first time/);
  assert.match(await ann.takeRightBack(), /: 1 subscription ended in/);
  await Promise.all([ann, eve].map((person) => person.membersBack()));
  for (const line of (await readFile(join(directory, 'permissions.log'), 'utf8')).trim().split('\n')) {
    assert.equal(JSON.parse(line).process, 'permissions');
  }
  ann.well();
  eve.well();
});

scenario('the gateway is killed by the button: nothing is lost, what was missed is marked', null, { timeout: 240000 }, async () => {
  const backend = publisher();
  const ann = await Person.open();
  let bob = await Person.open(); // on the other gateway, where the kernel has put him
  for (let tries = 0; (await bob.gateway) === (await ann.gateway) && tries < 40; tries++) {
    await bob.page.context().close();
    bob = await Person.open();
  }
  const [killed, other] = [await ann.gateway, await bob.gateway];
  assert.notEqual(killed, other);
  await ann.join('room', 'long');
  await bob.join('room', 'long');
  await Promise.all([ann, bob].map((person) => person.synced('chat:long', 'first')));
  for (const n of [1, 2]) await backend.publish('chat:long', { text: `before ${n}` });
  await Promise.all([ann, bob].map((person) => person.rows('chat:long', 'before 2')));

  // The supervisor obeys when the other gateway is stopped, and is stopped before it starts the
  // killed one again: meanwhile nobody can serve ann.
  node.child.signal('SIGSTOP');
  const answer = ann.page.waitForResponse((response) => response.url().includes('/demo/kill/'));
  await ann.page.getByRole('button', { name: `Kill ${killed}` }).click();
  assert.equal((await answer).status(), 202);
  node.signalGateway(other, 'SIGSTOP');
  node.child.signal('SIGCONT');
  await node.line(`${killed} ended (SIGKILL)`);
  node.child.signal('SIGSTOP');
  for (const n of [1, 2, 3]) await backend.publish('chat:long', { text: `while away ${n}` });
  node.signalGateway(other, 'SIGCONT');
  const told = await ann.synced('chat:long', 'true');
  assert.equal(await ann.gateway, other);
  node.child.signal('SIGCONT');
  await backend.publish('chat:long', { text: 'after' });

  const expected = ['before 1', 'before 2', 'while away 1', 'while away 2', 'while away 3', 'after'];
  const [rows, bobs] = await Promise.all([ann, bob].map((person) => person.rows('chat:long', 'after')));
  for (const list of [rows, bobs]) {
    assert.deepEqual(texts(list), expected);
    assert.deepEqual(list.map(({ offset }) => offset - list[0].offset), [0, 1, 2, 3, 4, 5]);
  }
  assert.deepEqual(rows.map(({ restored }) => restored), [false, false, true, true, true, false]);
  assert.equal(told, 'isSynced true: 3 restored, nothing is missing');
  assert.ok(bobs.every(({ restored }) => !restored));
  assert.match(await bob.synced('chat:long', 'first'), /^isSynced false: the first time/);
  assert.match(await ann.page.locator('#told').textContent(), new RegExp(`connected to ${other}, [0-9.]+ s after the loss`));
  await ann.screenshot('page-restored');

  // The supervisor brings it back, and somebody is served by it again.
  await node.ready(killed);
  ann.well();
  bob.well();
});

scenario('the lines to paste do what they say', null, { timeout: 240000 }, async () => {
  const ann = await Person.open({ permissions: ['clipboard-read', 'clipboard-write'] });
  await ann.page.getByLabel(/^to/).selectOption('chat:room-1');
  const said = { 'Command line': 'hello', Python: 'hello from Python', Node: 'hello from Node' };
  for (const [language, text] of Object.entries(said)) {
    await ann.page.getByRole('button', { name: `Copy: ${language}` }).click();
    const line = await ann.page.evaluate(() => navigator.clipboard.readText());
    const { code, stderr } = await run('bash', ['-ec', line], { ms: LONG });
    assert.equal(code, 0, `${line}\n${stderr}`);
    await ann.rows('chat:room-1', text);
  }
  ann.well();
});

scenario('on a phone and in the dark', null, async () => {
  const backend = publisher();
  for (const colorScheme of ['light', 'dark']) {
    const ann = await Person.open({ viewport: { width: 360, height: 740 }, colorScheme });
    await backend.publish('chat', { text: `a word in the ${colorScheme}, and one_that_is_much_too_long_for_the_width_of_any_phone_that_we_know` });
    await backend.publish('chat:room-1', { text: `hello ${colorScheme}` }, { publisher: 'mia' });
    await ann.rows('chat:room-1', `hello ${colorScheme}`);
    await ann.screenshot(`page-phone-${colorScheme}`);
    ann.well();
  }
  const ann = await Person.open({ colorScheme: 'dark' });
  await backend.publish('chat:room-1', { text: 'good night' }, { publisher: 'mia' });
  await ann.rows('chat:room-1', 'good night');
  await ann.screenshot('page-dark');
  ann.well();
});

scenario('by keyboard alone', null, async () => {
  const ann = await Person.open();
  const { keyboard } = ann.page;
  await ann.page.getByRole('radio', { name: 'visitor' }).focus();
  await keyboard.press('ArrowRight');
  await ann.page.locator('#you').getByText('as member mia').waitFor();
  await ann.page.getByLabel('Its name').focus();
  await keyboard.type('typed');
  await keyboard.press('Enter');
  await ann.synced('chat:typed', 'first');
  await ann.synced(MEMBERS, 'first');
  await ann.page.getByRole('button', { name: 'Take the members\' right back' }).focus();
  await keyboard.press('Enter');
  assert.match(await ann.revoked(), /: 1 subscription ended in/);
  await ann.membersBack();
  await ann.page.getByRole('button', { name: `Ask again for ${MEMBERS}` }).focus();
  await keyboard.press('Enter');
  await ann.synced(MEMBERS, 'first');
  const nameless = await ann.page.locator('button, input, select, [tabindex]').evaluateAll((nodes) => nodes
    .filter((at) => !(at.labels?.length > 0 || at.ariaLabel || at.textContent.trim())).map((at) => at.outerHTML));
  assert.deepEqual(nameless, []);
  ann.well();
});
