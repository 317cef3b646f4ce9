// What can go wrong. Every error of this package is a MillraceError:
//
//   status   as in HTTP: 400, 403, 404, 409, 413, 429, 500, 502, 503, 504, 507
//   code     a stable word for programs ('bad_input', 'timeout', ...)
//   message  what and where, for people
//   outcome  'refused'   the broker, or the check before it, said no: nothing was published
//            'not sent'  the request never left this process: nothing was published
//            'unknown'   it was sent and no answer came: it may have been published, or not
export class MillraceError extends Error {
  constructor(message, { status = 500, code = 'internal', outcome = 'refused' } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.outcome = outcome;
  }

  get name() {
    return this.constructor.name;
  }
}

function refusal(status, code) {
  return class extends MillraceError {
    constructor(message, more) {
      super(message, { status, code, ...more });
    }
  };
}

// A rule is broken; the message says which, and where.
export class BadInputError extends refusal(400, 'bad_input') {}
// This endpoint may not do that: another site, app or view, or the operation.
export class ForbiddenError extends refusal(403, 'forbidden') {}
export class NotFoundError extends refusal(404, 'not_found') {}
// The key was used for another publication; or a position is one of another epoch.
export class ConflictError extends refusal(409, 'conflict') {}
// The payload or the whole request is larger than allowed.
export class TooLargeError extends refusal(413, 'too_large') {}
// Too much at once (429), at the broker or in this process, or the broker has no room (503), or its disk (507).
export class OverloadedError extends refusal(503, 'unavailable') {}

// No answer in time.
export class TimeoutError extends MillraceError {
  constructor(message, outcome) {
    super(message, { status: 504, code: 'timeout', outcome });
  }
}

// The connection broke before the answer came.
export class DisconnectedError extends MillraceError {
  constructor(message) {
    super(message, { status: 503, code: 'disconnected', outcome: 'unknown' });
  }
}

// close() was called.
export class ClosedError extends MillraceError {
  constructor(message, outcome) {
    super(message, { status: 503, code: 'closed', outcome });
  }
}

const byStatus = new Map([
  [400, BadInputError],
  [403, ForbiddenError],
  [404, NotFoundError],
  [409, ConflictError],
  [413, TooLargeError],
  [429, OverloadedError],
  [503, OverloadedError],
  [507, OverloadedError],
]);

// The error of a reply: {status, code, message}.
export function refused({ status, code, message }) {
  const Kind = byStatus.get(status) ?? MillraceError;
  // The broker's store has failed, and cannot tell.
  const outcome = code === 'in_doubt' ? 'unknown' : 'refused';
  return new Kind(message, { status, code, outcome });
}
