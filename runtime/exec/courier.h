// The second thread of a rank: it runs the communication that kernels need not wait for. What is posted runs
// in the order in which it was posted; a ticket says when it has ended. One thread posts and waits.
#ifndef XLM_EXEC_COURIER_H
#define XLM_EXEC_COURIER_H

#include <stdint.h>

#include "runtime/base/status.h"

typedef struct xlm_courier xlm_courier;
typedef void xlm_courier_fn(void *arg, uint32_t instr);

// room: the most that is under way at once. Nothing is allocated afterwards.
xlm_status xlm_courier_new(xlm_courier_fn *run, void *arg, uint32_t room, xlm_courier **out,
                           xlm_error *err) XLM_MUST_CHECK;
void xlm_courier_free(xlm_courier *c); // when all is done; NULL is fine
uint64_t xlm_courier_post(xlm_courier *c, uint32_t instr);
void xlm_courier_wait(xlm_courier *c, uint64_t ticket);
void xlm_courier_wait_all(xlm_courier *c);

#endif
