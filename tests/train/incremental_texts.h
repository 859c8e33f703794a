// Models with what the shipped ones do not have, for test_incremental.c: each is `head`, a text of the table and
// `tail`.
#ifndef XLM_TESTS_INCREMENTAL_TEXTS_H
#define XLM_TESTS_INCREMENTAL_TEXTS_H

static const char head[] = "model m\n"
                           "dim vocab = 256\n"
                           "dim seq = 32\n"
                           "dim past = seq\n"
                           "dim hidden = 24\n"
                           "dim layers = 2\n"
                           "dim heads = 4\n"
                           "dim key = 6\n"
                           "dim rows = batch * seq\n"
                           "preset nano { hidden = 24 }\n"
                           "input tokens[batch, seq] of vocab from tokens\n"
                           "input next[batch, seq] of vocab from tokens shifted 1\n"
                           "input ids[batch, seq] of seq from documents\n"
                           "input place[batch, seq] of seq from positions\n"
                           "param embed[vocab, hidden] ~ normal(1)\n"
                           "param wq[hidden, heads, key] ~ normal(0.3)\n"
                           "param wk[hidden, heads, key] ~ normal(0.3)\n"
                           "param wv[hidden, heads, key] ~ normal(0.3)\n"
                           "param wo[heads, key, hidden] ~ normal(0.3)\n"
                           "h = rmsnorm(lookup(embed, tokens))\n"
                           "q = h @ wq\n"
                           "k = h @ wk\n"
                           "v = h @ wv\n";
static const char tail[] = "\nlogits = h @ embed\n"
                           "loss cross_entropy(logits, next)\n"
                           "output logits\n";

static const struct {
  const char *name, *text;
  int caches;
} texts[] = {
    // Distances from the beginning; keys under another name.
    {"bias",
     "dim reach = 10\n"
     "param table[reach, heads] ~ normal(1)\n"
     "far = min(max(iota(seq) - iota(past), 0), 9)\n"
     "y = attend(q, rename(k, seq -> past), rename(v, seq -> past), causal, bias = lookup(table, far), "
     "window = 11, "
     "kv_seq = past)\n"
     "h = h + y @ wo",
     2},
    {"mask",
     "y = attend(q, rename(k, seq -> past), rename(v, seq -> past), causal, mask = (iota(seq) - iota(past)) "
     "% 3 < 2, kv_seq "
     "= past)\n"
     "h = h + y @ wo",
     2},
    {"slopes",
     "param slope[heads] ~ uniform(0, 1)\n"
     "param sink[heads] ~ normal(1)\n"
     "h = h + attend(q, k, v, causal, slopes = slope, sink = sink, softcap = 3) @ wo",
     2},
    // One cache for all readers, as large as the one that looks back farthest.
    {"shared",
     "y = attend(q, k, v, causal, window = 5) + attend(q * 2, k, v, causal, window = 9) + 0.1 * attend(q, k, "
     "k, causal, "
     "window = 3) + shift(k, by = 7)\n"
     "h = h + y @ wo",
     2},
    // Keys and values with other farthest readers, also by way of a third value.
    {"farthest",
     "y = attend(q, k, v, causal, window = 5) + attend(k, q, v, causal, window = 9) + shift(q, by = 12)\n"
     "h = h + y @ wo",
     3},
    {"farthest of all",
     "y = attend(q, k, v, causal) + attend(k, q, v, causal, window = 9) + attend(q, q, k, causal, window = 3)\n"
     "h = h + y @ wo",
     3},
    {"shifts",
     "y = k + shift(k) - shift(k, by = 4) + shift(shift(v), by = 2) + shift(k, by = 0)\nh = h + y @ wo", 3},
    {"recurrences",
     "param keep[heads, key] ~ uniform(0.5, 0.9)\n"
     "y = scan(keep, k) + scan(1 / (1 + exp(q)), v) + shift(cumsum(0.1 * k)) + rmsnorm(cumsum(v)) + "
     "scan(keep, shift(k, by "
     "= 2))\n"
     "h = h + y @ wo",
     9},
    {"linear",
     "param rate[heads] ~ uniform(0.1, 0.5)\n"
     "dim width = 6\n"
     "x = rename(v, key -> width)\n"
     "y = linear_attend(q, k, x) * 0.1 + linear_attend(q, k, x, -rate) + linear_attend(q, k, x, "
     "-square(mean(k, over key)))\n"
     "h = h + rename(y, width -> key) @ wo",
     6},
    // Places in the text, by number, table and angle; documents of the data; dimensions merged and split
    // again.
    {"places",
     "param wpe[seq, hidden] ~ normal(1)\n"
     "param other[seq, hidden] ~ normal(1)\n"
     "h = h + wpe + lookup(rename(other * 2, seq -> past), place) + 0.1 * f32(iota(seq)) + where(iota(seq) "
     "== 0, 1, shift(h))\n"
     "q = rope(h @ wq, position = 3) + rope(h @ wk, f32(place) * 0.5)\n"
     "k = rope(h @ wk, base = 100)\n"
     "y = merge(attend(q, k, v, causal, documents = ids), batch seq -> rows)\n"
     "h = h + split(y @ wo, rows -> batch seq)",
     3},
    // Images: attention to what is seen, and features in the places of some tokens. Of the encoder only what tokens
    // read is kept.
    {"image",
     "dim patches = 5\n"
     "dim pixels = 12\n"
     "input image[batch, patches, pixels] from image\n"
     "param see[pixels, hidden] ~ normal(0.5)\n"
     "x = rmsnorm(image @ see)\n"
     "h = h + attend(q, x @ wk, x @ wv, kv_seq = patches) @ wo + mean(x, over patches)",
     3},
    {"features",
     "dim patches = 5\n"
     "dim pixels = 12\n"
     "input image[batch, patches, pixels] from image\n"
     "param see[pixels, hidden] ~ normal(0.5)\n"
     "is = f32(tokens < 40)\n"
     "which = i32(min(max(cumsum(is, over seq) - 1, 0), 4))\n"
     "h = where(tokens < 40, lookup(rmsnorm(image @ see), which, over patches), h)\n"
     "h = h + attend(h @ wq, h @ wk, h @ wv, causal) @ wo",
     5},
    // Values of several inputs, one of them a number for each sequence, under several names; tokens that the model
    // shifts by itself, also farther than one place.
    {"sources",
     "dim words = 9\n"
     "dim near = words\n"
     "dim both = batch * words\n"
     "input source[batch, words] of vocab from source\n"
     "input tone[batch, hidden] from tone\n"
     "x = split(merge(lookup(embed, source), batch words -> both) @ embed @ embed * 0.01, both -> batch words) + tone\n"
     "y = attend(q, rename(x, words -> near) @ wk, rename(x, words -> near) @ wv, mask = rename(source, words -> near) != 0, kv_seq = near)\n"
     "h = shift(h) + y @ wo + tone * sum(f32(source), over words) / 1000",
     5},
    // What stands before the text: an image and prompts that are learned. Attention with and without a window, by
    // place and by angle, and everything else that looks back, before the two are joined, in what is joined and after.
    {"before",
     "dim patches = 5\n"
     "dim pixels = 12\n"
     "dim prompts = 3\n"
     "dim all = patches + prompts + seq\n"
     "dim width = 6\n"
     "input image[batch, patches, pixels] from image\n"
     "param see[pixels, hidden] ~ normal(0.5)\n"
     "param prompt[prompts, hidden] ~ normal(0.5)\n"
     "param wpe[all, hidden] ~ normal(0.5)\n"
     "h = h + shift(h, by = 2) + 0.1 * cumsum(h) + f32(iota(seq)) * 0.01\n"
     "x = concat(rmsnorm(image @ see), prompt, h, patches prompts seq -> all) + wpe\n"
     "x = x + shift(x, over all, by = 2) + f32(iota(all)) * 0.01\n"
     "q = rope(x @ wq, seq = all)\n"
     "k = rope(x @ wk, seq = all)\n"
     "v = x @ wv\n"
     "x = x + attend(q, k, v, causal, seq = all, kv_seq = all) @ wo + attend(k, q, v, causal, window = 11, seq = all, kv_seq = all) @ wo\n"
     "x = x + linear_attend(q, k, rename(v, key -> width), -square(mean(k, over key)), seq = all) @ rename(wo, key -> width) * 0.1\n"
     "x = x + scan(1 / (1 + exp(x)), rmsnorm(x), over all)\n"
     "h = h + slice(x, all -> seq, start = 8)\n"
     "h = h + attend(h @ wq, h @ wk, h @ wv, causal) @ wo + shift(h)",
     15},
    // Keys stored with the sequence before the batch.
    {"order",
     "k = permute(k, over seq, batch, heads, key)\n"
     "v = permute(v, over heads, key, seq, batch)\n"
     "h = h + attend(q, k, v, causal, window = 6) @ wo",
     2},
};

// Targets that the model shifts by itself, by one place and by more.
static const char shifted[] = "model m\n"
                              "dim vocab = 256\n"
                              "dim seq = 32\n"
                              "dim hidden = 24\n"
                              "dim layers = 2\n"
                              "dim heads = 4\n"
                              "preset nano { hidden = 24 }\n"
                              "input targets[batch, seq] of vocab from target\n"
                              "param embed[vocab, hidden] ~ normal(1)\n"
                              "h = lookup(embed, shift(targets)) - lookup(embed, shift(targets, by = 4))\n"
                              "h = h + lookup(embed, where(iota(seq) == 0, 5, shift(targets)))\n"
                              "h = h + attend(h, h, h, causal)\n"
                              "logits = h @ embed\n"
                              "loss cross_entropy(logits, targets)\n"
                              "output logits\n";

#endif
