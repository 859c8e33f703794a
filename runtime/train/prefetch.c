// See prefetch.h. Two buffers: the ranks read one while the thread fills the other. The thread has at most
// one order, a step and a buffer; a caller that takes a step waits for its order, gives the next, and owns
// the buffer until then. The windows of a step are a function of its number, so reading ahead does not change
// results.
#include "runtime/train/prefetch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = -1 };

typedef struct buffer {
  int64_t step; // read, or being read, into it; NONE
  int32_t *windows;
  xlm_status status;
  xlm_error err;
} buffer;

struct xlm_prefetch {
  const xlm_samples *samples;
  int64_t rows, window; // window: cells of a sample
  int64_t *place;       // [rows] index in the buffers; NONE: not needed
  int64_t n;            // needed rows
  buffer of[2];
  int current; // the one in use
  pthread_t thread;
  bool started;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int order; // buffer to fill; NONE: nothing to do
  bool ends;
};

static void read_step(const xlm_prefetch *p, buffer *b) {
  b->status = XLM_OK;
  for (int64_t row = 0; row < p->rows && b->status == XLM_OK; row++)
    if (p->place[row] != NONE)
      b->status = xlm_samples_shuffled(p->samples, b->step * p->rows + row,
                                       b->windows + p->place[row] * p->window, &b->err);
}

static void *run(void *arg) {
  xlm_prefetch *p = arg;
  pthread_mutex_lock(&p->lock);
  while (!p->ends) {
    if (p->order == NONE) {
      pthread_cond_wait(&p->changed, &p->lock);
      continue;
    }
    buffer *b = &p->of[p->order];
    pthread_mutex_unlock(&p->lock);
    read_step(p, b);
    pthread_mutex_lock(&p->lock);
    p->order = NONE;
    pthread_cond_broadcast(&p->changed);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

static void give_order(xlm_prefetch *p, int into, int64_t step) { // requires the lock and no order under way
  p->of[into].step = step;
  p->order = into;
  pthread_cond_broadcast(&p->changed);
}

static void wait_for_order(xlm_prefetch *p) { // requires the lock
  while (p->order != NONE) pthread_cond_wait(&p->changed, &p->lock);
}

xlm_status xlm_prefetch_take(xlm_prefetch *p, int64_t step, xlm_error *err) {
  int other = 1 - p->current;
  pthread_mutex_lock(&p->lock);
  wait_for_order(p);
  if (p->of[other].step != step) give_order(p, other, step); // the first step, or not consecutive
  wait_for_order(p);
  p->current = other;
  buffer *b = &p->of[other];
  if (b->status == XLM_OK)
    give_order(p, 1 - other, step + 1);
  else
    b->step = NONE; // read again if requested again
  pthread_mutex_unlock(&p->lock);
  if (b->status != XLM_OK && err) *err = b->err;
  return b->status;
}

const int32_t *xlm_prefetch_window(const xlm_prefetch *p, int64_t row) {
  return p->of[p->current].windows + p->place[row] * p->window;
}

void xlm_prefetch_close(xlm_prefetch *p) {
  if (!p) return;
  if (p->started) {
    pthread_mutex_lock(&p->lock);
    p->ends = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
  }
  pthread_cond_destroy(&p->changed);
  pthread_mutex_destroy(&p->lock);
  for (int i = 0; i < 2; i++) free(p->of[i].windows);
  free(p->place);
  free(p);
}

static bool take_memory(xlm_prefetch *p, const bool *needed) {
  p->place = malloc((size_t)(p->rows ? p->rows : 1) * sizeof *p->place);
  if (!p->place) return false;
  for (int64_t row = 0; row < p->rows; row++) p->place[row] = needed[row] ? p->n++ : NONE;
  for (int i = 0; i < 2; i++) {
    p->of[i].step = NONE;
    p->of[i].windows = calloc((size_t)(p->n ? p->n : 1) * (size_t)p->window, sizeof(int32_t));
    if (!p->of[i].windows) return false;
  }
  return true;
}

xlm_status xlm_prefetch_open(const xlm_samples *samples, int64_t rows, const bool *needed, xlm_prefetch **out,
                             xlm_error *err) {
  *out = NULL;
  xlm_prefetch *p = calloc(1, sizeof *p);
  if (!p) return xlm_fail(err, XLM_ENV, "no memory to read ahead");
  p->samples = samples;
  p->rows = rows;
  p->window = samples->cells;
  p->order = NONE;
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->changed, NULL);
  xlm_status s = XLM_OK;
  if (!take_memory(p, needed))
    s = xlm_fail(err, XLM_ENV, "no memory for the %lld samples of two steps", (long long)rows);
  else if (pthread_create(&p->thread, NULL, run, p))
    s = xlm_fail(err, XLM_ENV, "cannot start the thread that reads ahead");
  else
    p->started = true;
  if (s == XLM_OK)
    *out = p;
  else
    xlm_prefetch_close(p);
  return s;
}
