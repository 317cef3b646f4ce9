// Replies of the broker as values or errors.
import { MillraceError, refused } from './errors.js';

export function mustBe(good, what) {
  if (!good) throw new MillraceError(`the broker's reply cannot be read: ${what}`, { code: 'unreadable', outcome: 'unknown' });
}

export function refusalOf({ error }) {
  mustBe(typeof error?.status === 'number' && typeof error.message === 'string', 'there is no error in it');
  return refused(error);
}

// The reply, if it says yes.
export function accepted(reply) {
  mustBe(!reply.unreadable, reply.unreadable);
  if (!reply.ok) throw refusalOf(reply);
  return reply;
}
