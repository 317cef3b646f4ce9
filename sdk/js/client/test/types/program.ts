// A program with types: this compiles.
import {
  close, configure, connect, createClient, onConnection, subscribe, subscriber, SubscriptionError, unsubscribe,
} from '@millrace/client';
import type { Channel, Client, Connection, ErrorCode, Message, MessageHandler, SubscriptionOptions } from '@millrace/client';

interface Line {
  text: string;
  at: number;
}

class SomeWebSocket {}

const client: Client = connect({ url: 'wss://example.org', token: 'x', websocket: SomeWebSocket, minReconnectDelay: 100 });
const other = createClient({ urls: ['wss://a.example.org', 'wss://b.example.org'] as const, getToken: async () => null });
configure({ url: '/connection/websocket', getToken: () => 'token' });

const room: Channel = { name: 'chat', resourceId: 'room-1' };
const onMessage: MessageHandler<Line> = ({ payload, publisher }, channel, { offset, restored }) => {
  const text: string = payload.text.toUpperCase();
  const who: string | undefined = publisher?.id;
  const where: string = `${channel.name} ${channel.resourceId ?? ''} ${channel.appId ?? ''}`;
  console.log(text, who, where, (offset ?? 0) + 1, restored === true);
};
const options: SubscriptionOptions = {
  onSubscribed(subscriptionId, isSynced) {
    console.log(subscriptionId.length, isSynced === false);
  },
  async onSubscriptionError(error, subscriptionId) {
    const code: ErrorCode = error.errorCode;
    if (code === 'SUBSCRIPTION_FAILED' && error.status === 403) unsubscribe({ subscriptionId });
    console.log(error.message, error.recoverable, error.channel.name, error instanceof SubscriptionError);
  },
  onMissed(count, subscriptionId) {
    console.log(count.toFixed(0), subscriptionId.length);
  },
};

const id: string = subscribe(room, onMessage, options);
const awaited: string = await subscribe({ name: 'news' }, (message: Message) => console.log(message.payload.text));
subscriber.subscribe<Line>({ name: 'quotes', appId: 'shop' }, ({ payload }) => console.log(payload.at.toFixed(0)));
other.subscribe(room, async (message) => console.log((message.payload as Line).at.toFixed(0)), {});

unsubscribe({ channel: room });
unsubscribe({ subscriptionId: id });
subscriber.unsubscribe({ channel: room, subscriptionId: awaited });
client.unsubscribe({ channel: { name: 'chat', resourceId: undefined }, subscriptionId: undefined });

const off: () => void = onConnection((connection: Connection) => {
  switch (connection.state) {
    case 'connecting':
      return console.log(connection.reason?.length, connection.code);
    case 'connected':
      return console.log(connection.clientId.length, connection.data);
    case 'closed':
      return console.log(connection.code.toFixed(0), connection.reason.length);
  }
});
off();
client.onConnection(async ({ state }) => console.log(state));
client.setToken('next');
client.connect();
console.log(client.connection.state);
client.close();
close();
