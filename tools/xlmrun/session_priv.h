// The parts of a session; see session.h.
#ifndef XLM_XLMRUN_SESSION_PRIV_H
#define XLM_XLMRUN_SESSION_PRIV_H

#include "tools/xlmrun/session.h"

// ---- session_model.c ----

// --print-config: prints a run file. Without a model, flags may be names of one.
xlm_status session_show_settings(session *s);

// ---- session_processes.c ----

// Fills s->mpi. Fails if the processes that were started are not one for each rank of the mesh.
xlm_status session_connect(session *s, const xlm_mesh *m);
// Threads of a process with one rank: its share of the processors of this host.
int session_process_threads(const session *s);
// Is --threads within what this machine has use for?
xlm_status session_check_threads(session *s);
// For a saved plan: as many as there are processors, but no more than the plan allows.
xlm_status session_settle_threads(session *s);

#endif
