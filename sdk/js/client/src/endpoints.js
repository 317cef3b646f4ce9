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

// Which gateway the next attempt goes to: beginning at a random one, so that clients spread, each in
// its turn, so that one that is gone costs one attempt. The fallback's requests follow its stream.
class Turn {
  #endpoints;
  #next;

  constructor(endpoints) {
    this.#endpoints = endpoints;
    this.#next = Math.floor(Math.random() * endpoints.length);
  }

  take() {
    this.taken = this.#endpoints[this.#next];
    this.#next = (this.#next + 1) % this.#endpoints.length;
    return this.taken;
  }
}

function webSocketFor(turn, WebSocket) {
  return function MillraceWebSocket() {
    return new WebSocket(turn.take());
  };
}

// The same gateway over plain HTTP; undefined when its path is not the one that it has by itself.
function fallbackOf(endpoint, name) {
  const [address, query = ''] = endpoint.split(/(?=\?)/, 2);
  if (!address.endsWith(path)) return undefined;
  return `http${address.slice(2, -path.length)}${name}${query}`;
}

const httpStream = '/connection/http_stream';
const sse = '/connection/sse';
const emulation = '/emulation';

function fallbackOptions(turn) {
  const { EventSource } = globalThis;
  const options = {
    emulationEndpoint: emulation,
    fetch: (url, request) =>
      fetch(url === emulation ? fallbackOf(turn.taken, emulation) : fallbackOf(turn.take(), httpStream), request),
  };
  if (!EventSource) return options;
  options.eventsource = function MillraceEventSource(given) {
    const url = new URL(fallbackOf(turn.take(), sse));
    url.searchParams.set('cf_connect', new URL(given).searchParams.get('cf_connect'));
    return new EventSource(url);
  };
  return options;
}

/**
 * What the SDK needs to get there: {transports, options}. `fallback`: where no WebSocket opens, plain
 * HTTP is tried, a stream of lines first, then server-sent events.
 */
export function transportsFor(endpoints, { websocket: WebSocket = globalThis.WebSocket, fallback = true } = {}) {
  if (typeof WebSocket !== 'function') {
    throw new TypeError("there is no WebSocket here: give one as the option websocket, such as that of the package 'ws'");
  }
  const turn = new Turn(endpoints);
  const options = { websocket: webSocketFor(turn, WebSocket) };
  const transports = [{ transport: 'websocket', endpoint: endpoints[0] }];
  const isPossible = typeof fetch === 'function' && endpoints.every((endpoint) => fallbackOf(endpoint, ''));
  if (!fallback || !isPossible) return { transports, options };
  transports.push({ transport: 'http_stream', endpoint: fallbackOf(endpoints[0], httpStream) });
  if (globalThis.EventSource) transports.push({ transport: 'sse', endpoint: fallbackOf(endpoints[0], sse) });
  return { transports, options: { ...options, ...fallbackOptions(turn) } };
}
