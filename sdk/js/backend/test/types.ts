// Compiled by a test, never run: what must be accepted, and what must not (@ts-expect-error).
import {
  close, connect, publish, MillraceError, TimeoutError,
  type Backend, type History, type Outcome, type Published, type PublishResult,
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
