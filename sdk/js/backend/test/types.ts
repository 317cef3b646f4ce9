// Compiled by a test, never run: what must be accepted, and what must not (@ts-expect-error).
import {
  close, connect, disconnect, permissionsRouter, publish, revoke, BadInputError, MillraceError, TimeoutError,
  type Backend, type Decision, type Disconnected, type History, type Outcome, type PermissionHandler, type PermissionsRouter, type Published,
  type PublishResult, type Revoked,
} from '@millrace/backend';

class Order {
  constructor(readonly id: bigint, readonly at: Date) {}
}

export async function accepted(): Promise<void> {
  const backend: Backend = connect({ endpoint: 'tcp://127.0.0.1:7402', timeoutMs: 100, maxPending: 1, maxQueuedBytes: 1 });
  const published: Published = await publish({ name: 'chat', resourceId: 'room' }, { text: 'hi' });
  const { epoch, offset, duplicate }: { epoch: string; offset: number; duplicate?: true } = published;
  await backend.publish({ name: 'chat' }, new Order(1n, new Date()), {
    publisher: 'u', key: 'k', view: 'preview', site: 's', app: 'a', timeoutMs: 5,
  });
  const results: PublishResult[] = await backend.publishMany([{ channel: { name: 'a' }, payload: {}, key: 'k' }]);
  for (const result of results) {
    if (result.error) console.log(result.error.status);
    else console.log(result.offset);
  }
  const history: History = await backend.history({ name: 'a' }, { limit: 5, since: { epoch, offset } });
  console.log(history.publications[0]?.publisher?.id, duplicate);
  await backend.ping({ timeoutMs: 1 });
  await backend.close({ now: true });
  await close();
}

export function outcomeOf(error: unknown): Outcome | undefined {
  if (error instanceof TimeoutError || error instanceof MillraceError) return error.outcome;
  return undefined;
}

const members: PermissionHandler = ({ name, resourceId }, { id, type }, { requestId, site, app, requestingApp }) => {
  if (resourceId === undefined) throw new BadInputError(`${name}: which room? ${requestId} ${site} ${app} ${requestingApp ?? ''}`);
  return { read: type === 'MEMBER' && id !== '' };
};

export async function permissions(backend: Backend): Promise<void> {
  const router: PermissionsRouter = backend.permissionsRouter;
  router.default(() => ({ read: false }));
  await router.add({ name: 'chat' }, members, { site: 's', app: 'a', timeoutMs: 5 });
  await router.add({ name: 'chat', resourceId: 'room' }, async () => ({ read: true, ttl: 60 }));
  await permissionsRouter.default(members);
  const { read, ttl }: Decision = await router.check({ name: 'chat' }, { id: '', type: 'VISITOR' }, { app: 'a' });
  await router.remove({ name: 'chat' }, { timeoutMs: 5 });
  await router.removeDefault();
  const { affected, ended, unconfirmed }: Revoked = await revoke({ channel: { name: 'chat' }, mode: 'deny' }, { site: 's', app: 'a', timeoutMs: 5 });
  await backend.revoke({ channel: { name: 'chat', resourceId: '' }, subscriber: { id: 'u', type: 'MEMBER' }, mode: 'recheck' });
  await backend.revoke({ subscriber: { id: 'u' }, mode: 'recheck' });
  const closed: Disconnected = await backend.disconnect({ subscriber: { id: 'u' }, reason: 'bye' }, { site: 's' });
  await disconnect({ subscriber: { id: 'u', type: 'ADMIN' } });
  console.log(read, ttl, affected, ended, unconfirmed, closed.affected);
  connect({
    handlerTimeoutMs: 100,
    onStateChange: (state: 'connecting' | 'connected' | 'hung' | 'closed', before) => console.log(state, before),
    onHandlerError(error, context) {
      if (context.during === 'check') console.log(context.channel.name, context.subscriber.id, context.requestId);
      else if (context.during === 'registration') console.log(context.handlers.map((at) => (at === 'default' ? at : at.name)));
      console.log(error);
    },
  });
}

export async function refusedPermissions(router: PermissionsRouter): Promise<void> {
  // @ts-expect-error a decision is an object
  router.default(() => true);
  // @ts-expect-error read is a boolean
  router.default(() => ({ read: 'yes' }));
  // @ts-expect-error a channel is needed
  router.add(() => ({ read: true }));
  // @ts-expect-error removes nothing without a channel
  router.remove();
  // @ts-expect-error there is no such type
  router.check({ name: 'chat' }, { id: 'u', type: 'GUEST' });
  // @ts-expect-error neither a channel nor a subscriber
  revoke({ mode: 'deny' });
  // @ts-expect-error how is not said
  revoke({ channel: { name: 'chat' } });
  // @ts-expect-error there is no such mode
  revoke({ channel: { name: 'chat' }, mode: 'allow' });
  // @ts-expect-error it is all of the subscriber's connections, whatever their app
  disconnect({ subscriber: { id: 'u' } }, { app: 'a' });
  // @ts-expect-error whom
  disconnect({ reason: 'bye' });
}

export async function refused(backend: Backend): Promise<void> {
  // @ts-expect-error the channel is an object
  await publish('chat', {});
  // @ts-expect-error the payload is an object
  await publish({ name: 'chat' }, 'hello');
  // @ts-expect-error there is no such view
  await publish({ name: 'chat' }, {}, { view: 'both' });
  // @ts-expect-error a mistyped option
  await publish({ name: 'chat' }, {}, { idempotencyKey: 'k' });
  // @ts-expect-error a mistyped setting
  connect({ timeout: 5 });
  // @ts-expect-error items need a payload
  await backend.publishMany([{ channel: { name: 'a' } }]);
}
