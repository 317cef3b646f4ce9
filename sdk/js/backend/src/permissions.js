// What the requests about permissions must obey, and what the broker's checks must look like.
import { MillraceError } from './errors.js';
import { kindOf, mustBeRecord, mustBeText, mustFit, mustKnow, putChannel, putOptions, refuse } from './rules.js';

const CHECKS = 256; // in a batch
const SUBSCRIBER_BYTES = 256;
const REASON_BYTES = 100;
const TYPES = ['ADMIN', 'MEMBER', 'VISITOR'];

export const HANDLER_OPTIONS = ['site', 'app'];

// Unambiguous: a name contains neither '/' nor ':'. Without a channel it is that of the default handler.
export function addressOf(app, channel = '', resource = '') {
  return `${app}/${channel}${resource && `:${resource}`}`;
}

// Where a handler stands: {level: {channel?, resource?}, site?, app?}. channel null: the default handler.
export function placeOf(channel, options) {
  const place = { level: {} };
  if (channel !== null) putChannel(place.level, channel);
  putOptions(place, options);
  return place;
}

export function mustBeHandler(handler) {
  if (typeof handler !== 'function') refuse('handler', `must be a function, not ${kindOf(handler)}`);
}

function mustBeType(type, place) {
  if (!TYPES.includes(type)) refuse(place, `must be "${TYPES.join('", "')}"`);
}

// {id, type} for a handler that is asked by its own program.
export function subscriberOf(subscriber) {
  mustKnow(subscriber, ['id', 'type'], 'subscriber');
  mustBeText(subscriber.id, 'subscriber.id');
  mustBeType(subscriber.type, 'subscriber.type');
  return { id: subscriber.id, type: subscriber.type };
}

// Whom a request means: without a type, the id whatever its type.
function putSubscriber(request, subscriber) {
  mustKnow(subscriber, ['id', 'type'], 'subscriber');
  const { id, type = null } = subscriber;
  mustBeText(id, 'subscriber.id');
  mustFit(id, 'subscriber.id', SUBSCRIBER_BYTES);
  request.subscriber = { id };
  if (type === null) return;
  mustBeType(type, 'subscriber.type');
  request.subscriber.type = type;
}

// The request {channel?, resource?, subscriber?, mode, site?, app?}. A channel without a resourceId is
// the channel with all its resources; with an empty one it is the channel alone.
export function revocation(what, options) {
  mustKnow(what, ['channel', 'subscriber', 'mode'], 'revoke');
  const { channel = null, subscriber = null, mode } = what;
  if (channel === null && subscriber === null) refuse('revoke', 'a channel or a subscriber must be given');
  if (mode !== 'recheck' && mode !== 'deny') refuse('mode', 'must be "recheck" or "deny"');
  const request = { mode };
  if (channel !== null) putChannel(request, channel);
  if (channel?.resourceId === '') request.resource = '';
  if (subscriber !== null) putSubscriber(request, subscriber);
  putOptions(request, options);
  return request;
}

// The request {subscriber, reason?, site?}.
export function disconnection(what, options) {
  mustKnow(what, ['subscriber', 'reason'], 'disconnect');
  const { subscriber, reason = null } = what;
  const request = {};
  putSubscriber(request, subscriber);
  if (reason !== null) {
    mustBeText(reason, 'reason');
    if (reason === '') refuse('reason', 'must not be empty');
    mustFit(reason, 'reason', REASON_BYTES);
    request.reason = reason;
  }
  putOptions(request, options);
  return request;
}

// --- what the broker asks ---

// The frame's checks, or an error. Each may still be unreadable in itself.
export function checksOf({ id, checks }) {
  try {
    if (!(typeof id === 'bigint' || Number.isInteger(id)) || id < 0) refuse('id', `must be an unsigned integer, not ${kindOf(id)}`);
    if (!Array.isArray(checks)) refuse('checks', `must be an array, not ${kindOf(checks)}`);
    if (checks.length > CHECKS) refuse('checks', `more than ${CHECKS}`);
    return checks;
  } catch (error) {
    throw unreadable(error);
  }
}

function optionalText(value, place) {
  if (value === undefined || value === null) return '';
  mustBeText(value, place);
  return value;
}

// {app, channel, subscriber, context} as handlers see it, or an error.
export function checkOf(check) {
  try {
    mustBeRecord(check, 'check');
    const { channel: name, site, subscriber, context } = check;
    mustBeText(name, 'channel');
    mustBeText(site, 'site');
    mustBeRecord(subscriber, 'subscriber');
    const resourceId = optionalText(check.resource, 'resource');
    const app = optionalText(check.app, 'app');
    const requestId = optionalText(context?.request_id, 'context.request_id');
    return {
      app,
      channel: channelOf(name, resourceId),
      subscriber: subscriberOf({ id: subscriber.id, type: subscriber.type }),
      context: contextOf(requestId, site, app, check.requesting_app),
    };
  } catch (error) {
    throw unreadable(error);
  }
}

export function channelOf(name, resourceId) {
  return Object.freeze(resourceId ? { name, resourceId } : { name });
}

function contextOf(requestId, site, app, requestingApp = null) {
  if (requestingApp === null) return { requestId, site, app };
  mustBeText(requestingApp, 'requesting_app');
  return { requestId, site, app, requestingApp };
}

function unreadable({ message }) {
  return new MillraceError(`the broker's check cannot be read: ${message}`, { status: 503, code: 'unreadable' });
}
