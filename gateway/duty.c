#include "gateway/duty.h"

uint64_t duty_rest(struct duty *self, uint64_t began_ns, uint64_t ended_ns)
{
    if (began_ns - self->window_ns >= self->length_ns) {
        self->window_ns = began_ns;
        self->worked_ns = 0;
    }
    self->worked_ns += ended_ns - began_ns;
    uint64_t passed_ns = ended_ns - self->window_ns;
    if (self->worked_ns <= self->length_ns / DUTY_SHARE || passed_ns >= self->length_ns)
        return 0;
    return self->length_ns - passed_ns;
}
