#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/hub.h"
#include "proto/buffer.h"
#include "proto/bus_codec.h"

/* emulation_world - gateways' hubs, clients with streams, whose commands may come to any of the
 * gateways, and the broker between these: relay and relayed frames wait on the bus until the test
 * lets them move on, one by one.
 *
 * The links of all hubs are up at the start. Clients do not ping within a test's time.
 */
#define EMULATION_HUBS     3
#define EMULATION_REPLY_MS 1000
#define EMULATION_COST     256                  /* of a relay, besides its frame */
#define EMULATION_BYTES    (8 * EMULATION_COST) /* that may be on their way */
#define EMULATION_BROKER   77                   /* its nonce */

struct emulation_stream {
    size_t hub;
    session_t *session; /* NULL: gone */
    char name[33], node[17];
    struct buffer heard; /* a line a frame */
    bool is_closed;      /* HUB_CLOSE came */
    enum client_close code;
};

struct emulation_request {
    size_t hub;
    relay_t *relay;
    unsigned told; /* HUB_RELAYED came */
    enum hub_emulated emulated;
};

extern hub_t *hubs[EMULATION_HUBS];
extern const uint64_t incarnations[EMULATION_HUBS];
extern int64_t now_ms;

void emulation_setup(void);
void emulation_teardown(void);

/* --- clients --- */

/* A secret of 16 such bytes. NULL in ->session when the hub refuses. */
void stream_open(struct emulation_stream *to, size_t hub, uint8_t secret);
/* The same, connected, and the names for its commands are known. */
void stream_connect(struct emulation_stream *to, size_t hub, uint8_t secret);
/* Its connection is gone. */
void stream_gone(struct emulation_stream *stream);
/* What it was told since the last time has this part. */
void expect_heard(struct emulation_stream *stream, const char *part);
void expect_silence(struct emulation_stream *stream);

/* Commands for a session, a frame; they come to this hub. */
enum hub_emulated emulate_for(struct emulation_request *to, size_t hub, const char *session,
                              const char *node, struct span frame);
enum hub_emulated emulate(struct emulation_request *to, size_t hub,
                          const struct emulation_stream *stream, const char *frame);
/* A frame of so many spaces, at most EMULATION_BYTES, which is no command. */
enum hub_emulated emulate_size(struct emulation_request *to, size_t hub,
                               const struct emulation_stream *stream, size_t size);
/* Goes to another gateway. */
void relay(struct emulation_request *to, size_t hub, const struct emulation_stream *stream,
           const char *frame);
/* Nobody wants to know any more. */
void abandon(struct emulation_request *from);
void expect_told(struct emulation_request *request, enum hub_emulated emulated);
void expect_untold(const struct emulation_request *request);

/* A command that is answered at once, without the broker, with an error of this id. */
#define COMMAND(id)  "{\"id\":" #id ",\"publish\":{\"channel\":\"c\",\"data\":{}}}"
#define ANSWERED(id) "{\"id\":" #id ",\"error\":{\"code\":103"

/* --- the bus --- */

/* The oldest frame: to the gateway it is for, as the broker's core_relay does. */
void bus_move(void);
void bus_move_all(void);
void bus_lose(void);
size_t bus_waiting(void);
/* The oldest frame is a relay of these commands for this stream; it moves. */
void expect_relay(const struct emulation_stream *stream, const char *commands);
/* The oldest frame stays where it is. Valid until it moves. */
struct bus_relay bus_relay_frame(void);
struct bus_relayed bus_relayed_frame(void);
/* A frame relayed comes to a gateway. */
void answer_relay(size_t hub, uint64_t token, uint16_t status);
/* The client subscribes to "c" as command 8, as far as the question to the broker: its token. */
uint64_t ask_to_subscribe(const struct emulation_stream *from);
/* A frame of answers comes to a gateway, with one to such a question. */
void answer_question(size_t hub, uint64_t token);

/* --- time and effects --- */

void take_effects(size_t hub);
void advance(int64_t ms);
void link_down(size_t hub);
void link_up(size_t hub);
const struct hub_metrics *metrics_of(size_t hub);
uint64_t relayed_bytes(size_t hub);
uint64_t relays_failed(size_t hub);
