// What a program sees: requests as functions, replies as values or errors.
import { BadInputError, MillraceError, TooLargeError } from './errors.js';
import { Link } from './link.js';
import { disconnection, HANDLER_OPTIONS, revocation } from './permissions.js';
import { accepted, mustBe, refusalOf } from './reply.js';
import { routerOf } from './router.js';
import { HISTORY_OPTIONS, historyRequest, mustBeCount, mustKnow, publication, PUBLISH_OPTIONS, REQUEST_VALUES } from './rules.js';
import { encode, nowMs, plain } from './wire.js';
import { printHandlerError, Worker } from './worker.js';

const REQUEST_BYTES = 2 * 1024 * 1024;
// Of one publish_many, with room for what is around the items.
const ITEMS = 1024;
const ITEMS_BYTES = 1024 * 1024 - 64;

const DEFAULT_ENDPOINT = 'tcp://127.0.0.1:7402';
// Far below the time for which the broker remembers idempotency keys.
const TIMEOUT_MAX_MS = 60000;
const DEFAULTS = {
  endpoint: DEFAULT_ENDPOINT,
  timeoutMs: 5000,
  maxPending: 4096,
  maxQueuedBytes: 64 * 1024 * 1024,
  handlerTimeoutMs: 2500, // the broker asks a second worker after 1 s and refuses after 4
  onHandlerError: printHandlerError,
  onStateChange: printStateChange,
};

// One line for people, when the broker hangs and when that is over.
function printStateChange(state, before) {
  if (state === 'hung') console.error('@millrace/backend: the broker hangs: it has said nothing for 4 seconds');
  else if (before === 'hung' && state !== 'closed') console.error(`@millrace/backend: the broker hung; now the connection is ${state}`);
}

// A program's function that fails must not take the connection along.
function guarded(onStateChange) {
  return (...args) => {
    try {
      onStateChange(...args);
    } catch (reason) {
      console.error('@millrace/backend: onStateChange failed:', reason);
    }
  };
}

function readSettings(settings) {
  mustKnow(settings, Object.keys(DEFAULTS), 'settings');
  const all = { ...DEFAULTS, endpoint: process.env.MILLRACE_BACKENDS || DEFAULT_ENDPOINT };
  for (const name of Object.keys(DEFAULTS)) all[name] = settings[name] ?? all[name];
  if (typeof all.endpoint !== 'string') throw new BadInputError('endpoint: must be a string');
  mustBeCount(all.timeoutMs, 'timeoutMs', TIMEOUT_MAX_MS, 1);
  mustBeCount(all.maxPending, 'maxPending', 1000000, 1);
  mustBeCount(all.maxQueuedBytes, 'maxQueuedBytes', 2 ** 40, REQUEST_BYTES);
  mustBeCount(all.handlerTimeoutMs, 'handlerTimeoutMs', TIMEOUT_MAX_MS, 1);
  for (const name of ['onHandlerError', 'onStateChange']) {
    if (typeof all[name] !== 'function') throw new BadInputError(`${name}: must be a function`);
  }
  all.onStateChange = guarded(all.onStateChange);
  return all;
}

// {epoch, offset, duplicate?} of a reply or a result that is ok.
function position({ epoch, offset, duplicate }) {
  mustBe(typeof epoch === 'string', 'there is no epoch');
  const at = { epoch, offset: plain(offset) };
  if (duplicate) at.duplicate = true;
  return at;
}

export class Backend {
  #link;
  #worker;
  #timeoutMs;

  constructor(settings) {
    const all = readSettings(settings);
    this.#timeoutMs = all.timeoutMs;
    try {
      this.#link = new Link(all);
    } catch (error) {
      throw new BadInputError(`endpoint: ZeroMQ cannot connect to ${JSON.stringify(all.endpoint)}: ${error.message}`);
    }
    this.#worker = new Worker(this.#link, all);
    this.permissionsRouter = routerOf(this.#worker, (options, known) => this.#options(options, known));
  }

  // 'connecting', 'connected', 'hung' or 'closed', as it was when something was waited for last.
  get state() {
    return this.#link.state;
  }

  async publish(channel, payload, options = {}) {
    const { timeoutMs, ...rest } = this.#options(options, PUBLISH_OPTIONS);
    const [request] = publication(channel, payload, rest);
    return position(await this.#ask('publish', request, timeoutMs, rest.key !== undefined && rest.key !== null));
  }

  // One result for each item, in order: {epoch, offset, duplicate?} or {error}.
  async publishMany(items, options = {}) {
    const { timeoutMs } = this.#options(options, []);
    if (!Array.isArray(items)) throw new BadInputError('items: must be an array');
    const results = new Array(items.length);
    const batches = this.#batches(items, results);
    await Promise.all(batches.map((batch) => this.#publishBatch(batch, results, timeoutMs)));
    return results;
  }

  async history(channel, options = {}) {
    const { timeoutMs, ...rest } = this.#options(options, HISTORY_OPTIONS);
    const { publications, epoch, offset } = plain(await this.#ask('history', historyRequest(channel, rest), timeoutMs, true));
    return { publications, epoch, offset };
  }

  async ping(options = {}) {
    const { timeoutMs } = this.#options(options, []);
    await this.#ask('ping', {}, timeoutMs, true);
  }

  // {affected, ended, unconfirmed}
  async revoke(what, options = {}) {
    const { timeoutMs, ...rest } = this.#options(options, HANDLER_OPTIONS);
    const { affected, ended, unconfirmed } = plain(await this.#ask('revoke', revocation(what, rest), timeoutMs, false));
    return { affected, ended, unconfirmed };
  }

  // {affected, unconfirmed}
  async disconnect(what, options = {}) {
    const { timeoutMs, ...rest } = this.#options(options, ['site']);
    const { affected, unconfirmed } = plain(await this.#ask('disconnect', disconnection(what, rest), timeoutMs, false));
    return { affected, unconfirmed };
  }

  async close({ now = false } = {}) {
    this.#link.shut(now);
    await this.#worker.close(now);
    await this.#link.close();
  }

  // --- requests ---

  #options(options, known) {
    mustKnow(options, [...known, 'timeoutMs'], 'options');
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    mustBeCount(timeoutMs, 'timeoutMs', TIMEOUT_MAX_MS, 1);
    return { ...options, timeoutMs };
  }

  async #ask(op, request, timeoutMs, isSafe) {
    const id = this.#link.nextId();
    const bytes = encode({ op, id, at: nowMs(), within: timeoutMs, ...request });
    if (bytes.length > REQUEST_BYTES) {
      throw new TooLargeError(`request: larger than ${REQUEST_BYTES} bytes`, { outcome: 'not sent' });
    }
    return accepted(await this.#link.request(id, bytes, timeoutMs, isSafe));
  }

  // The items as publish_many requests, none above its limits. What is wrong with an item is its result.
  #batches(items, results) {
    const batches = [];
    let batch = null;
    for (const [index, item] of items.entries()) {
      let read;
      try {
        read = readItem(item, `items[${index}]`);
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error;
        results[index] = { error };
        continue;
      }
      if (!batch || !fits(batch, read)) batches.push((batch = { items: [], indexes: [], bytes: 0, values: 0, isSafe: true }));
      batch.items.push(read.bytes);
      batch.indexes.push(index);
      batch.bytes += read.bytes.length;
      batch.values += read.values;
      batch.isSafe &&= read.hasKey;
    }
    return batches;
  }

  async #publishBatch(batch, results, timeoutMs) {
    let replies;
    try {
      const id = this.#link.nextId();
      const reply = await this.#link.request(id, encodeBatch(id, timeoutMs, batch.items), timeoutMs, batch.isSafe);
      const { results: all } = accepted(reply);
      mustBe(Array.isArray(all) && all.length === batch.items.length, 'there is no result for each item');
      replies = all.map((result) => (result.ok ? position(result) : { error: refusalOf(result) }));
    } catch (error) {
      replies = batch.items.map(() => ({ error }));
    }
    batch.indexes.forEach((index, i) => {
      results[index] = replies[i];
    });
  }
}

// {bytes, values, hasKey}
function readItem(item, place) {
  mustKnow(item, ['channel', 'payload', ...PUBLISH_OPTIONS], place);
  const { channel, payload, ...options } = item;
  try {
    const [request, values] = publication(channel, payload, options);
    const bytes = encode(request);
    if (bytes.length <= ITEMS_BYTES) return { bytes, values, hasKey: request.key !== undefined };
  } catch (error) {
    if (error instanceof MillraceError) error.message = `${place}.${error.message}`;
    throw error;
  }
  throw new TooLargeError(`${place}: larger than ${ITEMS_BYTES} bytes`, { outcome: 'not sent' });
}

function fits(batch, { bytes, values }) {
  return batch.items.length < ITEMS && batch.bytes + bytes.length <= ITEMS_BYTES && batch.values + values <= REQUEST_VALUES;
}

// {op, id, at, within, items} around items that are msgpack already.
function encodeBatch(id, timeoutMs, items) {
  const head = encode({ op: 'publish_many', id, at: nowMs(), within: timeoutMs, items: [] }).subarray(0, -1); // without the empty array
  return Buffer.concat([head, Buffer.from([0xdc, items.length >> 8, items.length & 0xff]), ...items]);
}
