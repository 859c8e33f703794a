// A CUDA runtime without a card, for tests: the table of runtime/device/cuda/runtime.h over host memory.
//
// What is put on a queue becomes an operation that comes after what the queue, its events and the host's
// waits order it after, and after nothing else. It runs when the host waits for something, in a random order
// that this allows. So a wait that is missing changes results; and it is found exactly, whatever the order:
// every operation says what bytes it touches (copies and fills their own, launches those of the announced
// instruction), and two that touch the same bytes, one writing, in no order, are an error. So are the
// mistakes that a card may let pass: waiting for an event that was never recorded, copies without pinned
// memory, waiting or taking memory while capturing, a capture that is not joined, the use of what is closed.
// As on a card, an error of an operation is told by later calls, on and on, until fake_cuda_reset.
#ifndef XLM_TESTS_FAKE_CUDA_H
#define XLM_TESTS_FAKE_CUDA_H

#include "runtime/device/cuda/runtime.h"

XLM_C_BEGIN

extern const xlm_cuda_runtime fake_cuda;

void fake_cuda_reset(uint64_t seed); // of the order of operations; forgets errors
void fake_cuda_pretend(int driver, int cards,
                       int major); // the machine: 13000, 1, 9 unless this says otherwise
const char *fake_cuda_error(void); // NULL: none
// Puts work on a queue. run returns NULL or what is wrong and may be called any number of times before drop.
void fake_cuda_enqueue(xlm_cuda_queue q, const char *what, const char *(*run)(void *arg),
                       void (*drop)(void *arg), void *arg);
int64_t fake_cuda_taken(void);    // bytes of card memory that are taken
int64_t fake_cuda_largest(void);  // of them, in one allocation
int64_t fake_cuda_asked(void);    // allocations of card and pinned memory, so far
int64_t fake_cuda_open(void);     // queues, events, graphs that are not closed
int64_t fake_cuda_waiting(void);  // operations that have not ended
int64_t fake_cuda_launches(void); // of graphs, so far

XLM_C_END

#endif
