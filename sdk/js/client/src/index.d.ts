/** Where messages come from: a channel, or one resource of it. */
export interface Channel {
  /** Letters, digits, '_' and '-', with an optional leading '@'. Together with the resource id at most 140 code points. */
  readonly name: string;
  /** An independent sub-channel. Absent or empty: the channel itself. */
  readonly resourceId?: string | undefined;
  /** The channel of another app. Absent: the app, or the site, that the connection belongs to. */
  readonly appId?: string | undefined;
}

/** A JSON object. A program that knows more says so: subscribe<Line>(…), or payload as Line. */
export type AnyPayload = Record<string, any>;

export interface Message<Payload = AnyPayload> {
  payload: Payload;
  /** Only when it is known who published. */
  publisher?: { id: string };
}

/** Where a message stands in the stream of its address. */
export interface MessageDetails {
  /** 1, 2, 3 … as published. */
  offset: number | undefined;
  /** Missed while the connection was away, and restored. */
  restored: boolean;
}

export type ErrorCode = 'DISCONNECTED' | 'CONNECTION_ERROR' | 'SUBSCRIPTION_FAILED' | 'BAD_INPUT';

export class SubscriptionError extends Error {
  readonly errorCode: ErrorCode;
  /** Whether the client goes on trying by itself. */
  readonly recoverable: boolean;
  /**
   * HTTP-like (400, 403, 404, 503 …); only with SUBSCRIPTION_FAILED. 403: the site says no, at once or later: also when
   * it takes back what it had granted. 503: nobody could decide; `recoverable` says whether the client asks again.
   */
  readonly status?: number;
  /** The address that the subscription is for. */
  readonly channel: Channel;
}

export type MessageHandler<Payload = AnyPayload> = (
  message: Message<Payload>,
  channel: Channel,
  details: MessageDetails,
) => void | Promise<void>;

export interface SubscriptionOptions {
  /**
   * Runs on every successful subscription and re-subscription. isSynced: all that was missed has been
   * delivered. False on the first one, and when something could not be restored: load your state.
   */
  onSubscribed?: ((subscriptionId: string, isSynced: boolean) => void | Promise<void>) | undefined;
  onSubscriptionError?: ((error: SubscriptionError, subscriptionId: string) => void | Promise<void>) | undefined;
  /**
   * Runs before the onMessage of the next message: so many between the one before it and this one were left out, for
   * good, because this client read too slowly. Only of channels that the operator has set up like that.
   */
  onMissed?: ((count: number, subscriptionId: string) => void | Promise<void>) | undefined;
}

/** By channel: all subscriptions to it. By id: that one. Both: that one, if it listens to that channel. */
export type UnsubscribeOptions =
  | { channel: Channel; subscriptionId?: string | undefined }
  | { channel?: Channel | undefined; subscriptionId: string };

export interface Subscriber {
  /** Returns the id of the subscription at once; the work goes on in the background. */
  subscribe<Payload = AnyPayload>(
    channel: Channel,
    onMessage: MessageHandler<Payload>,
    options?: SubscriptionOptions,
  ): string;
  /** Throws a SubscriptionError, BAD_INPUT, when neither a channel nor an id is given. */
  unsubscribe(options: UnsubscribeOptions): void;
}

export type Connection =
  /** reason: why the last attempt failed, or why the connection before was lost. */
  | { state: 'connecting'; code?: number; reason?: string }
  /** data: what the gateway sent along. transport: 'websocket', or what stands in for it where it is blocked. */
  | { state: 'connected'; clientId: string; data: unknown; transport: 'websocket' | 'http_stream' | 'sse' }
  /** code 0: closed by the program, or because no subscription is left. */
  | { state: 'closed'; code: number; reason: string };

interface CommonOptions {
  /** The first token. Without token and getToken: an anonymous visitor. */
  token?: string | undefined;
  /** Asked when there is no token yet and when one expires. No token (null, undefined, '') ends the connection. */
  getToken?: (() => string | null | undefined | Promise<string | null | undefined>) | undefined;
  /** The WebSocket class, where there is no global one: Node before 22. */
  websocket?: unknown;
  /**
   * Whether plain HTTP is tried where no WebSocket opens; default true. The URLs must end with the
   * gateways' own path, /connection/websocket: what is beside it is known then.
   */
  fallback?: boolean | undefined;
  /** Milliseconds, default 500. */
  minReconnectDelay?: number | undefined;
  /** Milliseconds, default 20000. */
  maxReconnectDelay?: number | undefined;
}

/** One gateway, or a load balancer, or several gateways that are tried in turn. */
export type ClientOptions = CommonOptions &
  ({ url: string; urls?: undefined } | { url?: undefined; urls: readonly string[] });

export interface Client extends Subscriber {
  /** The state that onConnection() told last. */
  readonly connection: Connection;
  /** Opens the connection, also again after it was closed for good, and keeps it open until close(). */
  connect(): void;
  /** Ends the connection and forgets all subscriptions; no handler of theirs runs any more. */
  close(): void;
  /** The token for the next connection; for programs without getToken. */
  setToken(token: string): void;
  /** Runs soon with the state as it is, then with every change. Returns the function that ends it. */
  onConnection(handler: (connection: Connection) => void | Promise<void>): () => void;
}

/** A connection of its own: it opens with the first subscription and closes after the last one, or as connect() and close() say. */
export function createClient(options: ClientOptions): Client;

/** Sets up the default connection, which opens with the first subscription. */
export function configure(options: ClientOptions): Client;
/** Sets up the default connection, opened at once and kept open. */
export function connect(options: ClientOptions): Client;
/** Ends the default connection; connect() or configure() may set up another one. */
export function close(): void;

export const subscribe: Subscriber['subscribe'];
export const unsubscribe: Subscriber['unsubscribe'];
export const subscriber: Subscriber;
export const onConnection: Client['onConnection'];
