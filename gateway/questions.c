#include "gateway/questions.h"

#include <assert.h>
#include <stdlib.h>

struct question {
    void *asker;
    uint32_t use;  /* how often this place was used: the upper half of its token */
    uint32_t next; /* free list: place + 1, 0 = the end */
    enum question_kind kind;
};

struct questions {
    struct question *places;
    size_t count, room;
    uint32_t free; /* place + 1 */
    size_t open;
    size_t open_of[QUESTION_KINDS];
};

questions_t *questions_new(void)
{
    return calloc(1, sizeof(questions_t));
}

void questions_destroy(questions_t **self_p)
{
    if (!*self_p)
        return;
    free((*self_p)->places);
    free(*self_p);
    *self_p = NULL;
}

static bool add_place(questions_t *self)
{
    if (self->count == self->room) {
        size_t room = self->room ? self->room * 2 : 64;
        if (room > UINT32_MAX / 2)
            return false;
        struct question *places = realloc(self->places, room * sizeof *places);
        if (!places)
            return false;
        self->places = places;
        self->room = room;
    }
    self->places[self->count] = (struct question){0};
    self->free = (uint32_t)++self->count;
    return true;
}

question_token question_open(questions_t *self, enum question_kind kind, void *asker)
{
    assert(kind != QUESTION_NONE && asker);
    if (self->free == 0 && !add_place(self))
        return 0;

    uint32_t place = self->free;
    struct question *question = &self->places[place - 1];
    self->free = question->next;
    question->asker = asker;
    question->kind = kind;
    question->use++;
    self->open++;
    self->open_of[kind]++;
    return (uint64_t)question->use << 32 | place;
}

static struct question *find(const questions_t *self, question_token token)
{
    uint32_t place = (uint32_t)token;
    if (place == 0 || place > self->count)
        return NULL;
    struct question *question = &self->places[place - 1];
    return question->use == token >> 32 && question->kind != QUESTION_NONE ? question : NULL;
}

void question_close(questions_t *self, question_token *token_p)
{
    struct question *question = find(self, *token_p);
    uint32_t place = (uint32_t)*token_p;
    *token_p = 0;
    if (!question)
        return;
    self->open_of[question->kind]--;
    question->asker = NULL;
    question->kind = QUESTION_NONE;
    question->next = self->free;
    self->free = place;
    self->open--;
}

void *question_find(const questions_t *self, question_token token, enum question_kind *kind)
{
    struct question *question = find(self, token);
    *kind = question ? question->kind : QUESTION_NONE;
    return question ? question->asker : NULL;
}

void *question_next(const questions_t *self, size_t *at, enum question_kind *kind)
{
    while (*at < self->count) {
        const struct question *question = &self->places[(*at)++];
        if (question->kind != QUESTION_NONE) {
            *kind = question->kind;
            return question->asker;
        }
    }
    return NULL;
}

size_t questions_open(const questions_t *self)
{
    return self->open;
}

size_t questions_open_of(const questions_t *self, enum question_kind kind)
{
    return self->open_of[kind];
}
