/* The workers' signs of life, in anonymous memory that parent and workers share. A worker moves its pulse before each wait for a
 * request and now and then while it waits; whoever is silent for too long is stuck in one request. Says nothing of what they do. */
#ifndef TH_PULSE_H
#define TH_PULSE_H
#include <stdatomic.h>
#include <stdint.h>

struct pulse {
    _Alignas(64) _Atomic int64_t moved_mono_ms;
    _Atomic int64_t request_count; /* answered */
    _Atomic int is_open;           /* it has all that it needs to answer */
};

/** pulse_map(count): heap's like, but shared with the children forked later; NULL: no memory. For the process's life. */
struct pulse *pulse_map(int count);
/** pulse_reset(pulse): a new worker begins now. */
void pulse_reset(struct pulse *pulse);
/** pulse_move(pulse): the worker is alive, now. pulse_count(pulse): and has answered a request. */
void pulse_move(struct pulse *pulse);
void pulse_count(struct pulse *pulse);
/** pulse_silence(pulse): ms since it moved. */
int64_t pulse_silence(const struct pulse *pulse);
/** pulse_max_requests(most, slot, count): how many requests the worker in ${slot} of ${count} may answer before it is replaced: a half
 *  to all of ${most}, another number for each, so that they do not go at once. 0: any number. Pure. */
int64_t pulse_max_requests(int64_t most, int slot, int count);

#endif
