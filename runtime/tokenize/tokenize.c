// The work of xlm_tokenize: threads take batches of documents in turn, encode them, and write them in the
// same order. A thread waits until the batch before its own is written; batches are short.
#include "runtime/tokenize/tokenize.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/base/pool.h"
#include "runtime/tokenize/tokenize_priv.h"

enum { BATCH = 1 << 20 /* bytes of text */, BYTES = 256, SYNC_SECONDS = 5, U16_IDS = 65536 };
static const int64_t SHARD_TOKENS = 1000000000;

typedef struct job {
  const xlm_tokenize_options *o;
  xlm_arena *caller; // for what is returned
  const char *manifest;
  xlm_tokenize_result *result;
  xlm_documents *documents; // with `reading`
  pthread_mutex_t reading, writing;
  pthread_cond_t turn;
  int64_t taken; // batches that were read, with `reading`
  bool at_end;
  xlm_arena *arena; // of the output, used by whoever writes; the rest with `writing`
  output out;
  int64_t written, resumed;
  int64_t read, all; // bytes of the files, up to the last batch that was written
  double begun, synced;
  int lock;    // -1: none
  bool failed; // also read without the lock, to end sooner
  xlm_status status;
  xlm_error err;
} job;

// ---- writing

static xlm_tokenize_progress progress_of(const job *j) {
  return (xlm_tokenize_progress){.read = j->read,
                                 .all = j->all,
                                 .documents = j->out.note.documents,
                                 .tokens = j->out.note.tokens,
                                 .bytes = j->out.note.bytes,
                                 .resumed = j->resumed,
                                 .seconds = xlm_clock_seconds() - j->begun};
}

static void report(const job *j) {
  if (!j->o->report) return;
  xlm_tokenize_progress p = progress_of(j);
  j->o->report(j->o->report_arg, &p);
}

static xlm_status write_documents(job *j, const batch *w, xlm_error *err) {
  const xlm_document_batch *b = &w->raw;
  for (size_t i = 0; i < b->n; i++) {
    int64_t first = i ? w->ends[i - 1] : 0, n = w->ends[i] - first;
    xlm_document_position next = i + 1 < b->n ? b->documents[i + 1].at : b->next;
    j->out.note.bytes += (int64_t)b->documents[i].n;
    if (n) XLM_TRY(xlm_output_add(&j->out, w->tokens.at + first, n, next, err));
  }
  XLM_TRY(xlm_output_flush(&j->out, err));
  j->out.note.next = b->next;
  double now = xlm_clock_seconds(), wait = j->o->sync_seconds > 0 ? j->o->sync_seconds : SYNC_SECONDS;
  if (now - j->synced < wait) return XLM_OK;
  j->synced = now;
  return xlm_output_sync(&j->out, err);
}

static xlm_status write_batch(job *j, const batch *w, xlm_error *err) {
  if (XLM_ARENA_TRY(j->arena)) return write_documents(j, w, err);
  return xlm_fail(err, XLM_ENV, "no memory to write tokens");
}

// Waits for its turn; `s`, `err`: how the batch ended so far. The first failure, in the order of batches, is
// that of the job.
static void hand_in(job *j, const batch *w, int64_t number, xlm_status s, xlm_error *err) {
  pthread_mutex_lock(&j->writing);
  while (j->written != number && !j->failed) pthread_cond_wait(&j->turn, &j->writing);
  if (!j->failed) {
    if (s == XLM_OK) s = write_batch(j, w, err);
    if (s != XLM_OK) j->status = s, j->err = *err;
    __atomic_store_n(&j->failed, s != XLM_OK, __ATOMIC_RELAXED);
    j->written++;
    j->read = w->read, j->all = w->all;
    if (s == XLM_OK) report(j);
  }
  pthread_cond_broadcast(&j->turn);
  pthread_mutex_unlock(&j->writing);
}

// The number of the batch; -1: there is none.
static int64_t take_batch(job *j, batch *w, xlm_status *s, xlm_error *err) {
  bool stop = __atomic_load_n(&j->failed, __ATOMIC_RELAXED) ||
              (j->o->stop && __atomic_load_n(j->o->stop, __ATOMIC_RELAXED));
  *s = XLM_OK;
  pthread_mutex_lock(&j->reading);
  int64_t number = -1;
  if (!stop && !j->at_end) {
    *s = xlm_documents_read(j->documents, BATCH, &w->raw, err);
    j->at_end = *s != XLM_OK || !w->raw.n;
    xlm_documents_progress(j->documents, &w->read, &w->all);
    if (*s != XLM_OK || w->raw.n) number = j->taken++;
  }
  pthread_mutex_unlock(&j->reading);
  return number;
}

static void work(void *arg, int index, int workers) {
  job *j = arg;
  batch w = {0};
  xlm_error err = {0};
  xlm_status s;
  (void)index, (void)workers;
  for (int64_t number; (number = take_batch(j, &w, &s, &err)) >= 0;) {
    if (s == XLM_OK) s = xlm_batch_encode(j->o, &w, &err);
    hand_in(j, &w, number, s, &err);
  }
  xlm_batch_free(&w);
}

// ---- the whole

static uint64_t key_of(const xlm_tokenize_options *o) {
  xlm_hash h;
  xlm_hash_start(&h);
  uint64_t numbers[] = {1 /* version */, o->tokenizer ? xlm_tokenizer_hash(o->tokenizer) : 0,
                        (uint64_t)o->end, (uint64_t)o->shard_tokens, (uint64_t)o->n_files};
  xlm_hash_add(&h, numbers, sizeof numbers);
  const char *texts[] = {o->documents.field ? o->documents.field : "text",
                         o->documents.separator ? o->documents.separator : ""};
  for (int i = 0; i < 2; i++) xlm_hash_add(&h, texts[i], strlen(texts[i]) + 1);
  for (int i = 0; i < o->n_files; i++) {
    struct stat st = {0};
    stat(o->files[i], &st); // a file that is missing is an error of reading
    int64_t of_file[] = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
    xlm_hash_add(&h, o->files[i], strlen(o->files[i]) + 1);
    xlm_hash_add(&h, of_file, sizeof of_file);
  }
  return xlm_hash_value(&h);
}

static const char *absolute(const char *path, xlm_arena *a) {
  char *real = realpath(path, NULL);
  const char *out = xlm_arena_strdup(a, real ? real : path);
  free(real);
  return out;
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static int64_t ids_of(const xlm_tokenize_options *o) {
  int64_t n = o->tokenizer ? xlm_tokenizer_size(o->tokenizer) : BYTES;
  return o->end >= n ? o->end + 1 : n;
}

static void describe(const job *j, xlm_token_manifest *m) {
  xlm_arena *a = j->caller;
  const xlm_tokenize_options *o = j->o;
  const note *n = &j->out.note;
  *m = (xlm_token_manifest){.path = j->manifest,
                            .key = n->key,
                            .tokenizer = o->tokenizer ? absolute(xlm_tokenizer_path(o->tokenizer), a) : NULL,
                            .hash = o->tokenizer ? xlm_tokenizer_hash(o->tokenizer) : 0,
                            .vocabulary = ids_of(o),
                            .document_end = o->end,
                            .field = o->documents.field ? o->documents.field : "text",
                            .separator = o->documents.separator,
                            .documents = n->documents,
                            .tokens = n->tokens,
                            .bytes = n->bytes,
                            .longest = n->longest,
                            .n_shards = n->n_shards,
                            .n_sources = (uint32_t)o->n_files};
  m->shards = XLM_NEW_N(a, xlm_token_manifest_shard, m->n_shards);
  for (uint32_t i = 0; i < m->n_shards; i++) {
    m->shards[i] = n->shards[i];
    m->shards[i].file = xlm_arena_printf(a, "%s-%05u.bin", base_name(o->prefix), i);
  }
  m->sources = XLM_NEW_N(a, xlm_token_manifest_source, m->n_sources);
  for (uint32_t i = 0; i < m->n_sources; i++) {
    struct stat st = {0};
    stat(o->files[i], &st);
    m->sources[i] = (xlm_token_manifest_source){o->files[i], st.st_size};
  }
}

// Another process that writes to the same prefix would mix its tokens with ours.
static xlm_status take_lock(const char *path, int *fd, xlm_error *err) {
  struct stat st;
  *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (*fd < 0) return xlm_fail(err, XLM_ENV, "cannot create '%s': %s", path, strerror(errno));
  bool taken = !flock(*fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK; // or there are no locks here
  if (taken && !fstat(*fd, &st) && st.st_nlink) return XLM_OK;
  close(*fd);
  *fd = -1;
  return xlm_fail(err, XLM_USER, "another process writes tokens there ('%s' is locked): wait until it ends",
                  path);
}

static xlm_status make_parent(const char *prefix, xlm_arena *a, xlm_error *err) {
  const char *slash = strrchr(prefix, '/');
  if (!slash || slash == prefix) return XLM_OK;
  return xlm_file_make_folders(xlm_arena_strndup(a, prefix, (size_t)(slash - prefix)), err);
}

int64_t xlm_tokenize_end(const xlm_tokenizer *t) {
  return t ? xlm_tokenizer_special(t, XLM_TOKEN_EOS) : 0;
}

static void remove_earlier(job *j) {
  unlink(j->manifest);
  unlink(j->out.note_path);
  xlm_output_remove(&j->out);
  j->out.note = (note){0};
}

static xlm_status refuse_earlier(const job *j, bool done, xlm_error *err) {
  if (done)
    return xlm_fail(err, XLM_USER,
                    "'%s' names tokens of other documents, another tokenizer or other settings: give "
                    "another --output, or --overwrite",
                    j->manifest);
  return xlm_fail(err, XLM_USER,
                  "'%s' is of an unfinished call with other documents, another tokenizer or other "
                  "settings: repeat that one, or give --overwrite or another --output",
                  j->out.note_path);
}

// What an earlier call left: the whole; or a part, j->out.note.
static xlm_status find_earlier(job *j, xlm_error *err) {
  xlm_tokenize_result *r = j->result;
  uint64_t key = key_of(j->o), found = key;
  bool unfinished = false;
  if (j->o->overwrite) remove_earlier(j);
  r->was_done = !access(j->manifest, F_OK);
  if (r->was_done)
    XLM_TRY(xlm_token_manifest_read(j->manifest, j->caller, &r->manifest, err));
  else
    XLM_TRY(xlm_note_read(j->out.note_path, j->arena, &j->out.note, &unfinished, err));
  if (r->was_done) found = r->manifest.key;
  if (unfinished) found = j->out.note.key;
  if (found != key && !j->o->renew) return refuse_earlier(j, r->was_done, err);
  if (found != key) remove_earlier(j), r->was_done = unfinished = false;
  if (!r->was_done && !unfinished && xlm_output_exists(&j->out))
    return xlm_fail(err, XLM_USER, "'%s' exists already: give another --output, or --overwrite",
                    xlm_output_path(&j->out, 0, ".bin"));
  j->out.note.key = key;
  return XLM_OK;
}

static xlm_status prepare(job *j, xlm_error *err) {
  XLM_TRY(find_earlier(j, err));
  if (j->result->was_done) return XLM_OK;
  XLM_TRY(xlm_documents_open(j->o->files, j->o->n_files, j->o->documents, &j->documents, err));
  if (j->out.note.documents) XLM_TRY(xlm_documents_seek(j->documents, j->out.note.next, err));
  return xlm_output_open(&j->out, err);
}

static xlm_status run(job *j, xlm_error *err) {
  xlm_pool *pool;
  XLM_TRY(xlm_pool_new(j->o->threads > 0 ? j->o->threads : 1, &pool, err));
  j->begun = j->synced = xlm_clock_seconds();
  j->resumed = j->out.note.documents;
  xlm_pool_run(pool, work, j);
  xlm_pool_free(pool);
  if (j->failed) *err = j->err;
  return j->failed ? j->status : XLM_OK;
}

static xlm_status finish(job *j, xlm_error *err) {
  j->result->stopped = !j->at_end;
  if (!j->at_end) return xlm_output_sync(&j->out, err);
  if (!j->out.note.documents)
    return xlm_fail(err, XLM_USER, "there is no text in the documents of '%s'", j->o->files[0]);
  XLM_TRY(xlm_output_finish(&j->out, err));
  describe(j, &j->result->manifest);
  XLM_TRY(xlm_token_manifest_write(&j->result->manifest, j->manifest, j->caller, err));
  unlink(j->out.note_path);
  return XLM_OK;
}

typedef xlm_status phase(job *j, xlm_error *err);

static xlm_status guarded(job *j, phase *f, xlm_error *err) {
  if (XLM_ARENA_TRY(j->arena)) return f(j, err);
  return xlm_fail(err, XLM_ENV, "no memory to write tokens");
}

static xlm_status tokenize(job *j, xlm_error *err) {
  XLM_TRY(guarded(j, prepare, err));
  if (j->result->was_done) return XLM_OK;
  XLM_TRY(run(j, err));
  XLM_TRY(guarded(j, finish, err));
  j->result->progress = progress_of(j);
  return XLM_OK;
}

static void close_job(void *what) {
  job *j = what;
  xlm_documents_close(j->documents);
  xlm_output_close(&j->out);
  xlm_arena_free(j->arena);
  pthread_mutex_destroy(&j->reading);
  pthread_mutex_destroy(&j->writing);
  pthread_cond_destroy(&j->turn);
  if (j->lock >= 0) close(j->lock);
}

static job *new_job(const xlm_tokenize_options *o, xlm_arena *a, xlm_tokenize_result *r) {
  job *j = XLM_NEW(a, job);
  j->o = o, j->caller = a, j->result = r, j->lock = -1;
  j->manifest = xlm_arena_printf(a, "%s.json", o->prefix);
  j->out.prefix = o->prefix;
  j->out.note_path = xlm_arena_printf(a, "%s.progress.json", o->prefix);
  j->out.width = ids_of(o) <= U16_IDS ? 2 : 4;
  j->out.limit = o->shard_tokens > 0 ? o->shard_tokens : SHARD_TOKENS;
  j->out.bin = j->out.lengths = -1;
  pthread_mutex_init(&j->reading, NULL);
  pthread_mutex_init(&j->writing, NULL);
  pthread_cond_init(&j->turn, NULL);
  return j;
}

xlm_status xlm_tokenize(const xlm_tokenize_options *o, xlm_arena *a, xlm_tokenize_result *out,
                        xlm_error *err) {
  *out = (xlm_tokenize_result){0};
  XLM_TRY(make_parent(o->prefix, a, err));
  const char *lock = xlm_arena_printf(a, "%s.lock", o->prefix);
  xlm_arena_cleanup *c = xlm_arena_add_cleanup(a, close_job);
  job *j = c->what = new_job(o, a, out);
  j->out.arena = j->arena = xlm_arena_new(0);
  xlm_status s =
      j->arena ? take_lock(lock, &j->lock, err) : xlm_fail(err, XLM_ENV, "no memory to write tokens");
  if (s == XLM_OK) s = tokenize(j, err);
  if (j->lock >= 0) unlink(lock);
  xlm_arena_clean_up(c);
  return s;
}
