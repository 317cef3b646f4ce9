// @millrace/backend - publish to Millrace channels from Node. See README.md.
import { Backend } from './backend.js';

export {
  BadInputError, ClosedError, ConflictError, DisconnectedError, ForbiddenError, MillraceError, NotFoundError,
  OverloadedError, TimeoutError, TooLargeError,
} from './errors.js';

export function connect(settings = {}) {
  return new Backend(settings);
}

let shared = null;

// The connection of the functions below.
function common() {
  shared ??= connect();
  return shared;
}

export async function publish(channel, payload, options) {
  return common().publish(channel, payload, options);
}

// Ends the connection that publish() uses; the next publish() opens another.
export async function close(options) {
  const backend = shared;
  shared = null;
  await backend?.close(options);
}
