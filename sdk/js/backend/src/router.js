// permissionsRouter as programs use it.
import { randomUUID } from 'node:crypto';
import { channelOf, HANDLER_OPTIONS, mustBeHandler, placeOf, subscriberOf } from './permissions.js';

/** For a worker; read(options, known) -> options with timeoutMs, or an error. */
export function routerOf(worker, read) {
  // Of the default handler: channel null. An error is a rejection, like those of the broker.
  function register(channel, handler, options) {
    try {
      const { timeoutMs, ...rest } = read(options, HANDLER_OPTIONS);
      const place = placeOf(channel, rest);
      mustBeHandler(handler);
      return worker.register(place, handler, timeoutMs);
    } catch (error) {
      return worker.refused(error);
    }
  }

  function unregister(channel, options) {
    try {
      const { timeoutMs, ...rest } = read(options, HANDLER_OPTIONS);
      return worker.unregister(placeOf(channel, rest), timeoutMs);
    } catch (error) {
      return worker.refused(error);
    }
  }

  return Object.freeze({
    default: (handler, options = {}) => register(null, handler, options),
    add: (channel, handler, options = {}) => register(channel ?? undefined, handler, options),
    remove: (channel, options = {}) => unregister(channel ?? undefined, options),
    removeDefault: (options = {}) => unregister(null, options),

    async check(channel, subscriber, options = {}) {
      const { timeoutMs, ...rest } = read(options, HANDLER_OPTIONS);
      const { level, site = '', app = '' } = placeOf(channel ?? undefined, rest);
      const context = { requestId: randomUUID(), site, app };
      return worker.check(app, channelOf(level.channel, level.resource), subscriberOf(subscriber), context);
    },
  });
}
