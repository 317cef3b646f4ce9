// Types of @millrace/backend. What the names mean is in README.md and docs/backend-guide.md.

export interface Channel {
  /** `^@?[A-Za-z0-9_-]+$`; together with resourceId at most 140 Unicode code points. */
  name: string;
  /** One room of the channel; absent or empty: the channel itself. */
  resourceId?: string | null;
}

export interface Position {
  /** 16 hexadecimal digits: which life of the stream. Positions of two epochs cannot be compared. */
  epoch: string;
  offset: number;
}

export interface Published extends Position {
  /** The key was used before, for this publication: it was published then, and not again now. */
  duplicate?: true;
}

export interface Target {
  view?: 'live' | 'preview' | null;
  site?: string | null;
  app?: string | null;
}

export interface Publication extends Target {
  /** Who speaks, as subscribers see it: at most 256 bytes. */
  publisher?: string | null;
  /** Idempotency key, 1 to 64 bytes: the same key and payload are published once. */
  key?: string | null;
}

export interface RequestOptions {
  /** 1 to 60,000; absent: the connection's. */
  timeoutMs?: number;
}

export interface PublishOptions extends Publication, RequestOptions {}

export interface PublishItem extends Publication {
  channel: Channel;
  payload: object;
}

export type PublishResult = (Published & { error?: undefined }) | { error: MillraceError };

export interface HistoryOptions extends Target, RequestOptions {
  /** At most so many publications, and never more than 300; 0: only the position. Default 300. */
  limit?: number;
  /** From behind this position; absent: from the oldest that is kept. */
  since?: Position | null;
}

export interface HistoryPublication {
  offset: number;
  payload: { [member: string]: any };
  publisher?: { id: string };
}

export interface History extends Position {
  publications: HistoryPublication[];
}

export type SubscriberType = 'ADMIN' | 'MEMBER' | 'VISITOR';

export interface Subscriber {
  /** Empty for a visitor without one. */
  id: string;
  type: SubscriberType;
}

export interface Decision {
  read: boolean;
  /** How long a grant holds, in seconds, 0 to 2,592,000. Absent: as long as the subscription. 0: asked for every message. */
  ttl?: number;
}

export interface CheckContext {
  /** Of this attempt; for logs. */
  requestId: string;
  site: string;
  /** Whose channel it is; empty: the site's own. */
  app: string;
  /** Whose code subscribes, where that is another app; empty: the site's own. */
  requestingApp?: string;
}

/** What it throws refuses: with 400 where that is a BadInputError or has the status 400, else with 503. */
export type PermissionHandler = (
  channel: { readonly name: string; readonly resourceId?: string },
  subscriber: Subscriber,
  context: CheckContext,
) => Decision | Promise<Decision>;

export interface HandlerTarget {
  site?: string | null;
  app?: string | null;
}

export interface HandlerOptions extends HandlerTarget, RequestOptions {}

/**
 * Who may read: the first of the handlers for the resource, for its channel and the default one decides.
 * A rejection was told to onHandlerError too, and is never an unhandled one.
 */
export interface PermissionsRouter {
  /** Resolves when the broker has stored it. Replaces the handler that this connection had there. */
  default(handler: PermissionHandler, options?: HandlerOptions): Promise<void>;
  /** Resolves when the broker has stored it. Replaces the handler that this connection had there. */
  add(channel: Channel, handler: PermissionHandler, options?: HandlerOptions): Promise<void>;
  /** Resolves when this connection is not asked any more; until then it decides. */
  remove(channel: Channel, options?: HandlerOptions): Promise<void>;
  /** The same for the default handler. */
  removeDefault(options?: HandlerOptions): Promise<void>;
  /** The decision of this connection's own handlers, without the broker; {read: true} where there is none. Rejects with what a handler throws. */
  check(channel: Channel, subscriber: Subscriber, options?: HandlerTarget): Promise<Decision>;
}

/** What went wrong: a check, a registration, or a message of the broker that cannot be read. */
export type HandlerErrorContext =
  | { during: 'check'; channel: { readonly name: string; readonly resourceId?: string }; subscriber: Subscriber; requestId: string }
  | { during: 'registration'; handlers: ({ readonly name: string; readonly resourceId?: string } | 'default')[] }
  | { during: 'protocol' };

export interface SubscriberFilter {
  id: string;
  /** Absent: whatever its type. */
  type?: SubscriberType | null;
}

interface RevokeMode {
  /** `deny`: ends the subscriptions. `recheck`: nothing more is delivered to them until they were asked about again. */
  mode: 'recheck' | 'deny';
}

/**
 * At least one of both. A channel without resourceId stands for itself and all its resources, with an empty one for itself alone.
 */
export type Revocation = RevokeMode &
  ({ channel: Channel; subscriber?: SubscriberFilter | null } | { channel?: Channel | null; subscriber: SubscriberFilter });

export interface Revoked {
  /** How many subscriptions it concerned. */
  affected: number;
  /** How many of them ended. */
  ended: number;
  /** How many gateways have not confirmed in time; 0: it holds everywhere. */
  unconfirmed: number;
}

export interface Disconnection {
  subscriber: SubscriberFilter;
  /** What the client is told, at most 100 bytes. */
  reason?: string | null;
}

export interface DisconnectOptions extends RequestOptions {
  site?: string | null;
}

export interface Disconnected {
  /** How many connections were closed. */
  affected: number;
  unconfirmed: number;
}

export interface Settings {
  /** Default: the environment variable MILLRACE_BACKENDS, or `tcp://127.0.0.1:7402`. */
  endpoint?: string;
  /** How long a request may take, 1 to 60,000. Default 5000. */
  timeoutMs?: number;
  /** How many requests may be unanswered; more wait in this process. Default 4096, as the broker's own limit. */
  maxPending?: number;
  /** How many bytes may wait in this process, at least 2 MiB. Default 64 MiB. */
  maxQueuedBytes?: number;
  /** How long a permission handler may take, 1 to 60,000. Default 2500; the broker refuses a subscription after 4 s. */
  handlerTimeoutMs?: number;
  /** Told of every permission handler that fails. Default: one line on console.error. */
  onHandlerError?: (error: unknown, context: HandlerErrorContext) => void;
  /** Told each change of `state`. Default: one line on `console.error` when the broker hangs, and when that is over. */
  onStateChange?: (state: ConnectionState, before: ConnectionState) => void;
}

export interface CloseOptions {
  /** Do not wait for what is under way. */
  now?: boolean;
}

/** `hung`: the connection is there, and the broker has said nothing for 4 seconds while something was waited for. */
export type ConnectionState = 'connecting' | 'connected' | 'hung' | 'closed';

export interface Backend {
  /** As it was when something was waited for last: without requests and handlers nobody looks. */
  readonly state: ConnectionState;
  publish(channel: Channel, payload: object, options?: PublishOptions): Promise<Published>;
  /** One result for each item, in order. Never more than one round trip for 1,024 of them. */
  publishMany(items: readonly PublishItem[], options?: RequestOptions): Promise<PublishResult[]>;
  history(channel: Channel, options?: HistoryOptions): Promise<History>;
  ping(options?: RequestOptions): Promise<void>;
  /** Handlers that decide who may read. While there are any, the connection keeps the process alive. */
  readonly permissionsRouter: PermissionsRouter;
  /** Takes back what was granted, at once. */
  revoke(what: Revocation, options?: HandlerOptions): Promise<Revoked>;
  /** Closes the connections of a subscriber for good. */
  disconnect(what: Disconnection, options?: DisconnectOptions): Promise<Disconnected>;
  /** Takes the handlers off the broker, and waits for what is under way. */
  close(options?: CloseOptions): Promise<void>;
}

export function connect(settings?: Settings): Backend;
export function publish(channel: Channel, payload: object, options?: PublishOptions): Promise<Published>;
export function revoke(what: Revocation, options?: HandlerOptions): Promise<Revoked>;
export function disconnect(what: Disconnection, options?: DisconnectOptions): Promise<Disconnected>;
export const permissionsRouter: PermissionsRouter;
export function close(options?: CloseOptions): Promise<void>;

/** `refused`: nothing was published. `not sent`: nothing was published. `unknown`: it may have been, or not. */
export type Outcome = 'refused' | 'not sent' | 'unknown';

export class MillraceError extends Error {
  readonly status: number;
  readonly code: string;
  readonly outcome: Outcome;
}
export class BadInputError extends MillraceError {}
export class ForbiddenError extends MillraceError {}
export class NotFoundError extends MillraceError {}
export class ConflictError extends MillraceError {}
export class TooLargeError extends MillraceError {}
export class OverloadedError extends MillraceError {}
export class TimeoutError extends MillraceError {}
export class DisconnectedError extends MillraceError {}
export class ClosedError extends MillraceError {}
