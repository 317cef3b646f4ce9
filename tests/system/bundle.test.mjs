// The page of docs/client-guide.md for browsers without a bundler, in Debian's Chromium: what `npm run
// build` makes of @millrace/client is loaded from another origin than the gateway's and gets a message.
import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { Backend } from './backend.mjs';
import { blockingProxy } from './fallback.mjs';
import { atEnd, once, patience, root, run, scenarioWith, temporaryDirectory } from './harness.mjs';

async function bundle() {
  const directory = await temporaryDirectory();
  atEnd(() => rm(directory, { recursive: true }));
  const { code, stderr } = await run('node', [join(root, 'sdk/js/client/build.mjs'), `--to=${directory}`]);
  assert.equal(code, 0, stderr);
  return readFile(join(directory, 'millrace-client.js'));
}

// The page, which says that the gateway is where it comes from itself.
async function guidePage(gateway) {
  const guide = await readFile(join(root, 'docs/client-guide.md'), 'utf8');
  const [, page] = guide.match(/^```html\n([^]*?)^```$/m);
  assert.match(page, /location\.origin/);
  return `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body>${page.replace('location.origin', `'${gateway}'`)}`;
}

function serve(server, files) {
  server.removeAllListeners('request').on('request', (request, response) => {
    const file = files[request.url];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': file.type }).end(file.text);
  });
}

async function openPage(url) {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--no-first-run'] });
  atEnd(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(patience);
  const problems = [];
  page.on('pageerror', (error) => problems.push(`${error}`));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  await page.goto(url);
  return { page, problems };
}

const server = createServer();
server.listen(0, '127.0.0.1');
await once(server, 'listening');
server.unref();
const origin = `http://127.0.0.1:${server.address().port}`;

scenarioWith('a browser loads the bundle, subscribes and gets a message', { gateway: { allowed_origins: origin } }, async (cluster) => {
  serve(server, {
    '/': { type: 'text/html', text: await guidePage(`http://127.0.0.1:${cluster.clientPort}`) },
    '/millrace-client.js': { type: 'text/javascript', text: await bundle() },
  });
  const { page, problems } = await openPage(origin);
  await page.getByText('subscribed').waitFor();
  await Backend.open(cluster).publish('news', { text: 'hello browser' });
  await page.getByText('hello browser').waitFor();
  assert.equal(await page.locator('body').innerText(), 'subscribedhello browser');
  assert.deepEqual(problems, []);
});

scenarioWith('where WebSocket is blocked the same page gets its messages over HTTP, from another origin',
  { gateway: { allowed_origins: origin } }, async (cluster) => {
    const proxy = await blockingProxy(() => cluster.clientPort);
    serve(server, {
      '/': { type: 'text/html', text: await guidePage(`http://127.0.0.1:${proxy.port}`) },
      '/millrace-client.js': { type: 'text/javascript', text: await bundle() },
    });
    const { page, problems } = await openPage(origin);
    await page.getByText('subscribed').waitFor();
    await Backend.open(cluster).publish('news', { text: 'hello browser' });
    await page.getByText('hello browser').waitFor();
    assert.equal(await cluster.metric('fallback_connections'), 1);
    assert.ok(proxy.blocked > 0);
    assert.deepEqual(problems.filter((text) => !text.startsWith('WebSocket connection to')), []);
  });
