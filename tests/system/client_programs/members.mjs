// A members' area: what concerns one member, what concerns all, and the channel of an installed app.

// --- import and connection set-up ---
import { configure, subscriber } from '@millrace/client';
import WebSocket from 'ws';

configure({ url: process.env.GATEWAY_URL, websocket: WebSocket });

// --- the page: who is logged in ---
const show = (text) => console.log(text);
const memberId = 'member 7 / ünï';

// --- the program ---
const own = { name: '@members', resourceId: memberId };
const everybody = { name: '@members' };
const reviews = { name: 'reviews', appId: '13d21c63-b5ec-5912-8397-c3a5ddb27a97' };
const subscriptions = [];

function handleMessage(message, channel) {
  const where = channel.resourceId === memberId ? 'to me' : 'to all';
  show(`${where}: ${message.payload.text}`);
  if (message.payload.logout) logout();
}

const options = (what) => ({
  onSubscribed(subscriptionId, isSynced) {
    show(`${what} ${subscriptions.includes(subscriptionId)} ${isSynced}`);
  },
  onSubscriptionError(error) {
    show(`${what}: ${error.errorCode} ${error.status} of app ${error.channel.appId}`);
    // Without the app's id this is another channel.
    subscriber.unsubscribe({ channel: { name: error.channel.name } });
    subscriber.unsubscribe({ channel: error.channel });
  },
});

function logout() {
  for (const subscriptionId of subscriptions) {
    subscriber.unsubscribe({ subscriptionId });
  }
  show('logged out');
}

async function login() {
  subscriptions.push(await subscriber.subscribe(own, handleMessage, options('own')));
  subscriptions.push(await subscriber.subscribe(everybody, handleMessage, options('everybody')));
  subscriptions.push(await subscriber.subscribe(reviews, handleMessage, options('reviews')));
  show(`${new Set(subscriptions).size} subscriptions`);
}

login();
