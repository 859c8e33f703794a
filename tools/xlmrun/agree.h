// All processes of a run must be started with equal arguments: another flag, model text or file on one host
// would produce wrong results or a deadlock.
#ifndef XLM_XLMRUN_AGREE_H
#define XLM_XLMRUN_AGREE_H

#include "tools/xlmrun/corpus.h"

// Compares plan, settings and checkpoint; XLM_USER names the difference and its place. Settings of locations
// and speed (paths, threads, memory) may differ.
xlm_status agree_on_run(session *s) XLM_MUST_CHECK;
// Compares the data: the number of tokens, and samples of them.
xlm_status agree_on_data(session *s, const corpus *c) XLM_MUST_CHECK;

#endif
