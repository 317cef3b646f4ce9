// What the demo page says of its connection and its streams while gateways are away and after the broker
// died; the page under the other name of this machine, and where WebSocket is blocked.
import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';
import { Backend } from './backend.mjs';
import { DevRun } from './dev_run.mjs';
import { blockingProxy } from './fallback.mjs';
import { atEnd, httpGet, patience, root, scenario, temporaryDirectory } from './harness.mjs';

const addresses = ['chat', 'chat:room-1'];
let node;
let browser;
let directory;

before(async () => {
  directory = await temporaryDirectory();
  node = await DevRun.start(['--gateways', '2'], { RUN_DIR: directory, MILLRACE_STORE_ENGINE: 'memory' });
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--no-first-run'] });
}, { timeout: 4 * patience });

after(async () => {
  await browser?.close();
  await node?.stop();
  if (directory) await rm(directory, { recursive: true, force: true });
}, { timeout: 4 * patience });

async function openPage(url = node.page, prepare = () => {}) {
  const context = await browser.newContext();
  atEnd(() => context.close());
  await context.addInitScript(prepare);
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(`${error}`));
  await page.goto(url);
  await state(page, 'connected');
  await synced(page, 'first');
  return page;
}

// Waits until the page says so; returns the words for people.
async function state(page, name) {
  const line = page.locator(`#state[data-state=${name}]`);
  await line.waitFor();
  return line.textContent();
}

// The same for both streams that it begins with.
function synced(page, kind) {
  return Promise.all(addresses.map(async (address) => {
    const line = page.locator(`.stream[data-address="${address}"] .sync[data-synced=${kind}]`);
    await line.waitFor();
    return line.textContent();
  }));
}

async function hears(page, text) {
  await Backend.open({ endpoint: node.endpoint }).publish('chat', { text });
  await page.locator('.stream[data-address="chat"] .messages .text').getByText(text, { exact: true }).waitFor();
}

scenario('connecting, while no gateway is there; connected again by itself', null, { timeout: 4 * patience }, async () => {
  const page = await openPage();
  const names = Object.keys(node.processes).filter((name) => name.startsWith('gateway'));
  assert.equal(names.length, 2);
  node.child.signal('SIGSTOP'); // it would start them again
  atEnd(() => node.child.signal('SIGCONT'));
  for (const name of names) node.signalGateway(name, 'SIGKILL');
  assert.match(await state(page, 'connecting'), /^connecting again: /);
  assert.ok(await page.locator('#kill').isDisabled());
  assert.equal(await page.locator('#gateways li.mine').count(), 0);

  node.child.signal('SIGCONT');
  assert.match(await state(page, 'connected'), /^connected to gateway-[12]$/);
  for (const text of await synced(page, 'true')) assert.match(text, /^isSynced true: 0 restored/);
  for (const name of names) await node.ready(name);
  await hears(page, 'with gateways');
  assert.deepEqual(page.problems, []);
});

scenario('isSynced is false after the broker died: its history is gone', null, { timeout: 4 * patience }, async () => {
  const page = await openPage();
  await hears(page, 'before');
  process.kill(node.pid('broker'), 'SIGKILL');
  for (const text of await synced(page, 'lost')) assert.match(text, /^isSynced false: something may be missing/);
  assert.match(await state(page, 'connected'), /^connected to gateway-[12]$/);
  await node.ready('broker');
  await hears(page, 'after');
  assert.deepEqual(page.problems, []);
});

scenario('the page as http://localhost/', null, async () => {
  const page = await openPage(node.page.replace('127.0.0.1', 'localhost'));
  assert.equal(new URL(page.url()).hostname, 'localhost');
  await hears(page, 'hello localhost');
  assert.deepEqual(page.problems, []);
});

// Of both gateways.
async function streams() {
  const pages = await Promise.all(['gateway-1', 'gateway-2'].map((name) => httpGet(`http://127.0.0.1:${node.adminPort(name)}/metrics`)));
  return pages.reduce((sum, { text }) => sum + Number(text.match(/^millrace_gateway_fallback_connections (\d+)$/m)[1]), 0);
}

const http = /^connected to (gateway-[12]), over HTTP: no WebSocket opens here$/;

for (const [name, prepare] of [
  ['a stream of lines', () => {}],
  ['server-sent events, where fetch gives no stream', () => void (globalThis.ReadableStream = undefined)],
]) {
  scenario(`no WebSocket: ${name}, and the end of its gateway costs nothing`, null, { timeout: 4 * patience }, async () => {
    const proxy = await blockingProxy(() => node.ports.client);
    const page = await openPage(`http://127.0.0.1:${proxy.port}/`, prepare);
    assert.ok(proxy.blocked > 0);
    const [, gateway] = (await state(page, 'connected')).match(http);
    assert.equal(await streams(), 1);
    await hears(page, `over ${name}`);

    await page.getByRole('button', { name: `Kill ${gateway}` }).click();
    await page.locator('#told').getByText('after the loss').waitFor();
    for (const text of await synced(page, 'true')) assert.match(text, /^isSynced true/);
    assert.match(await state(page, 'connected'), http);
    await node.ready(gateway);
    await hears(page, `again over ${name}`);
    await mkdir(join(root, 'tests/output'), { recursive: true });
    await page.screenshot({ path: join(root, `tests/output/page-${name.split(' ').at(-1)}.png`), fullPage: true });
    assert.deepEqual(page.problems, []);
  });
}
