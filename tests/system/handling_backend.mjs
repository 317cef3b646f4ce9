// Permission handlers of @millrace/backend under command of a test: handling_backend.mjs ENDPOINT. Registers, prints
// {"ready": true}, then obeys one word a line: revoke ID, disconnect ID, close. Prints what came of it.
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { BadInputError, connect } from '@millrace/backend';

const say = (value) => console.log(JSON.stringify(value));
const backend = connect({ endpoint: process.argv[2], handlerTimeoutMs: 500, onHandlerError: () => {} });

await backend.permissionsRouter.add({ name: 'chat' }, async ({ resourceId = '' }, subscriber) => {
  if (resourceId === 'broken') throw new Error('the secret of the handler');
  if (resourceId === 'wrong') throw new BadInputError('no such room');
  return { read: subscriber.type === 'ADMIN' || resourceId === 'lobby' };
});
await backend.permissionsRouter.add({ name: 'chat', resourceId: 'slow' }, () => delay(2000, { read: true }));
say({ ready: true });

const orders = {
  revoke: (id) => backend.revoke({ channel: { name: 'chat' }, subscriber: { id }, mode: 'deny' }),
  disconnect: (id) => backend.disconnect({ subscriber: { id }, reason: 'spam' }),
  close: () => backend.close().then(() => ({ closed: true })),
};
for await (const line of createInterface({ input: process.stdin })) {
  const [word, id] = line.split(' ');
  say(await orders[word](id));
  if (word === 'close') break;
}
