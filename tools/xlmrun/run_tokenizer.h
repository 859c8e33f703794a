// The tokenizer of a run: the one of --tokenizer, or that which lies beside the weights or made its tokens.
#ifndef XLM_XLMRUN_RUN_TOKENIZER_H
#define XLM_XLMRUN_RUN_TOKENIZER_H

#include "runtime/tokenizer/tokenizer.h"
#include "tools/xlmrun/corpus.h"

// Unless flags or run file name one: sets the setting to the tokenizer in the checkpoint or in the folder of
// --init-from, if there is one. To be called when the checkpoint is open.
xlm_status run_tokenizer_resolve(session *s);
// The path that the setting names; NULL: tokens are bytes or plain ids.
const char *run_tokenizer_path(const session *s);
// Opens it; *out NULL: there is none. XLM_USER: the model's vocabulary is smaller.
xlm_status run_tokenizer_open(session *s, xlm_tokenizer **out);
// The files of the run's tokenizer, for its checkpoints: as transformers' AutoTokenizer reads them. Without a
// setting, that of the data's tokens. In the session's arena.
xlm_status run_tokenizer_files(session *s, const corpus *c, const xlm_checkpoint_file **files, int *n);

#endif
