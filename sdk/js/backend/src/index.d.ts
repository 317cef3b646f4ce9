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

export interface Settings {
  /** Default: the environment variable MILLRACE_BACKENDS, or `tcp://127.0.0.1:7402`. */
  endpoint?: string;
  /** How long a request may take, 1 to 60,000. Default 5000. */
  timeoutMs?: number;
  /** How many requests may be unanswered; more wait in this process. Default 4096, as the broker's own limit. */
  maxPending?: number;
  /** How many bytes may wait in this process, at least 2 MiB. Default 64 MiB. */
  maxQueuedBytes?: number;
}

export interface CloseOptions {
  /** Do not wait for what is under way. */
  now?: boolean;
}

export interface Backend {
  publish(channel: Channel, payload: object, options?: PublishOptions): Promise<Published>;
  /** One result for each item, in order. Never more than one round trip for 1,024 of them. */
  publishMany(items: readonly PublishItem[], options?: RequestOptions): Promise<PublishResult[]>;
  history(channel: Channel, options?: HistoryOptions): Promise<History>;
  ping(options?: RequestOptions): Promise<void>;
  close(options?: CloseOptions): Promise<void>;
}

export function connect(settings?: Settings): Backend;
export function publish(channel: Channel, payload: object, options?: PublishOptions): Promise<Published>;
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
