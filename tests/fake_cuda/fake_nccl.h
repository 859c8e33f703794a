// NCCL without cards, for tests: the table of runtime/device/cuda/nccl.h over the fake runtime.
//
// A group of sends and receives is an operation of a stream: it posts them when it runs, which may be in any
// legal order, and lasts until each has met its partner; then the bytes move. Found are: partners of
// different size or type, a partner that never comes while every rank waits, memory that is not the card's,
// receives that overlap anything else of their group, a communicator that is used while it is in progress,
// that waits for other ranks in a call, that is destroyed before it is finalized, or closed while a graph
// holds operations of it. Whether a call is in progress when it returns is left to chance, and what it
// enqueues is then not on the stream before the communicator is asked.
#ifndef XLM_TESTS_FAKE_NCCL_H
#define XLM_TESTS_FAKE_NCCL_H

#include "runtime/device/cuda/nccl.h"

XLM_C_BEGIN

void fake_nccl_pretend(int version); // 22809 unless this says otherwise; 0: there is no library
void fake_nccl_break(int rank);      // what this rank communicates from now on fails; -1: nobody's
int64_t fake_nccl_open(void);        // communicators that are neither destroyed nor aborted
int64_t fake_nccl_groups(void);      // groups of sends and receives that have run on cards, so far

XLM_C_END

#endif
