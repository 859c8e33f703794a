// xlmrun tokenizer train: all threads count the words of documents, one merges pairs.
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/base/pool.h"
#include "runtime/documents/documents.h"
#include "runtime/tokenizer/train.h"
#include "tools/common/request.h"
#include "tools/xlmrun/tokenizer.h"

enum { BATCH = 1 << 20, MOST_THREADS = 1024 };

typedef struct counting {
  xlm_documents *documents;
  xlm_bpe_counter *counter[MOST_THREADS];
  pthread_mutex_t lock; // of all below
  xlm_status status;    // of the first thread that failed
  xlm_error err;
  int64_t texts, bytes;
} counting;

static xlm_status next_batch(counting *c, xlm_document_batch *b, xlm_error *err) {
  pthread_mutex_lock(&c->lock);
  b->n = 0;
  xlm_status status = c->status == XLM_OK ? xlm_documents_read(c->documents, BATCH, b, err) : XLM_OK;
  if (c->status != XLM_OK) b->n = 0;
  pthread_mutex_unlock(&c->lock);
  return status;
}

static xlm_status count_batch(counting *c, int worker, xlm_document_batch *b, xlm_error *err) {
  int64_t bytes = 0;
  XLM_TRY(xlm_documents_decode(b, err));
  for (size_t i = 0; i < b->n; i++) {
    XLM_TRY(xlm_bpe_count(c->counter[worker], b->documents[i].text, b->documents[i].n, err));
    bytes += (int64_t)b->documents[i].n;
  }
  pthread_mutex_lock(&c->lock);
  c->texts += (int64_t)b->n, c->bytes += bytes;
  pthread_mutex_unlock(&c->lock);
  return XLM_OK;
}

static xlm_status count_batches(counting *c, int worker, xlm_error *err) {
  xlm_document_batch b = {0};
  xlm_status status;
  do {
    status = next_batch(c, &b, err);
    if (status == XLM_OK) status = count_batch(c, worker, &b, err);
  } while (status == XLM_OK && b.n);
  xlm_document_batch_free(&b);
  return status;
}

static void count(void *arg, int worker, int workers) {
  counting *c = arg;
  xlm_error err;
  (void)workers;
  xlm_status status = count_batches(c, worker, &err);
  if (status == XLM_OK) return;
  pthread_mutex_lock(&c->lock);
  if (c->status == XLM_OK) c->status = status, c->err = err;
  pthread_mutex_unlock(&c->lock);
}

static xlm_status count_all(session *s, counting *c, int threads) {
  xlm_pool *pool;
  const char *pattern = xlm_setting_text(s->settings, XLM_SET_word_pattern);
  for (int i = 0; i < threads; i++) XLM_TRY(xlm_bpe_counter_new(pattern, &c->counter[i], &s->err));
  XLM_TRY(xlm_pool_new(threads, &pool, &s->err));
  xlm_pool_run(pool, count, c);
  xlm_pool_free(pool);
  if (c->status != XLM_OK) s->err = c->err;
  if (c->status == XLM_OK && !c->bytes)
    return xlm_fail(&s->err, XLM_USER, "the documents have no text to train a tokenizer on");
  return c->status;
}

static const char *path_of(session *s) {
  const char *output = xlm_setting_text(s->settings, XLM_SET_output);
  struct stat st;
  size_t n = strlen(output);
  bool device = !stat(output, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
  if (device || (n > 5 && !strcmp(output + n - 5, ".json"))) return output;
  return xlm_arena_printf(s->arena, "%s%stokenizer.json", output, n && output[n - 1] == '/' ? "" : "/");
}

static xlm_bpe_options options_of(const session *s) {
  static const char *const usual[] = {"<|endoftext|>"};
  const xlm_setting_value *specials = &s->settings->value[XLM_SET_special_token];
  return (xlm_bpe_options){.size = (int32_t)xlm_setting_int(s->settings, XLM_SET_vocabulary),
                           .specials = specials->n ? specials->list : usual,
                           .n_specials = specials->n ? specials->n : 1};
}

// Before the documents are read.
static xlm_status check_size(session *s) {
  xlm_bpe_options o = options_of(s);
  if (o.size >= 256 + o.n_specials) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER, "--vocab-size %d: it needs %d at least, for 256 bytes and %s", o.size,
                  256 + o.n_specials, xlm_text_plural(s->arena, o.n_specials, "special token"));
}

static xlm_status merge(session *s, const counting *c, int threads, const char *path, int64_t begin) {
  xlm_bpe_options o = options_of(s);
  xlm_bpe_trained *t;
  XLM_TRY(xlm_bpe_train((const xlm_bpe_counter *const *)c->counter, threads, &o, &t, &s->err));
  xlm_status status = xlm_bpe_write(t, path, &s->err);
  int32_t size = xlm_bpe_trained_size(t);
  int64_t words = xlm_bpe_trained_words(t);
  xlm_bpe_trained_free(t);
  if (status != XLM_OK) return status;
  printf("%s of %s, %s different words: a vocabulary of %s tokens in %.1f s\n",
         xlm_text_plural(s->arena, c->texts, "document"), xlm_text_bytes(s->arena, (uint64_t)c->bytes),
         xlm_text_thousands(s->arena, words), xlm_text_thousands(s->arena, size),
         (double)(xlm_clock_ns() - begin) * 1e-9);
  if (size < o.size)
    printf("note: the text has no more pairs to merge: %s tokens were asked for\n",
           xlm_text_thousands(s->arena, o.size));
  printf("%s; make tokens with: xlmrun tokenize FILE... --tokenizer %s --output tokens/\n", path, path);
  return XLM_OK;
}

static xlm_status train(session *s, counting *c, const char *path) {
  int threads = xlm_request_threads(s->settings);
  if (threads > MOST_THREADS) threads = MOST_THREADS;
  int64_t begin = xlm_clock_ns();
  XLM_TRY(count_all(s, c, threads));
  return merge(s, c, threads, path, begin);
}

xlm_status tokenizer_train(session *s, const char *const *paths, int n_paths) {
  const char *const *files, *left_out, *separator = xlm_setting_text(s->settings, XLM_SET_text_separator);
  int n_files;
  if (!n_paths || !*xlm_setting_text(s->settings, XLM_SET_output) ||
      !xlm_setting_given(s->settings, XLM_SET_vocabulary))
    return xlm_fail(&s->err, XLM_USER,
                    "give documents, --vocab-size and --output, as in `xlmrun tokenizer train corpus/*.jsonl "
                    "--vocab-size 32000 --output tokenizer.json`");
  XLM_TRY(check_size(s));
  const char *path = path_of(s);
  XLM_TRY(xlm_file_can_replace(path, &s->err));
  XLM_TRY(xlm_documents_files(s->arena, paths, n_paths, &files, &n_files, &left_out, &s->err));
  if (*left_out) printf("%s\n", left_out);
  xlm_documents_options o = {.field = xlm_setting_text(s->settings, XLM_SET_text_field),
                             .separator = *separator ? separator : NULL};
  counting *c = XLM_NEW(s->arena, counting);
  pthread_mutex_init(&c->lock, NULL);
  XLM_TRY(xlm_documents_open(files, n_files, o, &c->documents, &s->err));
  xlm_status status = train(s, c, path);
  xlm_documents_close(c->documents);
  for (int i = 0; i < MOST_THREADS; i++) xlm_bpe_counter_free(c->counter[i]);
  return status;
}
