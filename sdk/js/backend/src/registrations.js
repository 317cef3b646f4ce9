// Which handlers this connection has, and what the broker knows of them.
//
// A program says what it wants; we bring the broker there, at most one request at a time for each
// handler, on every connection anew. For a handler that is
//
//   wanted      and not known     handle
//   not wanted  and known         unhandle
//               and maybe stored  handle: whoever takes the last worker off ends a registration
//               and neither       forgotten
//
// What fails is tried again, later and later, except a first registration that the broker refuses:
// that handler is given up. A promise of set() or remove() is about its own time only.
import { ClosedError, DisconnectedError, MillraceError, TimeoutError } from './errors.js';
import { addressOf, channelOf } from './permissions.js';

const HANDLERS = 1024; // in a request
const RETRY_MS = 500;
const RETRY_MAX_MS = 30000;

const [IDLE, ASKED, WAITING] = [0, 1, 2];

class Registration {
  wanted = true;
  known = false; // the broker has told this connection so
  maybe = false; // the broker may have it, from this connection or one before
  state = IDLE;
  failures = 0;
  waiters = { add: new Set(), remove: new Set() };

  constructor(address, level, app) {
    this.address = address;
    this.level = level;
    this.app = app;
  }

  // As a program names it.
  get name() {
    return this.level.channel === undefined ? 'default' : channelOf(this.level.channel, this.level.resource);
  }

  // What to ask of the broker now, if anything.
  step() {
    if (this.state !== IDLE) return null;
    if (this.known) return this.wanted ? null : 'unhandle';
    return this.wanted || this.maybe ? 'handle' : null;
  }
}

// Requests hold handlers of one site and one app.
function* requestsOf(registrations) {
  const groups = new Map();
  for (const at of registrations) {
    const key = `${at.site ?? ''}/${at.app}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(at);
  }
  for (const group of groups.values()) {
    for (let i = 0; i < group.length; i += HANDLERS) yield group.slice(i, i + HANDLERS);
  }
}

// The broker has decided, and will not decide otherwise a moment later.
function isFinal({ outcome, status }) {
  return outcome === 'refused' && status < 500 && status !== 429;
}

export class Registrations {
  #all = new Map(); // by address
  #due = new Set(); // to be looked at
  #isScheduled = false;
  #overdue = [];
  #ended = null; // or what is called when none is left
  #broker;

  // broker: {ask(op, request) -> promise, isGreeted, endpoint, report(error, about), changed()}
  constructor(broker) {
    this.#broker = broker;
  }

  get size() {
    return this.#all.size;
  }

  // The most specific handler, or undefined.
  find(app, { name, resourceId }) {
    const all = this.#all;
    const at = (resourceId && all.get(addressOf(app, name, resourceId))) || all.get(addressOf(app, name)) || all.get(addressOf(app));
    return at?.handler;
  }

  // --- what the program wants ---

  set({ level, site, app = '' }, handler, timeoutMs) {
    if (this.#ended) throw new ClosedError('the connection is closed', 'not sent');
    const address = addressOf(app, level.channel, level.resource);
    let at = this.#all.get(address);
    if (!at) this.#all.set(address, (at = new Registration(address, level, app)));
    Object.assign(at, { handler, site, wanted: true });
    this.#resolve(at, 'remove'); // overtaken
    this.#broker.changed();
    return at.known && at.state === IDLE ? Promise.resolve() : this.#wait(at, 'add', timeoutMs);
  }

  remove({ level, app = '' }, timeoutMs) {
    const at = this.#all.get(addressOf(app, level.channel, level.resource));
    if (!at) return Promise.resolve();
    at.wanted = false;
    this.#reject(at, 'add', new MillraceError('the handler was removed before it was registered', { status: 409, code: 'removed', outcome: 'unknown' }));
    return this.#wait(at, 'remove', timeoutMs);
  }

  // All is to be off the broker; returns how many are not, after that time.
  async end(timeoutMs) {
    const closed = new ClosedError('the connection was closed before the handler was registered', 'unknown');
    await new Promise((done) => {
      const timer = setTimeout(done, timeoutMs);
      this.#ended = () => {
        clearTimeout(timer);
        done();
      };
      for (const at of this.#all.values()) {
        at.wanted = false;
        this.#reject(at, 'add', closed);
        this.#due.add(at);
      }
      this.#flush();
    });
    const left = [...this.#all.values()];
    for (const at of left) this.#forget(at);
    this.#due.clear();
    return left.length;
  }

  #wait(at, kind, timeoutMs) {
    this.#due.add(at);
    this.#schedule();
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      waiter.timer = setTimeout(() => this.#expire(at, kind, waiter, timeoutMs), timeoutMs).unref();
      at.waiters[kind].add(waiter);
    });
  }

  #resolve(at, kind) {
    for (const { timer, resolve } of at.waiters[kind]) {
      clearTimeout(timer);
      resolve();
    }
    at.waiters[kind].clear();
  }

  #reject(at, kind, error) {
    for (const { timer, reject } of at.waiters[kind]) {
      clearTimeout(timer);
      reject(error);
    }
    at.waiters[kind].clear();
  }

  #expire(at, kind, waiter, timeoutMs) {
    at.waiters[kind].delete(waiter);
    const what = kind === 'add' ? 'confirmed this handler' : 'taken this handler off';
    const error = new TimeoutError(`the broker at ${this.#broker.endpoint} has not ${what} within ${timeoutMs} ms; the connection goes on trying`,
      at.maybe ? 'unknown' : 'not sent');
    waiter.reject(error);
    // Thousands may be late together: told at once.
    if (this.#overdue.push(at) > 1) return;
    setImmediate(() => this.#report(error, this.#overdue.splice(0)));
  }

  #report(error, registrations) {
    this.#broker.report(error, { during: 'registration', handlers: registrations.map(({ name }) => name) });
  }

  // --- what the broker is to know ---

  // Nothing that the broker was told before counts any more.
  renew() {
    for (const at of this.#all.values()) {
      at.known = false;
      if (at.state === WAITING) at.state = IDLE;
      this.#due.add(at);
    }
    this.#flush();
  }

  // In a microtask: what a program registers in one go is one request.
  #schedule() {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#flush());
  }

  #flush() {
    this.#isScheduled = false;
    const steps = { unhandle: [], handle: [] };
    for (const at of this.#due) {
      const step = at.step();
      if (step) steps[step].push(at);
      else this.#look(at);
    }
    if (this.#ended && this.#all.size === 0) this.#ended();
    if (!this.#broker.isGreeted) return; // renew() will come
    this.#due.clear();
    for (const [op, registrations] of Object.entries(steps)) {
      for (const some of requestsOf(registrations)) this.#ask(op, some);
    }
  }

  // At one for which there is nothing to ask: is it where the program wants it?
  #look(at) {
    if (at.state !== IDLE) return;
    if (at.wanted) this.#resolve(at, 'add');
    else this.#forget(at);
  }

  #forget(at) {
    this.#resolve(at, 'remove');
    this.#due.delete(at);
    this.#all.delete(at.address);
    this.#broker.changed();
  }

  async #ask(op, registrations) {
    const [{ site, app }] = registrations;
    const before = registrations.map(({ maybe }) => maybe);
    for (const at of registrations) {
      at.state = ASKED;
      at.maybe = true;
    }
    try {
      await this.#broker.ask(op, { handlers: registrations.map(({ level }) => level), site, app: app || undefined });
    } catch (error) {
      return this.#failed(op, registrations, before, error);
    }
    for (const at of registrations) {
      Object.assign(at, { state: IDLE, failures: 0, known: op === 'handle', maybe: op === 'handle' });
      this.#due.add(at);
    }
    this.#flush();
  }

  #failed(op, registrations, before, error) {
    registrations.forEach((at, i) => {
      if (error.outcome !== 'unknown') at.maybe = before[i];
    });
    if (error instanceof ClosedError) return this.#wake(registrations, ASKED); // by us: what is left to do is to take them off
    // The connection says itself when there is another one.
    if (!(error instanceof DisconnectedError)) this.#report(error, registrations);
    if (error.outcome === 'refused') for (const at of registrations) this.#refused(op, at, error);
    this.#retry(registrations);
  }

  #refused(op, at, error) {
    this.#reject(at, op === 'handle' ? 'add' : 'remove', error);
    if (this.#ended || (isFinal(error) && !at.maybe)) this.#forget(at);
  }

  #retry(registrations) {
    const again = registrations.filter((at) => this.#all.get(at.address) === at);
    if (this.#ended && this.#all.size === 0) return this.#ended();
    if (again.length === 0) return;
    const failures = Math.max(...again.map((at) => at.failures++));
    for (const at of again) at.state = WAITING;
    setTimeout(() => this.#wake(again, WAITING), Math.min(RETRY_MS * 2 ** failures, RETRY_MAX_MS)).unref();
  }

  #wake(registrations, from) {
    for (const at of registrations) {
      if (at.state !== from || this.#all.get(at.address) !== at) continue;
      at.state = IDLE;
      this.#due.add(at);
    }
    this.#flush();
  }
}
