// What a request must obey, as far as it can be seen before the broker sees it. The rules are the
// broker's own (docs/protocol.md); a payload's size in JSON is a setting of the broker and left to it.
import { BadInputError } from './errors.js';

const ADDRESS_CHARACTERS = 140;
const PUBLISHER_BYTES = 256;
const KEY_BYTES = 64;
const DEPTH = 16;
// The broker reads requests of up to 131,072 msgpack values; the rest is for what is around a payload.
export const REQUEST_VALUES = 131072 - 64;
const PAYLOAD_VALUES = REQUEST_VALUES - 64;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const INT32_MIN = -0x80000000;
const UINT32_MAX = 0xffffffff;

const isWellFormed = String.prototype.isWellFormed
  ? (text) => text.isWellFormed()
  : (text) => !/\p{Surrogate}/u.test(text);

const bytesOf = (text) => Buffer.byteLength(text, 'utf8');

export function refuse(place, rule) {
  throw new BadInputError(`${place}: ${rule}`);
}

// What a value is, for an error message.
export function kindOf(value) {
  if (value === null || value === undefined) return `${value}`;
  if (Array.isArray(value)) return 'an array';
  const name = typeof value === 'object' ? Object.prototype.toString.call(value).slice('[object '.length, -1) : typeof value;
  return `${/^[AEIO]/i.test(name) ? 'an' : 'a'} ${name}`;
}

// Plain objects and instances of classes; no arrays, maps, buffers, promises ...
export function isRecord(value) {
  return typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object Object]';
}

export function mustBeRecord(value, place) {
  if (!isRecord(value)) refuse(place, `must be an object, not ${kindOf(value)}`);
}

export function mustBeText(value, place) {
  if (typeof value !== 'string') refuse(place, `must be a string, not ${kindOf(value)}`);
  if (!isWellFormed(value)) refuse(place, 'not valid Unicode: half of a surrogate pair');
}

export function mustFit(value, place, bytes) {
  if (bytesOf(value) > bytes) refuse(place, `longer than ${bytes} bytes`);
}

// A mistyped option must not be taken for one that is absent.
export function mustKnow(options, known, place) {
  mustBeRecord(options, place);
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) refuse(place, `there is no ${JSON.stringify(name)}, only ${known.join(', ')}`);
  }
}

// --- addresses ---

function mustBeShort(name, resourceId = '') {
  if (name.length + [...resourceId].length > ADDRESS_CHARACTERS) {
    refuse('channel', `name and resourceId together exceed ${ADDRESS_CHARACTERS} Unicode code points`);
  }
}

// Adds what {name, resourceId} means to a request.
export function putChannel(request, channel) {
  mustKnow(channel, ['name', 'resourceId'], 'channel');
  const { name, resourceId = null } = channel;
  mustBeText(name, 'channel.name');
  if (name === '' || name === '@') refuse('channel.name', 'the name is empty');
  if (!/^@?[A-Za-z0-9_-]+$/.test(name)) {
    refuse('channel.name', "only letters, digits, '_' and '-' are allowed, with an optional leading '@'");
  }
  mustBeShort(name);
  request.channel = name;
  if (resourceId === null || resourceId === '') return;
  mustBeText(resourceId, 'channel.resourceId');
  if (resourceId.includes('\0')) refuse('channel.resourceId', 'the id contains U+0000');
  // There are never more code points than UTF-16 units.
  if (name.length + resourceId.length > ADDRESS_CHARACTERS) mustBeShort(name, resourceId);
  request.resource = resourceId;
}

function putId(request, option, value) {
  mustBeText(value, option);
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(value)) {
    refuse(option, "must be 1 to 64 letters, digits, '.', '_' or '-'");
  }
  request[option] = value;
}

const putters = {
  site: putId,
  app: putId,
  view(request, option, value) {
    if (value !== 'live' && value !== 'preview') refuse(option, 'must be "live" or "preview"');
    request.view = value;
  },
  publisher(request, option, value) {
    mustBeText(value, option);
    mustFit(value, option, PUBLISHER_BYTES);
    request.publisher = value;
  },
  key(request, option, value) {
    mustBeText(value, option);
    if (value === '') refuse(option, 'must not be empty');
    mustFit(value, option, KEY_BYTES);
    request.key = value;
  },
};

const TARGET = ['view', 'site', 'app'];
export const PUBLISH_OPTIONS = ['publisher', 'key', ...TARGET];
export const HISTORY_OPTIONS = ['limit', 'since', ...TARGET];

export function putOptions(request, options) {
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && value !== null && Object.hasOwn(putters, name)) putters[name](request, name, value);
  }
}

// --- payloads ---

const isWord = (key) => /^[A-Za-z0-9_-]{1,64}$/.test(key);

function placeOf(place, key) {
  if (typeof key === 'number') return `${place}[${key}]`;
  return isWord(key) ? `${place}.${key}` : `${place}[${JSON.stringify(key.slice(0, 64))}]`;
}

// As JSON.stringify: a Date, a URL and whatever else has toJSON says itself what it becomes. Except a
// Buffer: nobody wants a list of its bytes.
function asksToJson(value) {
  return typeof value?.toJSON === 'function' && !ArrayBuffer.isView(value);
}

// A value as it goes to the encoder: itself where possible, a copy where something in it is not sent
// as it stands. `path` is where we are; it becomes text only for an error.
class Payload {
  path = [];
  values = 0; // so far, keys included

  root(payload) {
    const json = asksToJson(payload) ? payload.toJSON('') : payload;
    mustBeRecord(json, 'payload');
    return this.record(json);
  }

  count(more) {
    this.values += more;
    if (this.values > PAYLOAD_VALUES) refuse('payload', `holds more than ${PAYLOAD_VALUES} values`);
  }

  refuse(rule) {
    refuse(this.path.reduce(placeOf, 'payload'), rule);
  }

  value(value) {
    switch (typeof value) {
      case 'string':
        if (!isWellFormed(value)) this.refuse('not valid Unicode: half of a surrogate pair');
        return value;
      case 'number':
        return this.number(value);
      case 'boolean':
        return value;
      case 'bigint':
        return this.bigint(value);
      case 'object':
        return value === null ? null : this.object(value);
      default:
        return this.refuse(`${kindOf(value)} has no JSON form`);
    }
  }

  number(value) {
    if (!Number.isFinite(value)) this.refuse('NaN and infinities have no JSON form');
    return integers(value);
  }

  bigint(value) {
    if (value > INT64_MAX || value < INT64_MIN) this.refuse('integers beyond 64 bits are not supported');
    return value;
  }

  object(value) {
    if (asksToJson(value)) {
      value = value.toJSON(`${this.path.at(-1)}`);
      if (value === null || typeof value !== 'object') return this.value(value);
    }
    if (this.path.length >= DEPTH) this.refuse(`nested deeper than ${DEPTH}`);
    if (Array.isArray(value)) return this.array(value);
    if (isRecord(value)) return this.record(value);
    return this.refuse(`${kindOf(value)} has no JSON form`);
  }

  array(value) {
    let copy = value;
    this.count(value.length);
    for (let i = 0; i < value.length; i++) {
      this.path.push(i);
      const item = this.value(value[i]);
      this.path.pop();
      if (item !== value[i] && copy === value) copy = [...value];
      if (copy !== value) copy[i] = item;
    }
    return copy;
  }

  // Members that are undefined are left out, here or by the encoder.
  record(value) {
    let copy = value;
    for (const key of Object.keys(value)) {
      const before = value[key];
      if (before === undefined) continue;
      this.count(2);
      if (!isWellFormed(key)) this.refuse('a key is not valid Unicode: half of a surrogate pair');
      this.path.push(key);
      const member = this.value(before);
      this.path.pop();
      // No prototype: "__proto__" is a member like any other.
      if (member !== before && copy === value) copy = Object.assign(Object.create(null), value);
      if (copy !== value) copy[key] = member;
    }
    return copy;
  }
}

// The encoder sends integers beyond 32 bits as such only when they are BigInt.
export function integers(value) {
  const isLong = Number.isSafeInteger(value) && (value > UINT32_MAX || value < INT32_MIN);
  return isLong ? BigInt(value) : value;
}

// --- requests ---

// [{channel, resource?, payload, publisher?, key?, view?, site?, app?}, how many values that is].
export function publication(channel, payload, options) {
  const request = {};
  putChannel(request, channel);
  putOptions(request, options);
  const checked = new Payload();
  request.payload = checked.root(payload);
  return [request, checked.values + 2 * Object.keys(request).length + 1];
}

const HISTORY_LIMIT = 300;

// The request {channel, resource?, limit, since?, view?, site?, app?}.
export function historyRequest(channel, options) {
  const request = {};
  putChannel(request, channel);
  putOptions(request, options);
  const { limit = HISTORY_LIMIT, since } = options;
  mustBeCount(limit, 'limit', UINT32_MAX);
  request.limit = limit;
  if (since !== undefined && since !== null) {
    mustBeRecord(since, 'since');
    mustBeText(since.epoch, 'since.epoch');
    mustBeCount(since.offset, 'since.offset', Number.MAX_SAFE_INTEGER);
    request.since = { epoch: since.epoch, offset: integers(since.offset) };
  }
  return request;
}

export function mustBeCount(value, place, max, min = 0) {
  if (!Number.isInteger(value) || value < min || value > max) {
    refuse(place, `must be an integer from ${min} to ${max}`);
  }
}
