#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hub_world.h"

/* client_world - what the clients of a hub_world say and hear, and what they may read, in few
 * words.
 *
 * One world for the whole program: Check forks for each test. Client 0 where none is named, and
 * stream 0 ("s0") where none is named.
 */
extern struct world world;

/* A world in which client 0 is connected. */
void given(void);
void given_settings(struct hub_settings settings);
void done(void);
const struct hub_metrics *metrics(void);

/* --- what is said and heard --- */

/* One frame; as it is, not as a format. */
void say(const char *text);
/* Subscribes and reads the reply. */
void subscribe(size_t client, const char *channel);

/* The next text that came contains this part. */
void expect(const char *part);
void expect_from(size_t client, const char *part);
void expect_nothing(void);
void expect_nothing_for(size_t client);
/* The next text is the publication at this offset. */
void expect_publication(size_t client, unsigned long long offset);
void expect_closed(enum client_close code);

/* --- what moves --- */

/* Published and come through to the gateway, which has asked by now what it asks. */
void published(size_t stream);
/* The gateway's interest is known, and the fence's answer has come. */
void fenced(void);
/* To the broker and back. */
void answered(void);
/* What the broker has said comes in. */
void answers_come(void);
/* Those asked by now are not answered. */
void lose_questions(void);

/* --- permissions --- */

/* What the broker says from now on. */
void verdict(uint16_t status, bool temporary, uint32_t grant_ms);
/* As given, and client 0 has subscribed with a permission for so long. */
void given_granted(uint32_t grant_ms);
/* The same for 100 ms, which are over now. */
void given_over(void);
/* The same, and one message waits. */
void given_held(void);
void expect_nothing_held(void);
