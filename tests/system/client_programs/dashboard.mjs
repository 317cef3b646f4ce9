// A dashboard: several widgets listen to one channel, each with a subscription of its own, and an
// error is shown according to its code.

// --- import and connection set-up ---
import { configure, subscribe, unsubscribe } from '@millrace/client';
import WebSocket from 'ws';

configure({ url: process.env.GATEWAY_URL, websocket: WebSocket });

// --- the page: what people do comes in as lines ---
import { createInterface } from 'node:readline';

const show = (text) => console.log(text);
createInterface({ input: process.stdin }).on('line', (line) => close(...line.split(' ')));

// --- the program ---
const sales = { name: 'sales' };
const north = { name: 'sales', resourceId: 'north' };
let total = 0;

const lifecycle = (widget) => ({
  onSubscribed: () => show(`${widget} is live`),
  onSubscriptionError: (error) => {
    switch (error.errorCode) {
      case 'BAD_INPUT':
        return show(`${widget}: ${JSON.stringify(error.channel)} cannot be: ${error.message}`);
      case 'SUBSCRIPTION_FAILED':
        return show(`${widget}: refused with ${error.status}`);
      case 'CONNECTION_ERROR':
      case 'DISCONNECTED':
        return show(`${widget}: ${error.recoverable ? 'please wait' : 'please reload'}`);
      default:
        return show(`${widget}: ${error.errorCode}?`);
    }
  },
});

const ids = {
  ticker: subscribe(sales, ({ payload }) => show(`ticker ${payload.amount}`), lifecycle('ticker')),
  total: subscribe(sales, ({ payload }) => show(`total ${(total += payload.amount)}`), lifecycle('total')),
  north: subscribe(north, ({ payload }, { resourceId }) => show(`${resourceId} ${payload.amount}`), lifecycle('north')),
  broken: subscribe({ name: 'sales today' }, () => show('never'), lifecycle('broken')),
  foreign: subscribe({ name: 'sales', appId: 'another-shop' }, () => show('never'), lifecycle('foreign')),
};

function close(how, widget) {
  if (how === 'id') unsubscribe({ subscriptionId: ids[widget] });
  if (how === 'channel') unsubscribe({ channel: sales });
  if (how === 'both') unsubscribe({ channel: north, subscriptionId: ids[widget] });
  if (how === 'nothing') {
    try {
      unsubscribe({});
    } catch (error) {
      show(`nothing: ${error.errorCode}`);
    }
  }
  show(`closed by ${how}`);
}
