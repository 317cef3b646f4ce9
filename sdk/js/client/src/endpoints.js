// endpoints - where the gateways are, and which of them the next attempt goes to.

const path = '/connection/websocket';
const schemes = { 'http:': 'ws:', 'https:': 'wss:', 'ws:': 'ws:', 'wss:': 'wss:' };

// A bare origin gets the gateway's path; http and https are taken for ws and wss.
function endpointOf(given) {
  let url;
  try {
    url = new URL(given, globalThis.location?.href);
  } catch {
    throw new TypeError(`url: '${given}' is no URL, such as wss://example.org${path}`);
  }
  const scheme = schemes[url.protocol];
  if (!scheme) throw new TypeError(`url: '${given}' begins with ${url.protocol}, not with ws: or wss:`);
  const rest = url.href.slice(url.protocol.length).replace(/#.*$/s, '');
  return scheme + (url.pathname === '/' ? rest.replace(/^(\/\/[^/?]*)\//, `$1${path}`) : rest);
}

export function endpointsOf({ url, urls }) {
  if ((url === undefined) === (urls === undefined)) throw new TypeError('one of the options url and urls is needed');
  if (urls !== undefined && (!Array.isArray(urls) || urls.length === 0)) {
    throw new TypeError('urls: an array of at least one URL is needed');
  }
  return (urls ?? [url]).map(endpointOf);
}

/**
 * The WebSocket constructor for the SDK. With several endpoints each attempt takes the next one,
 * beginning at a random one: a gateway that is gone costs one attempt, and clients spread.
 */
export function webSocketFor(endpoints, WebSocket = globalThis.WebSocket) {
  if (typeof WebSocket !== 'function') {
    throw new TypeError("there is no WebSocket here: give one as the option websocket, such as that of the package 'ws'");
  }
  if (endpoints.length === 1) return WebSocket;
  let next = Math.floor(Math.random() * endpoints.length);
  return function RotatingWebSocket() {
    const endpoint = endpoints[next];
    next = (next + 1) % endpoints.length;
    return new WebSocket(endpoint);
  };
}
