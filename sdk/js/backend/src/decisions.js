// Handlers' decisions against the clock, and the answers that they become.
import { BadInputError, MillraceError, TimeoutError } from './errors.js';
import { kindOf } from './rules.js';

const TTL_MAX_SECONDS = 30 * 86400;
const MESSAGE_BYTES = 256;

function broken(rule) {
  throw new MillraceError(`the permission handler broke a rule: ${rule}`, { status: 503, code: 'bad_decision' });
}

// {read, ttl?}, and nothing else that the handler may have put there.
function decisionOf(value) {
  if (typeof value !== 'object' || value === null) broken(`it must return {read}, not ${kindOf(value)}`);
  const { read, ttl } = value;
  if (typeof read !== 'boolean') broken(`read must be a boolean, not ${kindOf(read)}`);
  if (ttl === undefined) return { read };
  // The comparison is false for NaN. null is no ttl: it would mean the longest.
  if (typeof ttl !== 'number' || !(ttl >= 0 && ttl <= TTL_MAX_SECONDS)) broken(`ttl must be a number of seconds from 0 to ${TTL_MAX_SECONDS}`);
  return { read, ttl };
}

// --- errors ---

function isBadInput(error) {
  return error instanceof BadInputError || error?.name === 'BadInputError' || error?.status === 400;
}

// A text of at most so many bytes; not half a character, and no half of a surrogate pair.
function cut(text, bytes) {
  const all = Buffer.from(text);
  let end = Math.min(all.length, bytes);
  while (end < all.length && (all[end] & 0xc0) === 0x80) end--;
  return all.toString('utf8', 0, end);
}

// What subscribers may see of it: its first line; some errors carry a stack trace behind that.
export function messageOf(error) {
  const message = typeof error?.message === 'string' ? error.message.split(/[\r\n]/, 1)[0] : '';
  return cut(message, MESSAGE_BYTES) || 'the permission handler failed';
}

// An error may be anything, also something that fails when it is looked at.
function answerTo(error) {
  try {
    return { error: { status: isBadInput(error) ? 400 : 503, message: messageOf(error) } };
  } catch {
    return { error: { status: 503, message: 'the permission handler failed' } };
  }
}

// --- decisions ---

function isPromise(value) {
  return typeof value?.then === 'function';
}

/**
 * All answers, in order, when the last is there: `decide(check)` runs for all checks at once and returns
 * a decision or a promise of one. What fails, also by not being there in time, becomes an error answer
 * for that check alone, and is told to `failed(error, check)`.
 */
export function decideAll(checks, timeoutMs, decide, failed) {
  return new Promise((done) => {
    const answers = new Array(checks.length);
    let open = checks.length;
    const timer = setTimeout(() => {
      const error = new TimeoutError(`the permission handler took longer than ${timeoutMs} ms`, 'unknown');
      for (let i = 0; i < answers.length; i++) fail(i, error);
    }, timeoutMs);
    timer.unref(); // a connection with handlers keeps the process alive, and nothing else is to

    function end() {
      clearTimeout(timer);
      done(answers);
    }
    function settle(i, answer) {
      answers[i] = answer;
      if (--open === 0) end();
    }
    function fail(i, error) {
      if (answers[i]) return;
      settle(i, answerTo(error));
      failed(error, checks[i]);
    }
    function accept(i, value) {
      if (answers[i]) return;
      let decision;
      try {
        decision = decisionOf(value);
      } catch (error) {
        return fail(i, error);
      }
      settle(i, decision);
    }
    function run(check, i) {
      try {
        const value = decide(check);
        if (isPromise(value)) Promise.resolve(value).then((later) => accept(i, later), (error) => fail(i, error));
        else accept(i, value);
      } catch (error) {
        fail(i, error);
      }
    }

    if (open === 0) return end();
    checks.forEach(run);
  });
}
