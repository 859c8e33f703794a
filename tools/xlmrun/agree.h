// All processes of a run must have been started alike: another flag, model text or file on one host would end
// in nonsense, or in ranks that wait for one another.
#ifndef XLM_XLMRUN_AGREE_H
#define XLM_XLMRUN_AGREE_H

#include "tools/xlmrun/corpus.h"

// Plan, settings and checkpoint; XLM_USER names what differs and where. Settings that say where things are
// and how fast (paths, threads, memory) may differ.
xlm_status agree_on_run(session *s) XLM_MUST_CHECK;
// The data: as many tokens, and the same at some places.
xlm_status agree_on_data(session *s, const corpus *c) XLM_MUST_CHECK;

#endif
