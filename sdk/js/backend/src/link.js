// Requests on their way over one ZeroMQ DEALER socket: many at a time, each with a deadline.
//
// ZeroMQ connects, and connects again, by itself. What it does with messages in between is bounded
// by the socket's options: without a connection it takes none (immediate), and what it held for a
// connection that broke is gone with it. So a request is in one of these places:
//
//   queue   not handed to ZeroMQ: whatever happens, the broker will not see it
//   urgent  the same, before the queue: what the listener asks. It is meant for the connection that
//           there is, and ends with it
//   sent    handed over on the connection that we have: it may have arrived
//   held    it has an idempotency key, and the connection on which it was sent broke. It is sent
//           again when the broker at the other end is the one that knows the key. Or the broker has
//           refused it because it is stopping: then it is sent to the next one, with a key or without
//
// That a connection broke is seen when a receive has run dry and the socket takes nothing any more:
// then all replies of that connection were read, and those that are not there will not come.
// ZeroMQ waits RECONNECT_MS before it connects again, and we look each SLICE_MS.
//
// ZeroMQ gives up for ever when what it read made no sense, as a network may garble it, and does not say so: what
// has not been connected for REDIAL_MS is connected anew.
//
// Nothing here keeps the process alive while no request is waiting and nobody listens: there is no
// pending receive then, and the timer is unreferenced.
//
// A listener is for what the broker says unasked. While there is one, we are always connected or
// trying to be, a loss is noticed without a request, and the process lives. It has three methods:
//
//   greeted()        a connection is new; what it asks now goes out first
//   received(frame)  what is no reply to a request
//   idle()           nothing came for SLICE_MS
//
// A broker that hangs keeps its connections. While something is waited for, we ask whether it is there (heart.js);
// when it hangs nothing more is sent, so that what waits may still say that it was not. A connection of which nothing is
// waited for is not looked at.
import { Dealer } from 'zeromq';
import { ClosedError, DisconnectedError, MillraceError, OverloadedError, TimeoutError } from './errors.js';
import { Heart } from './heart.js';
import { decode, encode, nowMs } from './wire.js';

const SLICE_MS = 50;
const RECONNECT_MS = 250;
const REDIAL_MS = 3000;
const HEARTBEAT_MS = 2000;
const HEARTBEAT_TIMEOUT_MS = 6000;
// A reply that has not come by then is not waited for any longer, not even to be thrown away.
const FORGOTTEN_MS = 60000;
const IDLE_MS = 1000;
const ID_MAX = 0xffffffff;

const [QUEUED, SENDING, SENT, HELD, DONE] = [0, 1, 2, 3, 4];

// What is queued to be sent again may have arrived the first time.
const unsent = (entry) => (entry.instance ? 'unknown' : 'not sent');

const isStopping = ({ ok, error }) => ok === false && error?.code === 'stopping';

const isAgain = (error) => error.code === 'EAGAIN';

export class Link {
  #endpoint;
  #maxPending;
  #maxBytes;
  #socket;
  #lastId = 0;

  #queue = [];
  #first = 0; // where the queue begins in #queue
  #sending = null; // what ZeroMQ is being given
  #sent = new Map(); // by id
  #held = [];
  #urgent = [];
  #notes = []; // bytes of the listener that have no reply
  #live = 0; // requests that are not decided
  #bytes = 0; // of these
  #waiting = []; // for #live to be 0

  #instance = null; // of the broker, once this connection's greeting was answered
  #mustGreet = true;
  #isHeard = false; // on this connection
  #heardMs = 0;
  #dialedMs = performance.now(); // or when it was last seen to be connected
  #heart = new Heart();
  #beatId = 0; // of the last ping; 0: none
  #mustBeat = false;
  #state = 'connecting';
  #tell;
  #listener = null;

  #timer = null;
  #timerMs = Infinity;
  #pumping = false;
  #reading = false;
  #closed = false;

  constructor({ endpoint, maxPending, maxQueuedBytes, onStateChange }) {
    this.#endpoint = endpoint;
    this.#tell = onStateChange;
    this.#maxPending = maxPending;
    this.#maxBytes = maxQueuedBytes;
    this.#socket = new Dealer({
      immediate: true,
      linger: 0,
      sendHighWaterMark: 0, // maxPending and maxQueuedBytes are the bounds
      receiveHighWaterMark: 0,
      sendTimeout: SLICE_MS,
      receiveTimeout: SLICE_MS,
      reconnectInterval: RECONNECT_MS,
      heartbeatInterval: HEARTBEAT_MS,
      heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
      ipv6: endpoint.includes('['),
    });
    this.#socket.connect(endpoint);
  }

  nextId() {
    this.#lastId = this.#lastId === ID_MAX ? 1 : this.#lastId + 1;
    return this.#lastId;
  }

  // The reply to a request with this id, or an error. isSafe: it may be sent again to the same broker.
  request(id, bytes, timeoutMs, isSafe) {
    if (this.#closed) return Promise.reject(new ClosedError('the connection is closed', 'not sent'));
    if (this.#bytes + bytes.length > this.#maxBytes) return Promise.reject(this.#fullError());
    return this.#enter({ id, bytes, timeoutMs, isSafe }, this.#queue);
  }

  #enter(request, queue) {
    return new Promise((resolve, reject) => {
      const deadlineMs = performance.now() + request.timeoutMs;
      const entry = { ...request, size: request.bytes.length, deadlineMs, isUrgent: queue === this.#urgent, isOwn: false, isNote: false,
        state: QUEUED, instance: null, ended: null, resolve, reject };
      this.#live++;
      this.#bytes += entry.size;
      queue.push(entry);
      this.#wakeAt(deadlineMs);
      this.#pump();
      this.#read(); // when it hangs, to hear that this is over
    });
  }

  // Takes no more requests. now: those that are under way end here.
  shut(now) {
    this.#closed = true;
    if (now) this.#abandon();
  }

  // When nothing is under way any more.
  async close() {
    this.shut(false);
    if (this.#live > 0) {
      await new Promise((done) => this.#waiting.push(done));
    }
    clearTimeout(this.#timer);
    this.#socket.close();
    this.#see();
  }

  // --- how it is ---

  // 'connecting', 'connected', 'hung' or 'closed'.
  get state() {
    return this.#state;
  }

  #see() {
    const open = this.#heart.isHung ? 'hung' : this.#isHeard ? 'connected' : 'connecting';
    const before = this.#state;
    this.#state = this.#socket.closed ? 'closed' : open;
    if (this.#state !== before) this.#tell(this.#state, before);
  }

  // --- the listener ---

  listen(listener) {
    this.#listener = listener;
    this.#read();
    this.#pump();
  }

  unlisten() {
    this.#listener = null;
  }

  // What is asked now would be sent.
  get isGreeted() {
    return !this.#mustGreet;
  }

  get endpoint() {
    return this.#endpoint;
  }

  // As request(), before all that waits, also after shut(), and on this connection or not at all.
  ask(id, bytes, timeoutMs) {
    return this.#enter({ id, bytes, timeoutMs, isSafe: false }, this.#urgent);
  }

  // To be sent on this connection, or not at all.
  note(bytes) {
    if (this.#mustGreet) return;
    this.#notes.push(bytes);
    this.#pump();
  }

  // --- ends of requests ---

  #settle(entry) {
    if (entry.state === DONE) return false;
    entry.state = DONE;
    entry.bytes = null;
    this.#bytes -= entry.size;
    if (--this.#live === 0) for (const done of this.#waiting) done();
    return true;
  }

  #fail(entry, error) {
    if (this.#settle(entry)) entry.reject(error);
  }

  #fullError() {
    return new OverloadedError(`more than ${this.#maxBytes} bytes are waiting for the broker at ${this.#endpoint}`,
      { status: 429, code: 'queue_full', outcome: 'not sent' });
  }

  #timeoutError(entry, outcome) {
    const when = `within ${entry.timeoutMs} ms`;
    if (this.#heart.isHung && outcome === 'not sent') {
      return new TimeoutError(`the broker at ${this.#endpoint} hangs, so this request was not sent ${when}`, outcome);
    }
    if (outcome === 'unknown') {
      return new TimeoutError(`the broker at ${this.#endpoint} has not answered ${when}; whether the request arrived is not known`, outcome);
    }
    if (this.#sent.size > 0) {
      return new TimeoutError(`the broker at ${this.#endpoint} has not answered earlier requests, so this one was not sent ${when}`, outcome);
    }
    return new TimeoutError(`no connection to the broker at ${this.#endpoint} ${when}; the request was not sent`, outcome);
  }

  // `errorOf(outcome)`; for an entry that ZeroMQ may be taking right now, when that is clear.
  #end(entry, errorOf) {
    if (entry.state === SENDING) entry.ended = errorOf;
    else this.#fail(entry, errorOf(entry.state === SENT ? 'unknown' : unsent(entry)));
  }

  // Requests of the program and of the listener.
  *#undecided() {
    const places = [this.#sending ? [this.#sending] : [], this.#urgent, this.#queue.slice(this.#first), this.#sent.values(), this.#held];
    for (const place of places) {
      for (const entry of place) if (!entry.isOwn && entry.state !== DONE) yield entry;
    }
  }

  #abandon() {
    const error = (outcome) => new ClosedError('the connection was closed before the answer came', outcome);
    for (const entry of [...this.#undecided()]) this.#end(entry, error);
    this.#held = [];
    this.#urgent = [];
  }

  // --- deadlines ---

  #wakeAt(ms) {
    if (ms >= this.#timerMs) return;
    clearTimeout(this.#timer);
    this.#timerMs = ms;
    this.#timer = setTimeout(() => this.#expire(), Math.max(ms - performance.now(), 0) + 1);
    this.#timer.unref();
  }

  #expire() {
    const now = performance.now();
    let next = Infinity;
    for (const entry of [...this.#undecided()]) {
      if (entry.deadlineMs > now) next = Math.min(next, entry.deadlineMs);
      else if (!entry.ended) this.#end(entry, (outcome) => this.#timeoutError(entry, outcome));
    }
    this.#held = this.#held.filter((entry) => entry.state !== DONE);
    this.#urgent = this.#urgent.filter((entry) => entry.state !== DONE);
    this.#forget(now);
    this.#timerMs = Infinity;
    if (next < Infinity) this.#wakeAt(next);
    this.#pump();
  }

  // Makes room of requests that nobody waits for any more.
  #forget(now) {
    for (const [id, entry] of this.#sent) {
      if (entry.state === DONE && now - entry.deadlineMs > FORGOTTEN_MS) this.#sent.delete(id);
    }
  }

  // --- out ---

  // The next request for ZeroMQ, or null: none now.
  #next() {
    if (this.#live === 0) {
      this.#queue = [];
      this.#first = 0;
      if (!this.#listener && this.#notes.length === 0) return null;
    }
    if (this.#mustGreet) return this.#greeting();
    if (this.#mustBeat) return this.#ping();
    if (this.#notes.length > 0) return this.#own({ bytes: this.#notes.shift(), isNote: true });
    if (this.#heart.isHung) return null;
    if (this.#sent.size >= this.#maxPending) return null;
    if (this.#urgent.length > 0) return this.#urgent.shift();
    if (this.#held.length > 0) return null;
    let entry = this.#shift();
    while (entry && entry.state !== QUEUED) entry = this.#shift();
    if (!entry || !this.#isStale(entry)) return entry;
    this.#instance = null;
    this.#unshift(entry);
    return this.#greeting();
  }

  #shift() {
    if (this.#first === this.#queue.length) return null;
    const entry = this.#queue[this.#first];
    this.#queue[this.#first++] = null;
    if (this.#first > 1024 && this.#first > this.#queue.length / 2) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
    return entry;
  }

  #unshift(entry) {
    if (this.#first > 0) this.#queue[--this.#first] = entry;
    else this.#queue.unshift(entry);
  }

  // ZeroMQ may have connected to another broker while nothing was under way.
  #isStale(entry) {
    return entry.isSafe && this.#instance && this.#sent.size === 0 && performance.now() - this.#heardMs > IDLE_MS;
  }

  #greeting() {
    const id = this.nextId();
    return this.#own({ id, bytes: encode({ op: 'ping', id, at: nowMs() }), isNote: false });
  }

  // The one before is not waited for any longer.
  #ping() {
    this.#mustBeat = false;
    this.#sent.delete(this.#beatId);
    const { id, ...ping } = this.#greeting();
    this.#beatId = id;
    return { ...ping, id, isBeat: true };
  }

  // A greeting, a ping or a note: nobody waits for it.
  #own(entry) {
    return { ...entry, isOwn: true, ended: null, state: QUEUED };
  }

  // One send at a time, as zeromq wants it.
  async #pump() {
    if (this.#pumping) return;
    this.#pumping = true;
    for (let entry = this.#next(); entry; entry = this.#next()) await this.#send(entry);
    this.#pumping = false;
  }

  async #send(entry) {
    entry.state = SENDING;
    this.#sending = entry;
    let failure = null;
    try {
      await this.#socket.send(entry.bytes);
    } catch (error) {
      failure = error;
    }
    this.#sending = null;
    if (failure) this.#wasNotSent(entry, failure);
    else if (entry.state === SENDING) this.#wasSent(entry);
  }

  // Without a connection the socket takes nothing. One that we still count on is seen to be lost first: the next
  // one must not be taken for it.
  #redial() {
    const now = performance.now();
    const isCountedOn = !this.#mustGreet && this.#isExpecting();
    if (this.#socket.closed || isCountedOn || now - this.#dialedMs < REDIAL_MS) return;
    this.#dialedMs = now;
    try {
      this.#socket.disconnect(this.#endpoint);
    } catch {
      // it was forgotten indeed
    }
    this.#socket.connect(this.#endpoint);
  }

  #wasSent(entry) {
    this.#dialedMs = performance.now();
    if (entry.isNote) return;
    entry.state = SENT;
    this.#sent.set(entry.id, entry);
    if (entry.ended) this.#fail(entry, entry.ended('unknown'));
    if (entry.isOwn && this.#mustGreet) {
      this.#mustGreet = false;
      this.#listener?.greeted();
    }
    this.#read();
  }

  #wasNotSent(entry, failure) {
    if (isAgain(failure)) this.#redial();
    if (entry.isOwn) return;
    entry.state = QUEUED;
    if (entry.ended) this.#fail(entry, entry.ended(unsent(entry)));
    else if (isAgain(failure) && entry.isUrgent) this.#disconnected(entry, this.#broke());
    else if (isAgain(failure)) this.#unshift(entry);
    else this.#fail(entry, new MillraceError(`ZeroMQ refused the request: ${failure.message}`, { outcome: unsent(entry) }));
  }

  // --- in ---

  async #read() {
    if (this.#reading) return;
    this.#reading = true;
    while (this.#isExpecting()) await this.#receive();
    this.#reading = false;
  }

  #isExpecting() {
    const waitsForLoss = !this.#mustGreet
      && (this.#listener !== null || this.#held.length > 0 || (this.#heart.isHung && this.#live > 0));
    return waitsForLoss || (this.#live > 0 && this.#sent.size > 0);
  }

  async #receive() {
    try {
      this.#take(await this.#socket.receive());
    } catch (error) {
      if (this.#socket.closed) return;
      if (!isAgain(error) || !this.#socket.writable) this.#lost();
      else this.#silent();
    }
  }

  #silent() {
    this.#listener?.idle();
    if (this.#mustGreet || !this.#heart.beat(performance.now(), this.#heardMs)) return;
    this.#mustBeat = true;
    this.#see();
    this.#pump();
  }

  #hear() {
    this.#heardMs = performance.now();
    this.#isHeard = true;
    this.#heart.heard();
    this.#see();
  }

  #take(frames) {
    this.#hear();
    const reply = decode(frames[0]);
    // What has an op is no reply, whatever its id.
    const entry = reply?.op === undefined ? this.#asked(reply?.id) : null;
    if (!entry) return this.#listener?.received(reply);
    this.#sent.delete(reply.id);
    if (entry.isBeat) this.#beatId = 0;
    else if (entry.isOwn) this.#welcome(reply.instance);
    else if (isStopping(reply)) this.#stopping(entry);
    else if (this.#settle(entry)) entry.resolve(reply);
    this.#pump();
  }

  // Nothing more is sent on this connection; its end will be seen.
  #stopping(entry) {
    if (entry.state === DONE) return;
    if (entry.isUrgent) return this.#disconnected(entry, `the broker at ${this.#endpoint} is stopping`);
    entry.state = HELD;
    this.#held.push(entry);
  }

  // A reply may be read before ZeroMQ has told us that it took the request.
  #asked(id) {
    const { state, id: sending } = this.#sending ?? {};
    if (state === SENDING && sending === id) this.#wasSent(this.#sending);
    return this.#sent.get(id);
  }

  // --- another connection ---

  #disconnected(entry, why) {
    this.#fail(entry, new DisconnectedError(`${why}; whether the request arrived is not known`));
  }

  #broke() {
    return `the connection to the broker at ${this.#endpoint} broke before it answered`;
  }

  #lost() {
    this.#dialedMs = performance.now();
    for (const entry of this.#sent.values()) {
      if (entry.state === DONE || entry.isOwn) continue;
      if (!entry.isSafe || !this.#instance) {
        this.#disconnected(entry, this.#broke());
        continue;
      }
      entry.state = HELD;
      entry.instance = this.#instance;
      this.#held.push(entry);
    }
    for (const entry of this.#urgent) this.#disconnected(entry, this.#broke());
    this.#sent.clear();
    this.#urgent = [];
    this.#notes = [];
    this.#instance = null;
    this.#mustGreet = true;
    this.#mustBeat = this.#isHeard = false;
    this.#heart.heard();
    this.#see();
    this.#pump();
  }

  // What was held goes out first, in its order, if this broker is the one that it was sent to.
  #welcome(instance) {
    this.#instance = instance;
    const again = [];
    for (const entry of this.#held) {
      if (entry.state === DONE) continue;
      if (entry.instance === null || entry.instance === instance) {
        entry.state = QUEUED;
        again.push(entry);
      } else {
        this.#disconnected(entry, `the broker at ${this.#endpoint} was started anew before it answered, and has forgotten the keys`);
      }
    }
    this.#held = [];
    if (again.length === 0) return;
    this.#queue = [...again, ...this.#queue.slice(this.#first)];
    this.#first = 0;
  }
}
