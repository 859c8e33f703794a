// Decoding over the program eval: every put computes the whole window, of all slots. Positions after the end
// of a text do not affect a causal model.
#include "runtime/decode/decoder_priv.h"

xlm_status run_window(xlm_decoder *d, const xlm_decoder_piece *pieces, int n, xlm_error *err) {
  for (int i = 0; i < d->n_slots; i++) d->rows[i] = (row){d->slots[i].tokens, 0, d->slots[i].length};
  XLM_TRY(program_run(d, &d->eval, err));
  for (int i = 0; i < n; i++)
    XLM_TRY(program_logits(d, &d->eval, pieces[i].slot, d->slots[pieces[i].slot].length - 1, err));
  return XLM_OK;
}
