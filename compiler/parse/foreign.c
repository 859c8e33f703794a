// Words of PyTorch, JAX, NumPy and einsum, by topic. A word that becomes an operation is not looked up here
// any more, so its line can be removed.
#include "compiler/parse/foreign.h"

#include <stddef.h>
#include <string.h>

typedef struct entry {
  const char *words, *help; // words separated by blanks
} entry;

static const entry table[] = {
    // dimensions
    {"T mT H mH t transpose permute swapaxes swapdims moveaxis",
     "no transpose is needed: `@` and all operations find dimensions by name, in any order"},
    {"view reshape view_as flatten unflatten rearrange",
     "`split(x, hidden -> heads head)` and `merge(x, heads head -> hidden)` divide and join dimensions; "
     "`rename(x, a -> b)` renames one"},
    {"unsqueeze squeeze keepdim expand expand_as expand_dims broadcast_to newaxis tile None",
     "there are no dimensions of size 1: elementwise operations broadcast by name, "
     "`x[batch, seq, hidden] + b[hidden]`"},
    {"repeat_interleave repeat", "`attend` shares key heads between query heads; elementwise operations "
                                 "broadcast by name"},
    {"shape size ndim numel len", "the name of a dimension is its size: `hidden`, `1 / sqrt(head)`"},
    {"contiguous clone copy cpu cuda device to_device", "layout and memory are planned; remove it"},
    {"cat concatenate concat_dim hstack vstack", "write `concat(x, y, a b -> c)`, where `dim c = a + b`"},
    {"chunk narrow select unbind index_select take", "write `slice(x, hidden -> part, start = 0)`"},
    {"roll", "write `shift(x, over seq, by = 1)`; what would come from the other end is 0"},
    {"gather take_along_dim take_along_axis index_add embedding_bag",
     "`lookup(table, index, over d)` reads rows by index, `scatter(x, index, d)` adds them up"},
    {"arange linspace cumrange", "write `iota(d)`: 0, 1, 2, .. along the dimension `d`"},
    {"one_hot OneHot", "write `iota(d) == index`: 1 where the index along `d` is that of the tensor, else 0"},
    // products
    {"matmul mm bmm dot tensordot einsum einops dot_general inner",
     "`x @ w` sums over the dimensions that both have; `contract(x, w, over d)` names them"},
    {"outer kron", "`x * y` broadcasts by name: [batch] and [hidden] give [batch, hidden]"},
    {"linear Linear dense Dense",
     "declare the matrix and multiply: `param w[hidden, ffn] ~ normal(0.02)`, then `x @ w`"},
    {"embedding Embedding Embed", "declare the table: `param table[vocab, hidden] ~ normal(0.02)`, then "
                                  "`lookup(table, tokens)`"},
    {"scaled_dot_product_attention MultiheadAttention dot_product_attention flash_attn_func sdpa",
     "write `attend(q, k, v, causal)` with q[batch, seq, heads, head]"},
    {"Conv1d conv1d Conv2d conv2d conv",
     "there are no convolutions; short ones are sums of `shift(x, ..) * w`"},
    // functions
    {"swish Swish SiLU", "write `silu(x)`"},
    {"GELU gelu_tanh gelu_new", "write `gelu(x)` (tanh) or `gelu_erf(x)` (exact)"},
    {"glu GLU swiglu SwiGLU", "write `silu(x @ gate) * (x @ up)`"},
    {"softplus", "write `log(1 + exp(x))`"},
    {"leaky_relu LeakyReLU prelu", "write `max(x, 0.01 * x)`"},
    {"elu selu", "write `where(lt(x, 0), exp(x) - 1, x)`"},
    {"clamp clip clamp_min clamp_max hardtanh", "write `min(max(x, low), high)`"},
    {"logsigmoid log_sigmoid", "write `-log(1 + exp(-x))`"},
    {"log_softmax", "write `x - logsumexp(x, over vocab)`"},
    {"log2 log10 log1p expm1", "write it with `log(x)` and `exp(x)`"},
    {"fabs absolute", "write `abs(x)`"},
    {"var variance", "write `mean(square(x - mean(x, over hidden)), over hidden)`"},
    {"std stddev", "write `sqrt(mean(square(x - mean(x, over hidden)), over hidden))`"},
    {"erf", "write `gelu_erf(x)` for the exact gelu; there is no `erf` by itself"},
    {"reduce_sum add_reduce", "write `sum(x, over hidden)`"},
    {"reduce_mean average", "write `mean(x, over hidden)`"},
    {"layer_norm LayerNorm", "write `layernorm(x, eps) * scale + bias` with your own `scale` and `bias`"},
    {"rms_norm RMSNorm", "write `rmsnorm(x, eps) * scale` with your own `scale`"},
    {"norm", "write `rmsnorm(x, eps)` or `layernorm(x, eps)`; as blocks with a scale: "
             "`use \"blocks/rmsnorm.xlm\"` or `use \"blocks/layernorm.xlm\"`"},
    {"attention mlp moe head_norm softcap",
     "shipped blocks are in files: `use \"blocks/attention.xlm\"`, `biased_attention`, `rotary`, "
     "`head_norm`, "
     "`swiglu`, "
     "`gelu`, `moe`, `softcap`; each says which dims and lets it needs"},
    {"l2_norm normalize", "write `x * rsqrt(sum(square(x), over hidden) + 1e-6)`"},
    {"masked_fill tril triu mask", "write `where(condition, x, y)`, with a condition such as "
                                   "`iota(seq) >= iota(keys)`; `attend(q, k, v, causal)` masks by itself"},
    {"topk", "write `(w, e) = top_k(x, active, over experts)`"},
    {"Dropout", "write `dropout(x, p)`"},
    {"detach no_grad", "write `stop_gradient(x)`"},
    {"checkpoint remat", "write `recompute` before the call of a block or before `repeat`"},
    {"fori_loop while_loop cond associative_scan lax",
     "loops and choices are made when the model is compiled: `repeat n as i { }`, "
     "`if`; between tensors `where(condition, a, b)`; along a sequence `scan`, `cumsum`"},
    // losses
    {"CrossEntropyLoss nll_loss NLLLoss softmax_cross_entropy",
     "write `loss cross_entropy(logits, targets)`"},
    {"loss", "a loss has no name: write `error = cross_entropy(logits, targets)`, then `loss error`"},
    {"mse_loss MSELoss", "write `loss mean(square(x - y))`"},
    // types
    {"float half bfloat16 double float32 float16 astype type dtype to",
     "the run chooses the type (`--dtype bf16`); `f32(x)` requests "
     "full precision"},
    {"int long", "write `i32(x)`, which drops the fraction"},
    {"bool", "comparisons give 1 and 0: `x != 0`"},
    {"adamw adam sgd lion muon optimizer AdamW Adam",
     "the run chooses the optimizer (`--optimizer adamw`); for some parameters `group \"embed\" { optimizer "
     "= adamw }`"},
    // structure and control
    {"Sequential ModuleList", "write `repeat layers as i { h = ... }`; every round has its own parameters"},
    {"Parameter register_buffer Variable",
     "declare it: `param w[hidden] ~ ones`, or `state s[hidden] ~ zeros`"},
    {"self", "a block's parameters are names of its body: `param w[..] ~ ..`, then `w`"},
    {"range enumerate zip map", "write `repeat n as i { ... }`"},
    {"ones_like zeros_like full_like full zeros ones tensor array asarray",
     "a number broadcasts to any tensor: `x + 1`; a tensor of its own is a `param` or a `state`"},
    {"randn rand randn_like normal_ randint",
     "random numbers are made by initialisers (`~ normal(0.02)`) and `dropout(x, p)`"},
    {"True", "write `true`"},
    {"False", "write `false`"},
    {"pi", "write 3.141592653589793"},
    {"inf nan", "write a large number, as 1e30"},
    {"backward grad step zero_grad item tolist numpy eval train jit compile vmap pmap",
     "nothing is run here: gradients and updates follow from `loss`, and `xlmrun train` trains"},
    {"print", "write `metric name = expression` to log a value"},
    {"isinstance getattr super", "a block is only its text: `block name(x[..]) -> [..] { ... }`"},
};

static const entry arguments[] = {
    {"int int32 int64 long i32 i64 u8 uint8 float float32 f32 f16 bf16 bfloat16",
     "types are not written; `of vocab` says below the size of which dimension whole numbers are"},
    {"keepdim keepdims keep_dims", "remove it: the result broadcasts by name, without a dimension of size 1"},
    {"is_causal", "write `causal`"},
    {"attn_mask attention_mask key_padding_mask",
     "write `mask = ..`, or `bias = ..` for what is added to the scores"},
    {"attn_bias", "write `bias = ..`"},
    {"dropout_p dropout attn_dropout", "write `dropout(x, p)` where it belongs"},
    {"enable_gqa num_heads n_heads n_head", "heads follow from the dimensions of the tensors; remove it"},
    {"approximate", "`gelu(x)` is the tanh form, `gelu_erf(x)` the exact one"},
    {"training train inplace deterministic",
     "remove it: the compiler knows what trains and what is evaluated"},
    {"dtype preferred_element_type precision out_dtype",
     "remove it: the run chooses the type (`--dtype bf16`); "
     "`f32(x)` requests full precision"},
    {"device out rng key generator", "remove it: placement, memory and random numbers are planned"},
    {"normalized_shape", "name the dimensions: `over hidden`"},
    {"theta rope_theta", "write `base = ..`"},
    {"epsilon variance_epsilon", "write `eps = ..`"},
    {"ignore_index", "write `ignore = ..`"},
    {"reduction", "`cross_entropy` is the mean; `token_cross_entropy` gives the loss of each token"},
    {"label_smoothing weight", "write the loss from `token_cross_entropy(logits, targets)`"},
};

static bool has_word(const char *words, const char *w) {
  size_t n = strlen(w);
  for (const char *p = words; *p; p += strcspn(p, " "), p += *p == ' ')
    if (strcspn(p, " ") == n && !strncmp(p, w, n)) return true;
  return false;
}

static const char *help_in(const entry *at, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (has_word(at[i].words, name)) return at[i].help;
  return NULL;
}

const char *xlm_foreign_help(const char *name) {
  return help_in(table, sizeof table / sizeof *table, name);
}

const char *xlm_foreign_argument(const char *name) {
  return help_in(arguments, sizeof arguments / sizeof *arguments, name);
}

bool xlm_foreign_is_module(const char *name) {
  return has_word("torch nn F jnp jax np numpy tf keras lax math einops optax flax functional", name);
}
