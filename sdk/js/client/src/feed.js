// feed - one address: one subscription of the SDK, shared by the program's subscriptions to it.
//
// The SDK emits `subscribed` before the publications that were recovered, in the same turn. The
// program is to have them when onSubscribed runs, so that runs in a microtask of its own.
import { call, report } from './call.js';
import { statusOf, SubscriptionError } from './error.js';

// How many messages the gateway has left out in front of this one, because they waited too long here.
function missedBefore(tags) {
  const count = Number(tags?.missed);
  return Number.isSafeInteger(count) ? count : 0;
}

/** One subscription of the program. */
export class Listener {
  #onMessage;
  #onSubscribed;
  #onSubscriptionError;
  #onMissed;
  #told = false; // onSubscribed has run, or would have
  #next; // undefined, or the isSynced that it is to run with

  constructor(id, onMessage, { onSubscribed, onSubscriptionError, onMissed }) {
    this.id = id;
    this.#onMessage = onMessage;
    this.#onSubscribed = onSubscribed;
    this.#onSubscriptionError = onSubscriptionError;
    this.#onMissed = onMissed;
  }

  subscribed(recovered) {
    this.#next = recovered && this.#told && this.#next !== false;
  }

  announce() {
    const isSynced = this.#next;
    if (isSynced === undefined) return;
    this.#next = undefined;
    this.#told = true;
    if (this.#onSubscribed) call(this.#onSubscribed, this.id, isSynced);
  }

  // Before the first onSubscribed there is nothing to add messages to.
  message(message, channel, details) {
    if (this.#told) call(this.#onMessage, message, channel, details);
  }

  missed(count) {
    if (this.#told && this.#onMissed) call(this.#onMissed, count, this.id);
  }

  // An end that nobody listens for is not passed over in silence.
  failed(error) {
    if (this.#onSubscriptionError) call(this.#onSubscriptionError, error, this.id);
    else if (!error.recoverable) report(error);
  }
}

export class Feed {
  #sdk;
  #subscription;
  #listeners = new Map();
  #restoring = false; // between `subscribed` and the last recovered publication
  #closed = false;
  #onEnd;

  // onEnd(feed): the server refused or ended it; its ids can still be asked for.
  constructor(sdk, { text, channel }, onEnd) {
    this.text = text;
    this.channel = channel;
    this.#sdk = sdk;
    this.#onEnd = onEnd;
    const subscription = sdk.newSubscription(text, { recoverable: true, positioned: true });
    subscription.on('subscribed', (context) => this.#subscribed(context));
    subscription.on('publication', (publication) => this.#published(publication));
    subscription.on('unsubscribed', ({ code, reason }) => this.#ended(code, reason));
    subscription.on('error', ({ error }) => this.#delayed(error));
    this.#subscription = subscription;
  }

  get size() {
    return this.#listeners.size;
  }

  get ids() {
    return this.#listeners.keys();
  }

  add(listener) {
    this.#listeners.set(listener.id, listener);
    if (!this.#isSubscribed()) return this.#subscription.subscribe();
    listener.subscribed(false);
    this.#announceSoon();
  }

  remove(id) {
    return this.#listeners.delete(id);
  }

  // No handler runs afterwards.
  close() {
    this.#listeners.clear();
    this.#leave();
  }

  // The SDK's events go on to be listened to: an `error` that nobody takes would end the connection.
  #leave() {
    this.#closed = true;
    this.#sdk.removeSubscription(this.#subscription);
  }

  fail(errorCode, message, details) {
    for (const listener of [...this.#listeners.values()]) {
      if (!this.#listeners.has(listener.id)) continue; // removed by a handler before this one
      listener.failed(new SubscriptionError(errorCode, message, { ...details, channel: this.channel }));
    }
  }

  #isSubscribed() {
    return this.#subscription.state === 'subscribed';
  }

  #subscribed({ recovered, hasRecoveredPublications }) {
    this.#restoring = hasRecoveredPublications;
    for (const listener of this.#listeners.values()) listener.subscribed(recovered);
    this.#announceSoon();
  }

  #announceSoon() {
    queueMicrotask(() => {
      this.#restoring = false;
      for (const listener of this.#listeners.values()) {
        // A handler may have ended the subscription, or the connection: it runs after the next time.
        if (!this.#isSubscribed()) return;
        listener.announce();
      }
    });
  }

  #published({ data, info, offset, tags }) {
    const details = { offset, restored: this.#restoring };
    const missed = missedBefore(tags);
    for (const listener of this.#listeners.values()) {
      if (missed > 0) listener.missed(missed);
      if (!this.#listeners.has(listener.id)) continue; // removed by its handler
      const message = info?.user ? { payload: data, publisher: { id: info.user } } : { payload: data };
      listener.message(message, this.channel, details);
    }
  }

  // A temporary error: the SDK asks again.
  #delayed({ code, message }) {
    this.fail('SUBSCRIPTION_FAILED', `the subscription to ${this.text} has to wait: ${message} (${code})`, {
      recoverable: true,
      status: statusOf(code),
    });
  }

  // Forgotten first: a handler may subscribe to the address again.
  #ended(code, reason) {
    if (this.#closed) return;
    this.#leave();
    this.#onEnd(this);
    const what = code >= 2000 ? 'was ended' : 'was refused';
    this.fail('SUBSCRIPTION_FAILED', `the subscription to ${this.text} ${what}: ${reason} (${code})`, {
      status: statusOf(code),
    });
    this.#listeners.clear();
  }
}
