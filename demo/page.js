// The demo page: what a program in a browser does with @millrace/client, made visible. Whatever came
// from elsewhere (messages, names, errors) gets into the page as text only.
import { createClient } from '@millrace/client';

const KEPT = 200; // messages shown of each stream
const $ = (id) => document.getElementById(id);
const streams = new Map(); // address -> stream
let config;
let client;
let who;
let gateway; // that serves us
let lostAt; // ms, while the connection is away
let revoked; // what the demo's backend told of the last revoke
let countdown; // timer, while the button is asked for and members may not come in
const MEMBERS = { name: 'chat', resourceId: 'members' };
const PATIENCE_MS = 5000; // for the demo's backend to do what the button asks

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function show(node, text) {
  node.textContent = text;
  node.hidden = text === '';
}

const clock = () => new Date().toLocaleTimeString([], { hour12: false });
const addressOf = ({ name, resourceId }) => (resourceId ? `${name}:${resourceId}` : name);

// --- who I am ---

// What a token says; the gateway has checked it, we only show it.
function claims(token) {
  const text = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
  return JSON.parse(text);
}

function describe(token) {
  if (!token) return 'an anonymous visitor';
  const { type, sub } = claims(token);
  return `${type.toLowerCase()} ${sub ?? ''}`.trim();
}

function showIdentities() {
  const names = Object.keys(config.tokens);
  for (const name of names.length > 0 ? names : ['visitor']) {
    const input = element('input', { type: 'radio', name: 'who', value: name, checked: name === who });
    input.addEventListener('change', () => become(name));
    $('who').append(element('label', {}, input, name));
  }
}

// A connection belongs to one subscriber: another one gets a connection of its own.
function become(name) {
  who = name;
  client?.close();
  const token = config.tokens[name];
  const url = new URL('connection/websocket', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  lostAt = undefined;
  client = createClient({ url: url.href, token });
  client.onConnection(onConnection);
  client.connect();
  for (const stream of streams.values()) subscribe(stream);
  client.subscribe({ name: 'demo' }, ({ payload }) => onDemo(payload));
  $('you').textContent = `this page, as ${describe(token)}`;
}

// --- the connection ---

function onConnection({ state, data, reason, transport }) {
  const names = { connecting: reason ? `connecting again: ${reason}` : 'connecting', closed: `closed: ${reason}` };
  gateway = state === 'connected' ? data?.gateway : undefined;
  $('state').dataset.state = state;
  const way = transport === 'websocket' ? '' : ', over HTTP: no WebSocket opens here';
  $('state').textContent = names[state] ?? `connected to ${gateway ?? 'a gateway'}${way}`;
  $('flow').classList.toggle('cut', state !== 'connected');
  if (state === 'connected') onConnected();
  else if (state === 'connecting' && reason) lostAt ??= performance.now();
  for (const item of $('gateways').children) item.classList.toggle('mine', item.dataset.name === gateway);
  $('kill').disabled = !gateway;
  $('kill').textContent = gateway ? `Kill ${gateway}` : 'Kill my gateway';
}

function onConnected() {
  if (gatewayItem(gateway)) markKilled(gatewayItem(gateway), false);
  if (lostAt === undefined) return;
  const seconds = ((performance.now() - lostAt) / 1000).toFixed(1);
  lostAt = undefined;
  $('told').textContent = `${clock()}: connected to ${gateway ?? 'a gateway'}, ${seconds} s after the loss. What was missed is marked below.`;
}

async function killGateway() {
  const name = gateway;
  $('kill').disabled = true;
  const answer = await fetch(`demo/kill/${encodeURIComponent(name)}`, { method: 'POST' }).catch((error) => ({ text: () => error.message }));
  if (answer.status === 202) {
    $('told').textContent = `${clock()}: ${name} is killed. It is started again in a second.`;
    markKilled(gatewayItem(name));
    return;
  }
  $('told').textContent = `not killed: ${await answer.text()}`;
  $('kill').disabled = false;
}

// The page cannot ask a gateway that serves others how it is: the supervisor needs about so long.
function markKilled(item, killed = true) {
  item.classList.toggle('killed', killed);
  item.textContent = killed ? `${item.dataset.name} killed` : item.dataset.name;
  if (killed) setTimeout(() => markKilled(item, false), 4000);
}

const gatewayItem = (name) => [...$('gateways').children].find((item) => item.dataset.name === name);

// The diagram shows a message on its way; one at a time is enough.
function beat() {
  const flow = $('flow');
  if (flow.classList.contains('beat')) return;
  flow.classList.add('beat');
  setTimeout(() => flow.classList.remove('beat'), 1200);
}

// --- the right to read, taken back ---

// The news may be here before the answer to the request is.
async function takeRightBack() {
  $('revoke').disabled = true;
  $('revoked').textContent = 'asked …';
  countdown = setTimeout(() => notRevoked('the demo\'s backend has not answered; is it being started again?'), PATIENCE_MS);
  const answer = await fetch('demo/revoke', { method: 'POST' }).catch((error) => ({ text: () => error.message }));
  if (answer.status !== 202) notRevoked(await answer.text());
}

function notRevoked(why) {
  clearTimeout(countdown);
  countdown = undefined;
  $('revoked').classList.remove('news');
  $('revoked').textContent = `not taken back: ${why}`;
  showMembersMayRead();
}

// Any page's button: all pages hear what the demo's backend did.
function onDemo(payload) {
  clearTimeout(countdown);
  countdown = undefined;
  if (payload.members !== false) return showMembersMayRead();
  revoked = { ...payload, at: clock() };
  countDown(Math.ceil(payload.pauseMs / 1000));
  showRevoked();
}

function countDown(seconds) {
  if (!(seconds > 0)) return showMembersMayRead();
  $('revoke').disabled = true;
  $('revoke').textContent = `Members are back in ${seconds} s`;
  countdown = setTimeout(() => countDown(seconds - 1), 1000);
}

function showMembersMayRead() {
  $('revoke').disabled = false;
  $('revoke').textContent = 'Take the members\' right back';
}

const count = (number, what) => `${number} ${what}${number === 1 ? '' : 's'}`;

// Our own end comes with its own reason, which may arrive before or after the news of it.
function showRevoked() {
  const { at, error, ended, ms, unconfirmed } = revoked;
  const where = unconfirmed ? `${count(unconfirmed, 'gateway')} did not confirm` : 'confirmed by all gateways';
  const own = streams.get(addressOf(MEMBERS))?.refusal;
  const text = error ? `${at}: not taken back everywhere: ${error}` : `${at}: ${count(ended, 'subscription')} ended in ${ms} ms, ${where}.`;
  $('revoked').textContent = own ? `${text} This page: ${own}.` : text;
  $('revoked').classList.add('news');
}

// --- streams ---

function join(channel) {
  const address = addressOf(channel);
  if (streams.has(address)) return streams.get(address).view.root.scrollIntoView({ block: 'nearest' });
  const stream = { channel, address, view: streamView(channel, () => leave(address), () => subscribe(stream)), restored: 0, subscribedBefore: false };
  streams.set(address, stream);
  $('streams').append(stream.view.root);
  subscribe(stream);
  showTargets();
}

function leave(address) {
  const stream = streams.get(address);
  streams.delete(address);
  client.unsubscribe({ subscriptionId: stream.id });
  stream.view.root.remove();
  showTargets();
}

function streamView({ name, resourceId }, onLeave, onAgain) {
  const messages = element('ol', { className: 'messages', tabIndex: 0 }, element('li', { className: 'nothing', textContent: 'Nothing has come yet.' }));
  messages.setAttribute('role', 'log');
  const sync = element('p', { className: 'sync' });
  const again = element('button', { type: 'button', className: 'quiet', textContent: 'Ask again', onclick: onAgain, hidden: true });
  again.setAttribute('aria-label', `Ask again for ${addressOf({ name, resourceId })}`);
  const title = element('h3', {}, resourceId ? element('small', { textContent: `${name} : ` }) : '', resourceId || name);
  const button = element('button', { type: 'button', className: 'quiet', textContent: 'Leave', onclick: onLeave });
  button.setAttribute('aria-label', `Leave ${addressOf({ name, resourceId })}`);
  const root = element('article', { className: 'stream' }, element('header', {}, title, button), element('div', { className: 'refusal' }, sync, again), messages);
  root.dataset.address = addressOf({ name, resourceId });
  messages.setAttribute('aria-label', `Messages of ${root.dataset.address}`);
  return { root, messages, sync, again };
}

function showSync(stream, kind, text) {
  stream.view.sync.dataset.synced = kind;
  stream.view.sync.textContent = text;
  stream.refusal = undefined;
  stream.view.again.hidden = kind !== 'error';
  stream.view.root.classList.toggle('refused', kind === 'error');
}

function subscribe(stream) {
  stream.restored = 0;
  stream.subscribedBefore = false;
  showSync(stream, 'not', 'subscribing …');
  stream.id = client.subscribe(stream.channel, (message, _, details) => onMessage(stream, message, details), {
    onSubscribed: (_, isSynced) => onSubscribed(stream, isSynced),
    onSubscriptionError: (error) => onSubscriptionError(stream, error),
  });
}

function onSubscribed(stream, isSynced) {
  const { restored } = stream;
  stream.restored = 0;
  if (isSynced) showSync(stream, 'true', `isSynced true: ${restored} restored, nothing is missing`);
  else if (stream.subscribedBefore) showSync(stream, 'lost', 'isSynced false: something may be missing, load your state');
  else showSync(stream, 'first', 'isSynced false: the first time');
  stream.subscribedBefore = true;
}

function onSubscriptionError(stream, error) {
  const code = error.status ? `${error.errorCode} ${error.status}` : error.errorCode;
  showSync(stream, error.recoverable ? 'away' : 'error', error.recoverable ? `${code}: coming back by itself` : `${code}: ${error.message}`);
  if (!error.recoverable) stream.refusal = error.message;
  if (revoked && countdown && stream.address === addressOf(MEMBERS)) showRevoked();
}

function onMessage(stream, { payload, publisher }, { offset, restored }) {
  const { messages } = stream.view;
  const text = typeof payload.text === 'string' ? payload.text : JSON.stringify(payload);
  const row = element('li', {},
    element('span', { className: 'at', textContent: `#${offset}` }),
    element('span', { className: 'text', textContent: text }),
    element('span', { className: 'from' }, element('span', { textContent: publisher ? publisher.id : '' })));
  row.title = `came at ${clock()}`;
  if (restored) {
    stream.restored++;
    row.className = 'restored';
    row.lastChild.append(element('span', { className: 'tag', textContent: 'restored' }));
  }
  messages.querySelector('.nothing')?.remove();
  messages.append(row);
  while (messages.children.length > KEPT) messages.firstChild.remove();
  messages.scrollTop = messages.scrollHeight;
  beat();
}

function onJoin(event) {
  event.preventDefault();
  const name = $('name').value.trim();
  const channel = $('kind').value === 'room' ? { name: 'chat', resourceId: name } : { name };
  const problem = !/^@?[A-Za-z0-9_-]+$/.test(channel.name) ? 'A channel is made of letters, digits, _ and -, with an @ in front if you like.' : '';
  show($('join-problem'), name === '' ? 'It needs a name.' : problem);
  if (name === '' || problem) return;
  join(channel);
  $('name').value = '';
}

// --- lines to paste ---

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// What JSON.stringify makes of names and texts is the same in Python and in JavaScript.
function linesFor({ name, resourceId }) {
  const { publish, flags } = config;
  const endpoint = JSON.stringify(config.endpoint);
  const channel = JSON.stringify({ name, ...(resourceId && { resourceId }) });
  return {
    'Command line': `${publish} ${shell(addressOf({ name, resourceId }))} '{"text":"hello"}'${flags}`,
    Python: `PYTHONPATH=sdk/python /usr/bin/python3 - <<'PYTHON'
from millrace import Backend
with Backend(${endpoint}) as backend:
    print(backend.publish(${channel}, {"text": "hello from Python"}))
PYTHON`,
    Node: `node --input-type=module - <<'NODE'
import { connect } from '@millrace/backend';
const backend = connect({ endpoint: ${endpoint} });
console.log(await backend.publish(${channel}, { text: 'hello from Node' }));
await backend.close();
NODE`,
  };
}

function showTargets() {
  const to = $('to');
  const chosen = to.value;
  to.replaceChildren(...[...streams.keys()].map((address) => element('option', { value: address, textContent: address })));
  if (streams.has(chosen)) to.value = chosen;
  showLines();
}

function showLines() {
  const stream = streams.get($('to').value);
  const lines = stream ? linesFor(stream.channel) : {};
  $('lines').replaceChildren(...Object.entries(lines).map(([title, text]) => lineView(title, text)));
}

function lineView(title, text) {
  const code = element('pre', { textContent: text, tabIndex: 0 });
  const button = element('button', { type: 'button', className: 'quiet', textContent: 'Copy' });
  button.setAttribute('aria-label', `Copy: ${title}`);
  button.addEventListener('click', async () => {
    await copy(text, code);
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
  const figure = element('figure', {}, element('figcaption', {}, title, button), code);
  figure.dataset.language = title;
  return figure;
}

// Where the clipboard is closed to us the text is selected instead.
async function copy(text, node) {
  getSelection().selectAllChildren(node);
  await navigator.clipboard?.writeText(text).catch(() => {});
}

// --- start ---

async function start() {
  const answer = await fetch('config.json');
  if (!answer.ok) throw new Error(`config.json: ${answer.status}`);
  config = await answer.json();
  for (const name of config.gateways) {
    const item = element('li', { textContent: name });
    item.dataset.name = name;
    $('gateways').append(item);
  }
  who = Object.keys(config.tokens)[0] ?? 'visitor';
  showIdentities();
  become(who);
  join({ name: 'chat' });
  join({ name: 'chat', resourceId: 'room-1' });
  $('permission').hidden = !config.permissions;
  if (config.permissions) join(MEMBERS);
  $('join').addEventListener('submit', onJoin);
  $('kind').addEventListener('change', () => { $('name').placeholder = $('kind').value === 'room' ? 'room-2' : 'news'; });
  $('to').addEventListener('change', showLines);
  $('kill').addEventListener('click', killGateway);
  $('revoke').addEventListener('click', takeRightBack);
}

start().catch((error) => show($('trouble'), `This page cannot start: ${error.message}`));
