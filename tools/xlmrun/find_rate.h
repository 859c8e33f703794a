// --lr-find: a short run in which the learning rate rises geometrically, to find a good one (Smith, "Cyclical
// Learning Rates for Training Neural Networks", 2017, section 3.3). It writes no files.
#ifndef XLM_XLMRUN_FIND_RATE_H
#define XLM_XLMRUN_FIND_RATE_H

#include <signal.h>

#include "tools/xlmrun/corpus.h"

// Runs, prints a table of rates and losses, and suggests the rate at which the loss falls fastest. stop: set
// by signals; set here when the loss has risen far.
xlm_status find_rate(session *s, const corpus *c, volatile sig_atomic_t *stop);

#endif
