#pragma once
#include <stddef.h>
#include <stdint.h>

#include "client_world.h"

/* revocation_world - the site "acme", whose people have tokens, and a broker that takes back what
 * they may.
 *
 * Nobody is connected at first. A fixture: setup and teardown.
 */
#define MEMBER(id) "\"type\":\"MEMBER\",\"sub\":\"" id "\""

void revocation_setup(void);
void revocation_teardown(void);

/* With a token that has these claims; reads the reply. */
void connect_as(size_t client, const char *claims);
/* One member who reads s0. */
void given_member(uint32_t grant_ms);
/* The same to the place where a range is fetched for that member alone. It has got the first part
 * of 14 publications, and the rest was asked for. Returns how many it has got. */
uint64_t given_half_caught_up(void);

/* All clients: each reads s0 and s0:r. */
enum people {
    MEMBER_1 = 1 << 0,
    ADMIN_1 = 1 << 1,
    MEMBER_2 = 1 << 2,
    VISITOR = 1 << 3,
    IN_APP = 1 << 4,
    OF_SITE = MEMBER_1 | ADMIN_1 | MEMBER_2 | VISITOR,
    ALL = OF_SITE | IN_APP
};
void given_people(void);
uint32_t count_of(unsigned who);

/* Reaches the gateway; what it says to that waits. */
void revoke(struct bus_revoke frame);
/* Of the channel itself, for everybody. */
void revoke_s0(uint8_t mode);

/* What the gateway has said comes to the broker: */
/* the last one's number, and whom that was about */
void expect_confirmed(uint32_t affected, uint32_t ended);
void expect_unconfirmed(void);
/* so many of all */
void expect_confirmations(uint64_t count);
