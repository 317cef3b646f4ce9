#include "cli/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/json_text.h"

#define RSA_BITS 2048

cjose_jwk_t *key_file_random(const struct key_algorithm *algorithm)
{
    static const uint8_t exponent[] = {1, 0, 1};
    switch (algorithm->family) {
    case KEY_HMAC:
        return cjose_jwk_create_oct_random(algorithm->hash_bytes * 8, NULL);
    case KEY_RSA:
        return cjose_jwk_create_RSA_random(RSA_BITS, exponent, sizeof exponent, NULL);
    case KEY_EC:
        break;
    }
    return cjose_jwk_create_EC_random(algorithm->hash_bytes == 32   ? CJOSE_JWK_EC_P_256
                                      : algorithm->hash_bytes == 48 ? CJOSE_JWK_EC_P_384
                                                                    : CJOSE_JWK_EC_P_521,
                                      NULL);
}

void key_file_begin(struct buffer *to)
{
    buffer_put_text(to, "{\"keys\":[\n");
}

void key_file_end(struct buffer *to)
{
    buffer_put_text(to, "\n]}\n");
}

void key_file_put(struct buffer *to, const cjose_jwk_t *jwk, const struct key_algorithm *algorithm,
                  const char *kid, bool with_secret)
{
    char *json = cjose_jwk_to_json(jwk, with_secret, NULL);
    if (!json || json[0] != '{') {
        to->failed = true;
        free(json);
        return;
    }
    buffer_put_text(to, "{\"kid\":");
    if (!json_text_string(to, span_text(kid)))
        to->failed = true;
    buffer_put_text(to, ",\"alg\":\"");
    buffer_put_text(to, algorithm->name);
    buffer_put_text(to, "\",\"use\":\"sig\",");
    buffer_put_text(to, json + 1);
    explicit_bzero(json, strlen(json));
    free(json);
}

void key_file_wipe(struct buffer *text)
{
    if (text->data)
        explicit_bzero(text->data, text->size);
    buffer_free(text);
}

static bool write_all(int fd, struct span text)
{
    size_t done = 0;
    while (done < text.size) {
        ssize_t count = write(fd, text.data + done, text.size - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return false;
        done += (size_t)count;
    }
    return fsync(fd) == 0;
}

/* Writes and closes; a file that is not whole is removed. */
static bool finish(int fd, const char *path, struct span text)
{
    bool written = write_all(fd, text);
    int error = errno;
    bool closed = close(fd) == 0;
    if (written && closed)
        return true;
    if (written)
        error = errno;
    unlink(path);
    errno = error;
    return false;
}

/* Who could read the file that is replaced can read this one: a gateway of another user, mostly.
 * Where it cannot be given to the same group it stays its owner's alone. */
static void keep_readers(int fd, const char *path)
{
    struct stat before;
    if (stat(path, &before) != 0)
        return;
    if (fchown(fd, before.st_uid, before.st_gid) == 0 || fchown(fd, (uid_t)-1, before.st_gid) == 0)
        (void)fchmod(fd, before.st_mode & (S_IRWXU | S_IRWXG));
}

bool key_file_write(const char *path, struct span text, bool replace)
{
    if (!replace) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return fd >= 0 && finish(fd, path, text);
    }
    struct buffer other = {0}; /* beside it, so that it can take its place in one step */
    buffer_printf(&other, "%s.XXXXXX", path);
    buffer_put_byte(&other, '\0');
    char *name = (char *)other.data;
    int fd = other.failed ? -1 : mkostemp(name, O_CLOEXEC); /* mode 0600 */
    if (fd >= 0)
        keep_readers(fd, path);
    bool done = fd >= 0 && finish(fd, name, text);
    if (done && rename(name, path) != 0) {
        int error = errno;
        unlink(name);
        errno = error;
        done = false;
    }
    buffer_free(&other);
    return done;
}
