// error - what a program is told when a subscription does not work.

/** One of the four kinds of failure; `status` only with SUBSCRIPTION_FAILED. */
export class SubscriptionError extends Error {
  constructor(errorCode, message, { recoverable = false, status, channel } = {}) {
    super(message);
    this.name = 'SubscriptionError';
    this.errorCode = errorCode;
    this.recoverable = recoverable;
    if (status !== undefined) this.status = status;
    this.channel = channel;
  }
}

export function badInput(message, channel) {
  return new SubscriptionError('BAD_INPUT', message, { channel });
}

// Codes of the protocol that are no HTTP-like statuses themselves.
const statuses = {
  1: 401, // the SDK's own: the token expired and there is no other
  101: 401,
  102: 404,
  103: 403,
  105: 409, // the connection holds this address under another spelling
  106: 429,
  107: 400,
  108: 400,
  109: 401,
  111: 429,
  2453: 503, // the right to read ran out, and nobody could say whether it goes on
};

/** The HTTP-like status for the code of a subscribe error or of an unsubscribe push. */
export function statusOf(code) {
  if (code >= 400 && code < 600) return code;
  if (code in statuses) return statuses[code];
  return code >= 2000 && code < 2500 ? 403 : 503; // 403: the server ended what it had allowed
}
