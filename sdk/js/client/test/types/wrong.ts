// Each line under a mark is wrong, and must not compile: a mark without an error is one itself.
import { connect, createClient, subscribe, SubscriptionError, unsubscribe } from '@millrace/client';
import type { Connection } from '@millrace/client';

// @ts-expect-error a url is needed
connect({});
// @ts-expect-error one of the two
connect({ url: 'wss://a.example.org', urls: ['wss://b.example.org'] });
// @ts-expect-error no such option
createClient({ url: 'wss://example.org', ulr: '' });
// @ts-expect-error a token is a string
createClient({ url: 'wss://example.org', token: 7 });
// @ts-expect-error a token is a string
createClient({ url: 'wss://example.org', getToken: async () => 7 });
// @ts-expect-error a channel is an object
subscribe('chat', () => {});
// @ts-expect-error a name is needed
subscribe({ resourceId: 'room' }, () => {});
// @ts-expect-error no such part
subscribe({ name: 'chat', resource: 'room' }, () => {});
// @ts-expect-error a handler is needed
subscribe({ name: 'chat' });
// @ts-expect-error no such handler
subscribe({ name: 'chat' }, () => {}, { onError() {} });
// @ts-expect-error it is told a boolean
subscribe({ name: 'chat' }, () => {}, { onSubscribed(id, isSynced: string) {} });
// @ts-expect-error there is no such field
subscribe({ name: 'chat' }, (message) => message.text);
// @ts-expect-error the payload is of the given type
subscribe<{ text: string }>({ name: 'chat' }, ({ payload }) => payload.txet);
// @ts-expect-error there may be no publisher
subscribe({ name: 'chat' }, ({ publisher }) => publisher.id);
// @ts-expect-error the id is a string
const id: number = subscribe({ name: 'chat' }, () => {});
// @ts-expect-error a channel or an id is needed
unsubscribe({});
// @ts-expect-error a channel or an id is needed
unsubscribe();
// @ts-expect-error the id alone is not enough
unsubscribe(id);
// @ts-expect-error the codes are known
export const known = (error: SubscriptionError) => error.errorCode === 'TIMEOUT';
// @ts-expect-error there may be no status
export const status = (error: SubscriptionError): number => error.status;
// @ts-expect-error only a connected one has data
export const data = (connection: Connection) => connection.data;
