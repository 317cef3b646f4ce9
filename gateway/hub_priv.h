#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/address.h"
#include "common/deadline.h"
#include "common/map.h"
#include "common/outbox.h"
#include "gateway/frame.h"
#include "gateway/hub.h"
#include "gateway/questions.h"
#include "gateway/recent.h"
#include "gateway/shed.h"
#include "proto/bus_codec.h"
#include "proto/client_codec.h"

/* hub_priv - what the files of the hub share: session.c (one connection), subscription.c (one
 * channel of one connection), presence.c (who is there), interest.c (one address of the gateway),
 * group.c (those of its subscribers that share every frame),
 * emulation.c (commands that come on another connection), audit.c (is its position the broker's?),
 * lag.c (who reads too slowly),
 * guard.c (may it be delivered to this subscription?),
 * revocation.c (who may not read any more), hub.c (the whole).
 *
 * Who owns what: the hub owns sessions and interests; a session owns its subscriptions; an interest
 * owns its groups. A subscription points to its group as long as it counts in group->subscriptions.
 * A subscription owns its guard, if it has one.
 */

#define OWNER(type, member, pointer) ((type *)((char *)(pointer)-offsetof(type, member)))

typedef struct subscription subscription_t;
typedef struct group group_t;
typedef struct interest interest_t;
typedef struct guard guard_t;
typedef struct revocation revocation_t;
typedef struct emulation emulation_t;

/* What waits for one guard, or for one revocation. */
LIST_HEAD(watches, watch);

enum session_state { SESSION_HELLO, SESSION_OPEN, SESSION_REFUSED, SESSION_CLOSING };

struct session {
    /* What every delivery touches, together. */
    TAILQ_ENTRY(session) dirty_link; /* in hub->dirty while is_dirty */
    outbox_t outbox;
    void *connection;
    uint32_t deferred; /* subscriptions that wait for another recovery */
    uint8_t state;
    bool is_dirty;
    bool is_lagging;
    bool is_recovering : 1; /* one recovery at a time, so that replies cannot overflow the outbox */
    bool has_recovery : 1;  /* one may be in the outbox */
    bool ping_pending : 1;

    TAILQ_ENTRY(session) all;
    TAILQ_ENTRY(session) lag_link; /* in hub->lagging while is_lagging */
    struct deadline lag_timer;     /* set meanwhile */
    int64_t lags_since_ms;         /* meanwhile */
    LIST_HEAD(, subscription) subscriptions;
    struct deadline timer; /* connect, heartbeat or end, whatever is next */
    uint64_t number;       /* unique among all gateways: it begins at their incarnation */
    uint32_t subscription_count;
    uint32_t unanswered; /* commands */
    uint32_t ping_ms;    /* as its client was told */
    enum client_close close_code;
    bool drop_queue;
    const char *close_reason; /* NULL: that of close_code */
    char *close_text;         /* owned: what close_reason is when a site gave it */
    size_t held_bytes;        /* in the guards of its subscriptions */
    emulation_t *emulation;   /* how its client's commands find it; NULL: on its own connection */
    /* &hub->visitor, or with a token one of its own. Not NULL once OPEN. */
    const struct identity *identity;
    int64_t heartbeat_at_ms; /* the next ping, or the end of waiting for a pong */
    int64_t end_wall_ms;     /* when the token's time is up, 0: never */
    int64_t refreshed_at_ms; /* 0: never */
};

/* The channel of a session under one client string. Commands on it are strictly serial: while one
 * is being answered the others wait in `waiting`. */
enum subscription_state {
    SUBSCRIPTION_NONE,     /* not subscribed; lives on only for the commands that wait */
    SUBSCRIPTION_FENCED,   /* waits until the address' topic is installed at the broker */
    SUBSCRIPTION_DEFERRED, /* waits for another recovery of this session */
    SUBSCRIPTION_ASKED,    /* the broker was asked */
    SUBSCRIPTION_CATCHING, /* answered; gets what was published between the answer and now */
    SUBSCRIPTION_LIVE,     /* a member of its group: gets every publication beyond `after` */
    SUBSCRIPTION_LOST      /* something cannot be restored: to be told, gets nothing until then */
};

/* A command that waits for its turn. */
struct waiting {
    STAILQ_ENTRY(waiting) link;
    struct client_command command; /* its spans are not valid any more */
    int64_t deadline_ms;
};

struct subscription {
    /* What every delivery touches: within the first SUBSCRIPTION_ALIGNMENT bytes, which are in one
     * cache line. */
    session_t *session;
    uint64_t after;   /* everything up to this offset was told to the client, or is held for it */
    int64_t until_ms; /* before that time it may read: INT64_MAX, as long as it lives */
    group_t *group;

    guard_t *guard; /* NULL: nothing is held, and no permission asked for */
    uint32_t slot;  /* in group->members while LIVE */
    uint8_t state;
    bool is_busy;  /* a command of this channel is being answered, or catches up after its answer */
    bool is_asker; /* the question names the subscriber: its answer is a permission, too */
    LIST_ENTRY(subscription) link;
    TAILQ_ENTRY(subscription) queue; /* interest->fenced or hub->lost, by state */
    STAILQ_HEAD(, waiting) waiting;

    /* The command being answered. */
    struct deadline timer;
    struct client_command command;
    question_token question; /* 0: none */
};

#define SUBSCRIPTION_ALIGNMENT 32
_Static_assert(offsetof(struct subscription, until_ms) + sizeof(int64_t) <= SUBSCRIPTION_ALIGNMENT,
               "a delivery touches one cache line of a subscription");

/* The subscribers of one address that use the same client string: they share every frame. */
struct group {
    LIST_ENTRY(group) link;
    interest_t *interest;
    subscription_t **members;
    uint32_t member_count, member_room;
    uint32_t subscriptions; /* members and those on their way in or out */
    uint32_t name_size;
    uint64_t number;    /* no other group has or had it; not 0 */
    struct buffer head; /* of every push, see client_write_push_head */
    char name[];        /* the client string */
};

enum interest_state {
    INTEREST_FENCING,   /* the topic is not known to be installed: publications are held */
    INTEREST_ASKING,    /* installed, the position is not known yet: publications are held */
    INTEREST_REPAIRING, /* a range is being fetched, or what was held comes in pieces: the same */
    INTEREST_LIVE       /* publications are delivered as they come */
};

enum audit_state {
    AUDIT_IDLE,
    AUDIT_WAITING, /* in hub->audits: to be asked */
    AUDIT_ASKED,   /* the broker was asked for the position */
    AUDIT_DOUBTED  /* in hub->doubts: the broker's position is another one than ours */
};

struct audit {
    struct deadline timer;
    TAILQ_ENTRY(interest) link;
    uint64_t epoch, offset;  /* DOUBTED: what the broker said */
    uint64_t canaries;       /* DOUBTED: heard by then */
    question_token question; /* ASKED */
    uint8_t state;
};

struct interest {
    LIST_HEAD(, group) groups;
    TAILQ_HEAD(, subscription) fenced;
    TAILQ_ENTRY(interest) fence_link;  /* in hub->fencing while FENCING */
    TAILQ_ENTRY(interest) repair_link; /* REPAIRING: in hub->repairs, repairs_asked or releasing */
    struct deadline linger;            /* set while nobody subscribes */
    TAILQ_ENTRY(interest) linger_link; /* in hub->lingering meanwhile */
    struct deadline repair_timer;      /* set while a range is asked for */
    struct audit audit;
    recent_t *recent;        /* NULL unless something joins or is held */
    uint64_t epoch, offset;  /* of the last publication delivered, if has_position */
    uint64_t broker;         /* the last one that has said so, or that it can go on from there */
    uint64_t fence;          /* FENCING: the number that must come back, 0: not sent yet */
    question_token question; /* REPAIRING: the range asked for, 0: waits in hub->repairs */
    uint32_t subscriptions;
    uint32_t joining; /* subscriptions between their command and LIVE */
    uint8_t state;
    uint8_t slow_reader; /* as the broker said last */
    bool has_position;
    bool has_hidden_hole; /* something was not held, and what is held may not show that */
    bool is_queued;
    bool is_releasing; /* in hub->releasing */
    bool is_lingering;
    uint16_t topic_size;
    uint8_t topic[]; /* BUS_TOPIC_PUBLICATION, then the canonical address */
};

/* Something for the bus. */
struct outgoing {
    STAILQ_ENTRY(outgoing) link;
    enum hub_effect_kind kind;
    payload_t *bytes;
};

TAILQ_HEAD(session_list, session);
TAILQ_HEAD(relays, relay);

/* Commands that another gateway was given. */
enum relay_state {
    RELAY_WAITING,  /* for the answer, or for the broker; in hub->relays */
    RELAY_ANSWERED, /* to be told; in hub->relays_answered */
    RELAY_LATE      /* nobody waits for the answer any more; in hub->relays_late */
};

struct hub {
    int64_t now_ms; /* of the event being handled */
    struct hub_settings settings;
    struct hub_metrics metrics;
    char *site;
    struct identity visitor; /* every connection without a token */
    int64_t wall_ahead_ms;   /* of now_ms */

    struct session_list sessions;
    struct session_list dirty;
    struct session_list lagging;
    deadlines_t *lag_timers;
    shed_t *shed;
    int64_t oldest_seen_ms; /* when oldest_ms was found, 0: never */
    uint64_t oldest_ms;
    size_t session_count, closing_count;
    uint64_t session_number, group_number;
    deadlines_t *session_timers;
    outbox_pool_t *outboxes;
    client_reader_t *reader;
    payload_t *ping;

    deadlines_t *command_timers;
    questions_t *questions;
    struct buffer ask; /* questions of this turn, an unfinished ask frame */
    uint16_t ask_count;
    TAILQ_HEAD(, subscription) lost;
    int64_t lost_at_ms; /* when losses were told last, for their pace */

    deadlines_t *guard_timers;
    TAILQ_HEAD(, guard) unasked;          /* they want a permission that cannot be asked for now */
    TAILQ_HEAD(, revocation) revocations; /* to be confirmed, the oldest first */
    uint32_t revocation_count, watch_count;

    map_t *interests;
    struct recent_total held; /* by all of them */
    deadlines_t *linger_timers;
    TAILQ_HEAD(, interest) lingering; /* the one that began first is first */
    uint32_t lingering_count;
    deadlines_t *repair_timers;
    TAILQ_HEAD(fencing, interest)
    fencing; /* in the order of their fences, those without one last */
    TAILQ_HEAD(, interest) repairs, repairs_asked; /* in the order in which they began to wait */
    TAILQ_HEAD(, interest) releasing; /* the rest of what they hold comes with a tick */
    size_t released;                  /* bytes that were held, put in this turn */
    uint32_t repairs_in_flight;
    deadlines_t *audit_timers;
    TAILQ_HEAD(, interest) audits;
    TAILQ_HEAD(, interest) doubts; /* the first was doubted first */
    uint32_t audits_in_flight;
    uint64_t audit_number; /* scatters them */
    uint64_t fence;        /* the last number sent */
    uint64_t fence_passed; /* the last number that came back or was given up */
    int64_t fence_at_ms;   /* since when the fences between the two are waited for */

    bool broker_is_up;
    uint64_t broker;
    uint64_t revoked;        /* the last revocation of that broker that was applied */
    bool misses_revocations; /* some behind it were lost, and everybody is asked about */
    uint64_t canary_broker, canary;
    uint64_t canaries;    /* heard in all */
    int64_t canary_at_ms; /* 0: never */
    int64_t alive_at_ms;  /* since when the next canary is waited for, while broker_is_up */
    int64_t silence_ms;   /* how long until its absence means something */

    map_t *emulations;                                  /* by the text of the secret */
    struct relays relays, relays_answered, relays_late; /* the oldest first */
    size_t relay_bytes;
    char node[17]; /* what clients call this gateway */

    STAILQ_HEAD(, outgoing) outgoing;
    payload_t *taken;               /* bytes of the effect handed out last */
    struct buffer text, why, asker; /* scratch */

    /* The clients that a reply lists, as JSON, for further replies of its frame with the same list.
     * Kept while a frame of answers is read. */
    struct buffer roster;
    const uint8_t *roster_of; /* the list's bytes in the frame; NULL: none yet */
};

/* --- hub.c --- */

/* Queues bytes for the bus. False when memory is exhausted: a lost question or fence is repaired by
 * its deadline. */
bool hub_queue(hub_t *self, enum hub_effect_kind kind, struct span bytes);
/* Adds one question to this turn's ask frame. */
void hub_ask(hub_t *self, const struct bus_question *question);
/* The same in the name of an open session: the answer is a refusal if it may not read. Asks nothing
 * when memory is exhausted: the question must have a deadline. */
void hub_ask_as(hub_t *self, const session_t *session, int64_t deadline_ms,
                const struct bus_question *question);

/* --- session.c --- */

void session_timeout(hub_t *self, session_t *session);
/* Decides to close: from now on nothing is sent or read, subscriptions end when the effect is
 * taken. */
void session_close(hub_t *self, session_t *session, enum client_close code, bool drop_queue);
/* Queues a frame; of a session that is too slow for it others are left out, or it is closed. Does
 * nothing when closing. */
void session_send(hub_t *self, session_t *session, payload_t *frame);
/* Queues one JSON text as a frame of its own. */
void session_send_text(hub_t *self, session_t *session, struct span text);
/* Replies: count the command as answered. */
void session_reply(hub_t *self, session_t *session, struct span text);
/* The one that a subscription begins with, a group's member from now on. */
void session_reply_subscribed(hub_t *self, session_t *session, struct span text, uint64_t group);
void session_reply_error(hub_t *self, session_t *session, uint32_t id, enum client_error code,
                         const char *text);
/* A temporary one, whatever its code. */
void session_reply_temporary(hub_t *self, session_t *session, uint32_t id, enum client_error code,
                             const char *text);
/* Closes it for good, on the site's behalf. */
void session_disconnect(hub_t *self, session_t *session, struct span reason);
/* The address that a client string means on this session, whose context it may lie outside of. */
enum address_rule session_address(const session_t *session, struct span text, struct address *out);
/* Who an open session is. Of an anonymous one the id is empty. */
const struct subscriber *session_subscriber(const session_t *session);
struct span session_subscriber_id(const session_t *session);
/* The UUID of the connect reply, written into scratch. */
#define SESSION_CLIENT_ID_BYTES 36
struct span session_client_id(const session_t *session, char scratch[SESSION_CLIENT_ID_BYTES + 1]);

/* --- lag.c --- */

/* Its outbox has no room for the frame, or no memory: makes room and puts it there, or closes it.
 * True: it is there. */
bool lag_put(hub_t *self, session_t *session, payload_t *frame);
/* Nothing waits for its client any more, or nobody minds. */
void lag_end(hub_t *self, session_t *session);
/* Those for whom something has waited too long. */
void lags_tick(hub_t *self);
/* queue_ms is another one. */
void lags_restart(hub_t *self);
/* How long what waits longest has waited; 0 while nothing does. */
uint64_t lags_oldest_ms(hub_t *self, int64_t now_ms);

/* --- emulation.c --- */

/* False when memory is exhausted. */
bool emulations_begin(hub_t *self);
void emulations_end(hub_t *self);
/* For the reply to connect: where further commands go. */
void emulation_describe(const hub_t *self, const session_t *session, struct client_connected *to);
/* No command finds this session any more. */
void emulation_end(hub_t *self, session_t *session);
/* The broker is there: what waited for it goes out. */
void relays_send(hub_t *self);
/* The broker that it was sent to, if it was, will not answer it. */
void relay_give_up(hub_t *self, relay_t *relay);
/* Those that were not answered in time. */
void relays_tick(hub_t *self);
/* Milliseconds until then, -1: none waits. */
int64_t relays_wait(const hub_t *self, int64_t now_ms);
/* False: none is to be told about. */
bool relay_take(hub_t *self, struct hub_effect *out);

/* --- subscription.c --- */

/* A subscribe, unsubscribe, history, presence or presence_stats command. */
void subscription_command(hub_t *self, session_t *session, const struct client_command *command);
/* Forgets everything about it; no reply, no push. */
void subscription_destroy(hub_t *self, subscription_t **subscription_p);
/* The address' topic is installed now. */
void subscription_fence_passed(hub_t *self, subscription_t *subscription);
void subscription_answered(hub_t *self, subscription_t *subscription, const struct bus_reply *reply,
                           enum question_kind kind);
/* The command being answered is given up: a temporary error. */
void subscription_give_up(hub_t *self, subscription_t *subscription);
/* A member whose stream was lost: no more deliveries, to be told in its turn. */
void subscription_lose(hub_t *self, subscription_t *subscription);
/* Tells it. */
void subscription_tell_lost(hub_t *self, subscription_t *subscription);
/* It may not read any more: ends it, and tells the client why. */
void subscription_expel(hub_t *self, subscription_t *subscription, enum client_unsubscribe code);
/* The same for a revocation. The subscription may be gone afterwards. */
void subscription_revoke(hub_t *self, subscription_t *subscription);
/* What was asked when it still could read: asks it again, in its name. Does nothing when no history
 * or presence is being asked. */
void subscription_ask_again(hub_t *self, subscription_t *subscription);
/* The outbox of a session became shorter: the next recovery may be asked for. */
void subscription_resume_recoveries(hub_t *self, session_t *session);

/* Shared by the two files of a subscription. */

static inline interest_t *subscription_interest(const subscription_t *subscription)
{
    return subscription->group->interest;
}

/* Starts to answer a command. */
void subscription_begin(hub_t *self, subscription_t *subscription,
                        const struct client_command *command, int64_t deadline_ms);
/* The command is answered, and what it started has come to rest. */
void subscription_end(subscription_t *subscription);
/* Ends whatever it is on the way to; the client string stays known for commands that wait. */
void subscription_leave(hub_t *self, subscription_t *subscription);
/* Replies with what is in self->text. */
void subscription_reply(hub_t *self, subscription_t *subscription);
/* Leaves, replies with an error (text NULL: the code's own), ends the command. */
void subscription_refuse(hub_t *self, subscription_t *subscription, enum client_error code,
                         const char *text);
/* The same with a temporary error, whatever its code. */
void subscription_refuse_for_now(hub_t *self, subscription_t *subscription, enum client_error code,
                                 const char *text);
/* Asks for the command being answered: in the subscriber's name unless that may read now anyway. */
void subscription_ask(hub_t *self, subscription_t *subscription,
                      const struct bus_question *question);
/* The broker answered a history or presence. Afterwards: true, the reply goes to the client; false,
 * it does not, since who asked may not read (any more): the command is answered, or will be. */
bool subscription_may_have(hub_t *self, subscription_t *subscription,
                           const struct bus_reply *reply);
/* The inside of a JSON array of publications. */
void subscription_write_publications(struct buffer *to, struct span publications);

/* --- subscription_join.c --- */

void subscription_subscribe(hub_t *self, subscription_t *subscription,
                            const struct client_command *command, int64_t deadline_ms);
void subscription_subscribe_answered(hub_t *self, subscription_t *subscription,
                                     const struct bus_reply *reply);
void subscription_caught_up(hub_t *self, subscription_t *subscription,
                            const struct bus_reply *reply);

/* --- presence.c --- */

/* A presence or presence_stats command of a subscriber. */
void presence_command(hub_t *self, subscription_t *subscription,
                      const struct client_command *command, int64_t deadline_ms);
/* Asks the broker for it, once more. */
void presence_ask(hub_t *self, subscription_t *subscription);
/* The broker's answer to it. */
void presence_answered(hub_t *self, subscription_t *subscription, const struct bus_reply *reply);
/* The frame of answers is read: its lists go. */
void presence_forget_roster(hub_t *self);

/* --- guard.c --- */

/* A member's permission is over: the frame (NULL: no memory for it) waits for another one, which
 * the broker is asked for. False: that is impossible, it is LOST and no member any more. */
bool guard_hold(hub_t *self, subscription_t *subscription, payload_t *frame);
/* A frame for this subscription alone: sent, or held; or it is LOST afterwards. */
void guard_deliver(hub_t *self, subscription_t *subscription, payload_t *frame);
/* The answer to its subscribe command: it may read for so long. */
void guard_grant(hub_t *self, subscription_t *subscription, uint32_t grant_ms);
/* The answer to another question in its name: the same. */
void guard_renew(hub_t *self, subscription_t *subscription, uint32_t grant_ms);
/* Asks whether it may read, if that is not being asked. False when memory is exhausted. */
bool guard_ask(hub_t *self, subscription_t *subscription);
/* The broker's answer to that. */
void guard_answered(hub_t *self, subscription_t *subscription, const struct bus_reply *reply);
/* It may read only when the broker says so once more, from now on; the revocation (NULL: none)
 * waits for that. */
void guard_recheck(hub_t *self, subscription_t *subscription, revocation_t *revocation);
/* Nothing is held, asked or permitted any more. */
void guard_end(hub_t *self, subscription_t *subscription);
/* The question of this one will not be answered. */
void guard_link_lost(hub_t *self, subscription_t *subscription);
/* The broker can be asked (again): by all that wait for it. */
void guards_ask(hub_t *self);
/* Those that were not answered in time are lost. */
void guards_tick(hub_t *self);

/* --- revocation.c --- */

/* From now on the revocation waits for what becomes of a guard. */
void revocation_watch(hub_t *self, revocation_t *revocation, struct watches *of_guard);
/* What all of them have waited for: the guard's subscription goes on, or has ended. */
void revocations_decided(hub_t *self, struct watches *of_guard, bool ended);
/* Confirms those that have waited long enough. */
void revocations_tick(hub_t *self);
/* Milliseconds until then, -1: none waits. */
int64_t revocations_wait(const hub_t *self, int64_t now_ms);
/* Forgets all that wait. */
void revocations_end(hub_t *self);

/* --- group.c --- */

/* Without subscriptions yet; the interest's. NULL when memory is exhausted. */
group_t *group_new(hub_t *self, interest_t *interest, struct span name);
/* The one with this client string, NULL: there is none. */
group_t *group_find(const interest_t *interest, struct span name);
/* It must have no subscription any more. */
void group_destroy(group_t **group_p);
/* A member from now on. False when memory is exhausted. */
bool group_add(group_t *group, subscription_t *subscription);
void group_remove(group_t *group, subscription_t *subscription);
/* A push frame of one publication for one client string. NULL when memory is exhausted. */
payload_t *group_frame(const hub_t *self, const group_t *group, struct span body, uint64_t offset);
/* To all members that have not had it yet. */
void group_deliver(hub_t *self, group_t *group, struct span body, uint64_t offset);

/* --- interest.c --- */

/* The group of a client string, made when needed; counts one subscription more in it. NULL when
 * memory is exhausted. */
group_t *interest_join(hub_t *self, const struct address *address, struct span name);
/* One subscription less. It must not be a member any more. */
void group_leave(hub_t *self, group_t **group_p);
/* From here on publications are held for a subscription that joins, until interest_joined. False
 * when memory is exhausted. */
bool interest_joining(hub_t *self, interest_t *interest);
/* It came through, or gave up, and needs the held publications no more. */
void interest_joined(interest_t *interest);
/* What the broker said to a subscriber: the position of an address that had none, or another
 * epoch. Afterwards the interest has a position of that epoch. */
void interest_learn(hub_t *self, interest_t *interest, uint64_t epoch, uint64_t offset);
/* Goes on after interest_learn: delivers what was held. */
void interest_settle(hub_t *self, interest_t *interest);
void interest_publication(hub_t *self, interest_t *interest, const struct bus_delivery *delivery);
/* The position that a digest gives. */
void interest_mark(hub_t *self, interest_t *interest, uint64_t epoch, uint64_t offset);
void interest_answered(hub_t *self, interest_t *interest, const struct bus_reply *reply);
/* A LIVE one has a hole. */
void interest_mend(hub_t *self, interest_t *interest);
/* Publications may have been missed on any address: fence all again. */
void interests_unsync(hub_t *self);
/* One fence for all addresses that have none yet. */
void interests_send_fence(hub_t *self);
/* A fence did not come back in time: a new one for all that wait. */
void interests_fence_late(hub_t *self);
void interests_fence_passed(hub_t *self, uint64_t number);
/* Puts some more of what was held, if that is under way. */
void interests_release(hub_t *self);
/* Asks for ranges as far as the number in flight allows. */
void interests_ask_repairs(hub_t *self);
/* A range was not answered in time, or never will be: asks again. */
void interest_repair_again(hub_t *self, interest_t *interest);
void interest_destroy(hub_t *self, interest_t **interest_p);
struct span interest_address(const interest_t *interest);

/* --- audit.c --- */

/* An address' audits begin and end with it. */
void audit_begin(hub_t *self, interest_t *interest);
/* The period has changed: all addresses begin anew. */
void audits_restart(hub_t *self);
void audit_end(hub_t *self, interest_t *interest);
/* Its time has come: it waits to be asked. */
void audit_due(hub_t *self, interest_t *interest);
/* Asks for positions as far as the number in flight allows. */
void audits_ask(hub_t *self);
void audit_answered(hub_t *self, interest_t *interest, const struct bus_reply *reply);
/* Forgets the audit under way: what it would find is being looked for by other means. */
void audit_drop(hub_t *self, interest_t *interest);
/* A canary came: what is still doubted is a hole. */
void audits_canary(hub_t *self);
