// client - the program's side of one connection: subscriptions by id, addresses by text.
//
// Several subscriptions to one address share one feed; all feeds share the SDK's connection.
import { addressOf } from './address.js';
import { call } from './call.js';
import { endpointsOf, transportsFor } from './endpoints.js';
import { badInput, SubscriptionError } from './error.js';
import { Feed, Listener } from './feed.js';

const known = ['url', 'urls', 'token', 'getToken', 'websocket', 'fallback', 'minReconnectDelay', 'maxReconnectDelay'];
const attempts = new Set(['transport', 'connect', 'connectToken']);

function isFunction(value) {
  return typeof value === 'function';
}

function checkOptions(options) {
  if (options === null || typeof options !== 'object') throw new TypeError('options: an object {url, …} is needed');
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`'${name}' is no option; there are ${known.join(', ')}`);
  }
  const { token, getToken, fallback } = options;
  if (fallback !== undefined && typeof fallback !== 'boolean') throw new TypeError('fallback: true or false is needed');
  if (token !== undefined && typeof token !== 'string') throw new TypeError('token: a string is needed');
  if (getToken !== undefined && !isFunction(getToken)) throw new TypeError('getToken: a function is needed');
}

// The SDK would connect without a token when it is given an empty one: no token ends the connection.
function tokenSource(getToken) {
  return async () => {
    const token = await getToken();
    if (token === null || token === undefined || token === '') return null;
    if (typeof token !== 'string') throw new TypeError(`getToken: resolved with ${typeof token}, not with a string`);
    return token;
  };
}

function sdkOptions({ token, getToken, minReconnectDelay, maxReconnectDelay }) {
  const given = { token, getToken: getToken && tokenSource(getToken), minReconnectDelay, maxReconnectDelay };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function endMessage({ code, reason }) {
  return `disconnected for good: ${reason} (${code}); connect() opens a new connection`;
}

export class Client {
  #sdk;
  #feeds = new Map(); // by the address as text
  #feedOf = new Map(); // by subscription id
  #kept = false; // open also without a subscription
  #ended = false; // closed by the other side, for good
  #hasGetToken;
  #wasConnected = false;
  #lastWay; // of the transports
  #failedWay; // the last one, before there was a connection
  #connection = { state: 'closed', code: 0, reason: 'not connected yet' };
  #watchers = new Set();
  #lastId = 0;
  #idPrefix = Math.random().toString(36).slice(2, 10);

  // Centrifuge: the SDK's class.
  constructor(options, Centrifuge) {
    checkOptions(options);
    const ways = transportsFor(endpointsOf(options), options);
    this.#hasGetToken = options.getToken !== undefined;
    this.#sdk = new Centrifuge(ways.transports, { ...sdkOptions(options), ...ways.options });
    this.#sdk.on('connecting', ({ code, reason }) => this.#connecting(code, reason));
    this.#lastWay = ways.transports.at(-1).transport;
    this.#sdk.on('connected', ({ client, data, transport }) => {
      this.#wasConnected = true;
      this.#changed({ state: 'connected', clientId: client, data, transport });
    });
    this.#sdk.on('disconnected', ({ code, reason }) => this.#disconnected(code, reason));
    this.#sdk.on('error', ({ type, error, transport }) => {
      if (!this.#goesAnotherWay(type, transport)) this.#failedAttempt(type, error.message);
    });
  }

  // --- connection ---

  /** What onConnection() told last. */
  get connection() {
    return this.#connection;
  }

  /** Opens the connection, also again after it was closed for good, and keeps it open. */
  connect() {
    this.#kept = true;
    this.#open();
  }

  /** Ends the connection and forgets all subscriptions; no handler of theirs runs any more. */
  close() {
    this.#kept = this.#ended = false;
    this.#sdk.startBatching(); // what would be sent for each feed goes down with the connection
    for (const feed of this.#feeds.values()) feed.close();
    this.#feeds.clear();
    this.#feedOf.clear();
    this.#sdk.disconnect();
    this.#sdk.stopBatching();
  }

  /** The token for the next connection; for programs without getToken. */
  setToken(token) {
    if (typeof token !== 'string') throw new TypeError('token: a string is needed');
    this.#sdk.setToken(token);
  }

  /** handler(connection): soon with the state as it is, then with every change. Returns what ends it. */
  onConnection(handler) {
    if (!isFunction(handler)) throw new TypeError('onConnection: a function is needed');
    const watcher = { handler, told: undefined };
    this.#watchers.add(watcher);
    queueMicrotask(() => this.#tell(watcher));
    return () => void this.#watchers.delete(watcher);
  }

  #open() {
    // A token with which the connection was closed for good is not worth a second attempt.
    if (this.#ended && this.#hasGetToken) this.#sdk.setToken('');
    this.#ended = false;
    this.#sdk.connect();
  }

  #changed(connection) {
    this.#connection = connection;
    for (const watcher of this.#watchers) this.#tell(watcher);
  }

  // The newest state, once: a handler may have changed it again.
  #tell(watcher) {
    if (watcher.told === this.#connection || !this.#watchers.has(watcher)) return;
    watcher.told = this.#connection;
    call(watcher.handler, this.#connection);
  }

  #connecting(code, reason) {
    const wasConnected = this.#connection.state === 'connected';
    if (!wasConnected) return this.#changed({ state: 'connecting' });
    this.#lost({ state: 'connecting', code, reason }, `disconnected, connecting again: ${reason} (${code})`);
  }

  // code 0: disconnect() was called here.
  #disconnected(code, reason) {
    const connection = { state: 'closed', code, reason };
    if (code === 0) return this.#changed(connection);
    this.#ended = true;
    this.#lost(connection, endMessage(connection));
  }

  // Subscriptions first: a watcher that calls connect() makes the end of a connection a past one.
  #lost(connection, message) {
    this.#connection = connection;
    this.#fail('DISCONNECTED', message, connection.state === 'connecting');
    this.#changed(this.#connection);
  }

  // Until there was a connection, the SDK tries each transport in turn: an attempt has failed when the
  // last one has, or when the SDK stays with one that it takes for the right one.
  #goesAnotherWay(type, transport) {
    if (type !== 'transport' || this.#wasConnected) return false;
    const stays = transport === this.#failedWay;
    this.#failedWay = transport;
    return !stays && transport !== this.#lastWay;
  }

  #failedAttempt(type, message) {
    if (!attempts.has(type)) return; // about a connection that stands
    this.#changed({ state: 'connecting', reason: message });
    this.#fail('CONNECTION_ERROR', `connecting failed, trying again: ${message}`, true);
  }

  #fail(errorCode, message, recoverable) {
    for (const feed of [...this.#feeds.values()]) feed.fail(errorCode, message, { recoverable });
  }

  // --- subscriptions ---

  subscribe(channel, onMessage, options = {}) {
    if (!isFunction(onMessage)) throw badInput('onMessage: a function is needed', channel);
    const handlers = options ?? {};
    for (const name of ['onSubscribed', 'onSubscriptionError', 'onMissed']) {
      if (handlers[name] && !isFunction(handlers[name])) throw badInput(`${name}: a function is needed`, channel);
    }
    const listener = new Listener(`${this.#idPrefix}-${++this.#lastId}`, onMessage, handlers);
    try {
      this.#join(addressOf(channel), listener);
    } catch (error) {
      if (!(error instanceof SubscriptionError)) throw error;
      queueMicrotask(() => listener.failed(error));
    }
    return listener.id;
  }

  #join(address, listener) {
    const feed = this.#feeds.get(address.text) ?? this.#newFeed(address);
    feed.add(listener);
    this.#feedOf.set(listener.id, feed);
    if (!this.#ended) return this.#sdk.connect();
    queueMicrotask(() => {
      if (!this.#ended || this.#feedOf.get(listener.id) !== feed) return;
      listener.failed(new SubscriptionError('DISCONNECTED', endMessage(this.#connection), { channel: feed.channel }));
    });
  }

  #newFeed(address) {
    const feed = new Feed(this.#sdk, address, (ended) => this.#forget(ended));
    this.#feeds.set(address.text, feed);
    return feed;
  }

  unsubscribe(options) {
    const { channel, subscriptionId } = options ?? {};
    const byChannel = channel !== undefined && channel !== null;
    const byId = subscriptionId !== undefined && subscriptionId !== null;
    if (!byChannel && !byId) throw badInput('unsubscribe: a channel or a subscriptionId is needed');
    if (byId && typeof subscriptionId !== 'string') throw badInput('subscriptionId: a string is needed', channel);
    const addressed = byChannel ? this.#feeds.get(addressOf(channel).text) : undefined;
    const feed = byId ? this.#feedOf.get(subscriptionId) : addressed;
    if (!feed || (byChannel && feed !== addressed)) return;
    if (byId) this.#remove(feed, subscriptionId);
    else this.#close(feed);
  }

  #remove(feed, id) {
    feed.remove(id);
    this.#feedOf.delete(id);
    if (feed.size === 0) this.#close(feed);
  }

  #close(feed) {
    this.#forget(feed);
    feed.close();
  }

  #forget(feed) {
    this.#feeds.delete(feed.text);
    for (const id of feed.ids) this.#feedOf.delete(id);
    queueMicrotask(() => this.#closeWhenUnused());
  }

  // In a microtask: one who leaves one address and joins another keeps the connection.
  #closeWhenUnused() {
    if (!this.#kept && this.#feeds.size === 0) this.#sdk.disconnect();
  }
}
