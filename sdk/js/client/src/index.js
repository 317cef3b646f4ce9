// @millrace/client: subscribe to channels, from browsers and from Node.
import { Centrifuge } from 'centrifuge';
import { Client } from './client.js';

export { SubscriptionError } from './error.js';

let defaultClient = null;

/** A connection of its own. It opens with the first subscription and closes after the last one, or as connect() and close() say. */
export function createClient(options) {
  return new Client(options, Centrifuge);
}

/** Sets up the connection that subscribe() and unsubscribe() use; it opens with the first subscription. */
export function configure(options) {
  if (defaultClient) throw new Error('there is a default connection already; close() it first');
  defaultClient = createClient(options);
  return defaultClient;
}

/** The same, opened at once and kept open until close(). */
export function connect(options) {
  const client = configure(options);
  client.connect();
  return client;
}

function client() {
  if (!defaultClient) throw new Error('there is no connection yet: call connect({url}) or configure({url}) first');
  return defaultClient;
}

export function subscribe(channel, onMessage, options) {
  return client().subscribe(channel, onMessage, options);
}

export function unsubscribe(options) {
  client().unsubscribe(options);
}

export function onConnection(handler) {
  return client().onConnection(handler);
}

/** Ends the default connection; connect() or configure() may set up another one. */
export function close() {
  defaultClient?.close();
  defaultClient = null;
}

export const subscriber = Object.freeze({ subscribe, unsubscribe });
