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
// Opens it or, without a setting, the one that made the tokens of c (NULL: no data); *out NULL: there is
// none. XLM_USER: the model's vocabulary is smaller.
xlm_status run_tokenizer_open(session *s, const corpus *c, xlm_tokenizer **out);
// The ids of its tokens for config.json, in the session's arena; NULL: there is no tokenizer, or one that
// cannot be read, which a note says: its files can go along nevertheless.
xlm_status run_tokenizer_tokens(session *s, const xlm_config_tokens **out);
// Sets what checkpoints have of the run's tokenizer: its files, as transformers' AutoTokenizer reads them,
// and its tokens. Without a setting, that of the data's tokens. In the session's arena.
xlm_status run_tokenizer_files(session *s, const corpus *c, xlm_saver_options *out);

#endif
