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
// its turn, so that one that is gone costs one attempt. Transports take turns, too: each counts for
// itself, or one of them would meet the same gateway every time.
function turns(endpoints) {
  let next = Math.floor(Math.random() * endpoints.length);
  return () => endpoints[next++ % endpoints.length];
}

function webSocketFor(endpoints, WebSocket) {
  const take = turns(endpoints);
  return function MillraceWebSocket() {
    return new WebSocket(take());
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

// Commands go where the stream is.
function fallbackOptions(endpoints) {
  const { EventSource } = globalThis;
  const takeForStream = turns(endpoints);
  const takeForEvents = turns(endpoints);
  let taken;
  const options = {
    emulationEndpoint: emulation,
    fetch: (url, request) => {
      if (url !== emulation) taken = takeForStream();
      return fetch(fallbackOf(taken, url === emulation ? emulation : httpStream), request);
    },
  };
  if (!EventSource) return options;
  options.eventsource = function MillraceEventSource(given) {
    taken = takeForEvents();
    const url = new URL(fallbackOf(taken, sse));
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
  const options = { websocket: webSocketFor(endpoints, WebSocket) };
  const transports = [{ transport: 'websocket', endpoint: endpoints[0] }];
  const isPossible = typeof fetch === 'function' && endpoints.every((endpoint) => fallbackOf(endpoint, ''));
  if (!fallback || !isPossible) return { transports, options };
  transports.push({ transport: 'http_stream', endpoint: fallbackOf(endpoints[0], httpStream) });
  if (globalThis.EventSource) transports.push({ transport: 'sse', endpoint: fallbackOf(endpoints[0], sse) });
  return { transports, options: { ...options, ...fallbackOptions(endpoints) } };
}
