// @millrace/backend - publish to Millrace channels from Node, and say who may read them. See README.md.
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

export async function revoke(what, options) {
  return common().revoke(what, options);
}

export async function disconnect(what, options) {
  return common().disconnect(what, options);
}

const router = () => common().permissionsRouter;

export const permissionsRouter = Object.freeze({
  default: (...args) => router().default(...args),
  add: (...args) => router().add(...args),
  remove: (...args) => router().remove(...args),
  removeDefault: (...args) => router().removeDefault(...args),
  check: (...args) => router().check(...args),
});

// Ends the connection of these functions; the next of them opens another.
export async function close(options) {
  const backend = shared;
  shared = null;
  await backend?.close(options);
}
