// Requests and replies as msgpack. Integers beyond 32 bits are BigInt on this side.
import { Decoder, decodeMulti, Encoder } from '@msgpack/msgpack';

// No extension types: the broker refuses them, and nothing may become one by accident.
const extensionCodec = { tryToEncode: () => null, decode: () => null };
const encoder = new Encoder({ ignoreUndefined: true, useBigInt64: true, extensionCodec });
const decoder = new Decoder({ useBigInt64: true });

export const encode = (request) => encoder.encode(request);

// A reply, {id, ok, ...}. One that cannot be read as a whole: {id, unreadable: why}.
export function decode(bytes) {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    return { id: firstId(bytes), unreadable: error.message };
  }
}

// The broker writes the id first: the head of the map, the text "id", the id.
function firstId(bytes) {
  try {
    const values = decodeMulti(bytes.subarray(1));
    return values.next().value === 'id' ? values.next().value : null;
  } catch {
    return null;
  }
}

// A number where it is one exactly, otherwise the BigInt that it is.
function plainInteger(value) {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

// The same value with numbers instead of BigInt wherever they are exact; changes it in place.
export function plain(value) {
  if (typeof value === 'bigint') return plainInteger(value);
  if (value !== null && typeof value === 'object') {
    for (const key of Object.keys(value)) value[key] = plain(value[key]);
  }
  return value;
}

// What a request says of when it was made: a clock of this process alone.
export function nowMs() {
  return Math.floor(performance.now());
}
