// What of a plan takes part in scoring: its token inputs and its logits.
#include "runtime/evaluate/score.h"
#include "runtime/exec/text_part.h"

static xlm_status no_logits(xlm_arena *a, const xlm_plan *p, xlm_error *err) {
  const char *other = xlm_other_output(p, XLM_PROGRAM_EVAL, a);
  if (other)
    return xlm_fail(err, XLM_USER,
                    "tasks need the probabilities of tokens, from an output [batch, seq, vocab] of the model, "
                    "and its output %s; `xlmrun eval` without --tasks computes its loss",
                    other);
  return xlm_fail(err, XLM_USER,
                  "tasks need the probabilities of tokens, from an output [batch, seq, vocab] of the model: add "
                  "`output logits`");
}

xlm_status xlm_scorer_window(xlm_arena *a, const xlm_plan *p, int64_t *window, int64_t *vocab,
                             xlm_error *err) {
  bool tokens = false;
  xlm_text_part whole;
  if (!xlm_find_logits(p, XLM_PROGRAM_EVAL, &whole)) return no_logits(a, p, err);
  *window = whole.seq->full, *vocab = whole.vocab->full;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_inputs; i++) {
      const xlm_plan_input *in = &p->rank_plans[c]->inputs[i];
      tokens = tokens || xlm_filling_of(in) == XLM_FILL_TOKENS;
      if (xlm_input_is_data(in->role) && !xlm_filling_of(in))
        return xlm_fail(
            err, XLM_USER,
            "the model's outputs depend on the input `%s`, which a text does not fill: tasks are for "
            "models that continue texts",
            in->name);
    }
  return tokens
             ? XLM_OK
             : xlm_fail(err, XLM_USER,
                        "no input of the model is a stream of tokens (`input tokens[batch, seq] of vocab`): "
                        "tasks are for models that continue texts");
}
