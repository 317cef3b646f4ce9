// address - a program's channel object, checked, and its text on the wire.
//
// The rules and their order are the server's (app, channel, resource, length), so that a mistake
// has the same name wherever it is found. Text: [app "/"] channel [":" resource].
import { badInput } from './error.js';

const maxCodePoints = 140;
const appId = /^[A-Za-z0-9._-]{1,64}$/;
const channelName = /^@?[A-Za-z0-9_-]+$/;
const loneSurrogate = /\p{Surrogate}/u;

function optionalText(value, what, channel) {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw badInput(`${what} is a string, not ${kind(value)}`, channel);
  return value;
}

function kind(value) {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
}

// In code points, as the server counts; a UTF-16 length above twice the limit needs no counting.
function isTooLong(name, resourceId) {
  if (name.length + resourceId.length > 2 * maxCodePoints) return true;
  return name.length + [...resourceId].length > maxCodePoints;
}

/**
 * {text, channel}: how the server is asked for this channel, and a frozen copy with only the parts
 * that are given. Throws a BAD_INPUT that says which rule broke.
 */
export function addressOf(given) {
  if (given === null || typeof given !== 'object' || Array.isArray(given)) {
    throw badInput(`channel: an object {name, resourceId?, appId?} is needed, not ${kind(given)}`, given);
  }
  const app = optionalText(given.appId, 'app: the id', given);
  const name = optionalText(given.name, 'channel: the name', given) ?? '';
  const resourceId = optionalText(given.resourceId, 'resource: the id', given) ?? '';

  if (app !== undefined && !appId.test(app)) {
    throw badInput("app: an app id has 1 to 64 letters, digits, '.', '_' or '-'", given);
  }
  if (name === '' || name === '@') throw badInput('channel: the name is empty', given);
  if (!channelName.test(name)) {
    throw badInput("channel: only letters, digits, '_' and '-' are allowed, with an optional leading '@'", given);
  }
  if (loneSurrogate.test(resourceId)) {
    throw badInput('resource: the id contains half of a surrogate pair, which has no UTF-8 form', given);
  }
  if (resourceId.includes('\0')) throw badInput('resource: the id contains U+0000', given);
  if (isTooLong(name, resourceId)) {
    throw badInput(`channel and resource together exceed ${maxCodePoints} Unicode code points`, given);
  }

  const channel = { name };
  if (resourceId) channel.resourceId = resourceId;
  if (app !== undefined) channel.appId = app;
  const text = (app === undefined ? '' : `${app}/`) + name + (resourceId && `:${resourceId}`);
  return { text, channel: Object.freeze(channel) };
}
