#pragma once

/* limits - the fixed limits of the wire. Those that an operator may change are settings
 * (common/options.def); these are part of the protocol. */

#define LIMIT_SITE_BYTES         64
#define LIMIT_APP_BYTES          64
#define LIMIT_ADDRESS_CODEPOINTS 140 /* channel + resource together */
#define LIMIT_CHANNEL_BYTES      140 /* channel names are ASCII */
#define LIMIT_RESOURCE_BYTES     (4 * LIMIT_ADDRESS_CODEPOINTS)

#define LIMIT_PAYLOAD_DEPTH      16      /* nesting of a published payload, the map itself is 1 */
#define LIMIT_BACKEND_NODES      131072  /* msgpack objects in one backend request */
#define LIMIT_BACKEND_BYTES      2097152 /* one backend request */
#define LIMIT_PUBLISH_MANY_ITEMS 1024
#define LIMIT_PUBLISH_MANY_BYTES 1048576
#define LIMIT_REQUEST_ID_BYTES   64
#define LIMIT_PUBLISHER_BYTES    256
#define LIMIT_KEY_BYTES          64

#define LIMIT_CLIENT_FRAME_BYTES 262144
#define LIMIT_EMULATION_BYTES    524288 /* a body of POST /emulation: one frame, mostly as text */
#define LIMIT_CLIENT_COMMANDS    256    /* in one frame */
#define LIMIT_CLIENT_FRAGMENTS   64     /* WebSocket fragments of one message */
#define LIMIT_CLIENT_JSON_DEPTH  16
#define LIMIT_CLOSE_REASON_BYTES 123

#define LIMIT_TOKEN_BYTES      4096 /* a connection token */
#define LIMIT_TOKEN_DEPTH      16
#define LIMIT_SUBSCRIBER_BYTES 256 /* the id of a subscriber */

#define LIMIT_TTL_SECONDS   2592000 /* the longest that a handler may say a grant holds: 30 days */
#define LIMIT_CHECKS        256     /* questions in one message to a handler */
#define LIMIT_HANDLERS      1024    /* in one handle or unhandle */
#define LIMIT_REASON_BYTES  100     /* of disconnect: it becomes a close reason */
#define LIMIT_MESSAGE_BYTES 256     /* of a handler's error */

#define LIMIT_RECOVERY_MESSAGES 300
#define LIMIT_RECOVERY_BYTES    524288
/* Of ranges in one bus frame: what clients get of it fits into the smallest queue_bytes. */
#define LIMIT_RANGES_BYTES    32768
#define LIMIT_RANGES_MESSAGES 128
#define LIMIT_PRESENCE_BYTES  524288 /* of the clients that one presence answer lists */
#define LIMIT_PRESENCE_USERS  120000 /* that one frame of hashes tells apart */
#define LIMIT_ASK_ITEMS       512    /* questions in one bus frame */
#define LIMIT_BUS_FRAME_BYTES 1048576
