#pragma once

/* What becomes of a channel's publications that wait for a client which reads too slowly. As the
 * setting `slow_reader` lists them. */
enum slow_reader {
    SLOW_READER_DISCONNECT, /* the connection is closed; the client comes back for all of them */
    SLOW_READER_LATEST,     /* of each address only the newest is kept */
    SLOW_READER_DROP_OLDEST /* the oldest go, as many as there is no room or time for */
};
