// A chat: one resource of a channel for each room, and a history that is loaded when it has to be.

// --- import and connection set-up ---
import { configure, subscriber } from '@millrace/client';
import WebSocket from 'ws';

configure({ url: process.env.GATEWAY_URL, websocket: WebSocket });

// --- the page: what people do comes in as lines ---
import { createInterface } from 'node:readline';

const show = (text) => console.log(text);
createInterface({ input: process.stdin }).on('line', (line) => {
  const [action, room] = line.split(' ');
  if (action === 'enter') enter(room);
  if (action === 'leave') leave(room);
});

// --- the program ---
const rooms = new Map();

async function loadHistory(room) {
  show(`history of ${room} loaded`);
}

function enter(room) {
  const subscriptionId = subscriber.subscribe(
    { name: 'chat', resourceId: room },
    (message, channel) => {
      const author = message.publisher ? message.publisher.id : 'somebody';
      show(`[${channel.resourceId}] ${author}: ${message.payload.text}`);
    },
    {
      onSubscribed: (id, isSynced) => {
        if (id !== rooms.get(room)) show('a wrong id');
        if (isSynced) {
          show(`${room} has caught up`);
        } else {
          loadHistory(room);
        }
      },
      onSubscriptionError: (error, id) => {
        if (id !== rooms.get(room)) show('a wrong id');
        if (error.recoverable) {
          show(`${error.channel.resourceId} is away: ${error.errorCode}`);
        } else {
          show(`${error.channel.resourceId} is closed: ${error.message}`);
          rooms.delete(room);
        }
      },
    },
  );
  rooms.set(room, subscriptionId);
}

function leave(room) {
  subscriber.unsubscribe({ subscriptionId: rooms.get(room) });
  rooms.delete(room);
  show(`left ${room}, ${rooms.size} open`);
}
