#pragma once
#include <stdint.h>

#include "core_world.h"

/* presence_world - gateways "g1" and "g2" that ask who is there, and the rounds in which both of
 * them are asked.
 *
 * The channel "room" tells its clients, "hall" only how many there are. Limits: 3 clients, 3 users,
 * 2 rounds at once and 4 questions that wait.
 */
extern const char *const gateways[2];

/* No gateway is waited for. */
void presence_setup(void);
/* Starts again, with a wait of 6 s for gateways that may come back; it is over now. */
void setup_return(void);

/* --- events --- */

void question(const char *peer, uint64_t token, uint8_t kind, const char *channel);
void turn(void);
/* A turn in which an address may be asked for again. */
void rested_turn(void);
/* In one step. */
void advance(int64_t ms);
/* A gateway answers with these clients ("a b"), each a user of its own name. */
void part(const char *peer, uint64_t round, const char *clients);
void part_status(const char *peer, uint64_t round, uint16_t status);

/* --- effects --- */

/* Takes the frame that asks this gateway. */
struct bus_presence_ask expect_asked(const char *peer, uint8_t kind, const char *channel);
/* Takes the frames to both and returns the round's number. */
uint64_t expect_round(uint8_t kind, const char *channel);
void check_clients(const struct bus_reply *reply, uint64_t token, const char *clients);
/* One frame with one reply. */
void expect_clients(const char *peer, uint64_t token, const char *clients);
void expect_refused(const char *peer, uint64_t token, enum status status, const char *words);
/* Questions that have no answer yet. */
uint64_t waiting(void);
