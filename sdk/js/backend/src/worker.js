// The side of a connection that is asked: takes the broker's checks, lets handlers decide, answers.
//
// While a handler is registered this listens on the link, which keeps the process alive. Answers belong
// to the connection on which the question came: when that broke, the broker has asked somebody else.
import { checkOf, checksOf } from './permissions.js';
import { decideAll, messageOf } from './decisions.js';
import { MillraceError } from './errors.js';
import { Registrations } from './registrations.js';
import { accepted } from './reply.js';
import { encode } from './wire.js';

// The broker sends an empty check every second. After so long a silence it
// does not know this connection as the one that registered: ZeroMQ may have made another one unnoticed.
const SILENCE_MS = 5000;
// For close({now: true}): enough for the broker to be told, where it is there.
const HASTE_MS = 250;

function nobody() {
  throw new MillraceError('no permission handler is registered here for this channel', { status: 503, code: 'no_handler' });
}

const decide = ({ handler, channel, subscriber, context }) => handler(channel, subscriber, context);

export class Worker {
  #link;
  #timeoutMs;
  #handlerTimeoutMs;
  #onHandlerError;
  #registrations;
  #isListening = false;
  #connection = 0; // counts them
  #askedMs = 0;
  #open = 0; // batches that are not decided
  #waiting = []; // for #open to be 0

  constructor(link, { timeoutMs, handlerTimeoutMs, onHandlerError }) {
    const worker = this;
    this.#link = link;
    this.#timeoutMs = timeoutMs;
    this.#handlerTimeoutMs = handlerTimeoutMs;
    this.#onHandlerError = onHandlerError;
    this.#registrations = new Registrations({
      ask: (op, request) => this.#ask(op, request),
      report: (error, about) => this.#report(error, about),
      changed: () => this.#listenOrNot(),
      endpoint: link.endpoint,
      get isGreeted() {
        return worker.#isListening && link.isGreeted;
      },
    });
  }

  // --- for the program ---

  // Resolves when the broker has it. Whoever does not wait for that is told by onHandlerError alone.
  register(place, handler, timeoutMs) {
    const registered = this.#registrations.set(place, handler, timeoutMs);
    registered.catch(() => {});
    return registered;
  }

  unregister(place, timeoutMs) {
    const removed = this.#registrations.remove(place, timeoutMs);
    removed.catch(() => {});
    return removed;
  }

  // What is wrong with a registration before it is one.
  refused(error) {
    this.#report(error, { during: 'registration', handlers: [] });
    const refused = Promise.reject(error);
    refused.catch(() => {});
    return refused;
  }

  // The decision of the most specific handler of this process. What fails, rejects.
  async check(app, channel, subscriber, context) {
    const handler = this.#registrations.find(app, channel) ?? (() => ({ read: true }));
    let failure;
    const [answer] = await decideAll([{ handler, channel, subscriber, context }], this.#handlerTimeoutMs, decide, (error) => {
      failure = error;
    });
    if (answer.error) throw failure;
    return answer;
  }

  // Off the broker, then all that it has asked is answered. now: only the first, in haste.
  async close(now) {
    const left = await this.#registrations.end(now ? HASTE_MS : this.#timeoutMs);
    if (left > 0) {
      this.#report(new MillraceError(`the broker at ${this.#link.endpoint} has not confirmed that ${left} permission handlers are off; it may go on `
        + 'refusing what they would decide', { status: 503, code: 'unavailable', outcome: 'unknown' }), { during: 'registration', handlers: [] });
    }
    if (!now && this.#open > 0) {
      await new Promise((done) => this.#waiting.push(done));
      // There is no reply to an answer; one to what is sent behind it says that it has arrived.
      if (this.#link.isGreeted) await this.#ask('ping', {}).catch(() => {});
    }
    this.#unlisten();
  }

  // --- for the link ---

  greeted() {
    this.#connection++;
    this.#askedMs = performance.now();
    this.#registrations.renew();
  }

  idle() {
    if (performance.now() - this.#askedMs > SILENCE_MS) this.greeted();
  }

  received(frame) {
    if (frame?.op === 'check') return this.#checked(frame);
    // The broker writes the id of a reply first: without one this was none.
    if (!frame?.unreadable || frame.id !== null) return;
    this.#report(new MillraceError(`the broker's message cannot be read: ${frame.unreadable}`, { code: 'unreadable' }), { during: 'protocol' });
  }

  // --- checks ---

  #checked(frame) {
    this.#askedMs = performance.now();
    let checks;
    try {
      checks = checksOf(frame);
    } catch (error) {
      return this.#report(error, { during: 'protocol' });
    }
    this.#answer(frame.id, checks.map((check) => this.#read(check)));
  }

  // {handler, channel, subscriber, context}; one that cannot be read fails alone.
  #read(check) {
    try {
      const read = checkOf(check);
      return { ...read, handler: this.#registrations.find(read.app, read.channel) ?? nobody };
    } catch (error) {
      return {
        handler() {
          throw error;
        },
      };
    }
  }

  async #answer(id, checks) {
    const connection = this.#connection;
    this.#open++;
    const answers = await decideAll(checks, this.#handlerTimeoutMs, decide, (error, check) => this.#failed(error, check));
    this.#open--;
    if (connection === this.#connection) this.#link.note(encode({ op: 'answer', id, answers }));
    if (this.#open > 0) return;
    this.#listenOrNot();
    for (const done of this.#waiting.splice(0)) done();
  }

  #failed(error, { channel, subscriber, context }) {
    if (!channel) this.#report(error, { during: 'protocol' });
    else this.#report(error, { during: 'check', channel, subscriber, requestId: context.requestId });
  }

  // --- errors ---

  // A reporter that fails must not take the connection along.
  #report(error, about) {
    const failed = (reason) => console.error('@millrace/backend: onHandlerError failed:', reason);
    try {
      const result = this.#onHandlerError(error, about);
      if (typeof result?.then === 'function') result.then(undefined, failed);
    } catch (reason) {
      failed(reason);
    }
  }

  // --- the link ---

  async #ask(op, request) {
    const id = this.#link.nextId();
    return accepted(await this.#link.ask(id, encode({ op, id, ...request }), this.#timeoutMs));
  }

  #listenOrNot() {
    if (this.#registrations.size > 0) this.#listen();
    else if (this.#open === 0) this.#unlisten();
  }

  #listen() {
    if (this.#isListening) return;
    this.#isListening = true;
    this.#askedMs = performance.now();
    this.#link.listen(this);
  }

  #unlisten() {
    if (!this.#isListening) return;
    this.#isListening = false;
    this.#link.unlisten();
  }
}

const textOf = (name) => (name === 'default' ? 'the default handler' : name.name + (name.resourceId ? `:${name.resourceId}` : ''));

// One line for people, without what a stack trace would give away.
export function printHandlerError(error, { during, channel, handlers = [] }) {
  const where = channel ? [channel] : handlers;
  const places = where.slice(0, 3).map(textOf).join(', ') + (where.length > 3 ? ` and ${where.length - 3} more` : '');
  const what = { check: 'permission check', registration: 'registration of permission handlers', protocol: 'permission checks' }[during];
  console.error(`@millrace/backend: ${what}${places && ` (${JSON.stringify(places).slice(1, -1)})`}: ${messageOf(error)}`);
}
