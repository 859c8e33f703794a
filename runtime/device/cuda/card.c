// Finds a card that this build can use. Error messages name what is missing and the remedy.
#include "runtime/device/cuda/cuda.h"

xlm_status xlm_cuda_check(const xlm_cuda_runtime *r, int rc, const char *what, xlm_error *err) {
  if (!rc) return XLM_OK;
  return xlm_fail(err, XLM_ENV, "CUDA: %s: %s (%d)", what, r->text(rc), rc);
}

static xlm_status check_driver(const xlm_cuda_runtime *r, xlm_error *err) {
  int driver = 0, runtime = 0;
  XLM_TRY(xlm_cuda_check(r, r->versions(&driver, &runtime), "asking for the driver's version", err));
  if (!driver)
    return xlm_fail(
        err, XLM_ENV,
        "this machine has no NVIDIA driver (libcuda.so.1): install one, start the container with its GPUs "
        "(docker run --gpus all), or run without --device cuda");
  if (driver / 1000 >= runtime / 1000) return XLM_OK;
  return xlm_fail(err, XLM_ENV,
                  "the NVIDIA driver is for CUDA %d.%d and this xlm was built with CUDA %d.%d: install a "
                  "newer driver, or "
                  "build xlm with a CUDA toolkit %d",
                  driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10, driver / 1000);
}

xlm_status xlm_cuda_find_card(int64_t rank, int *card, xlm_cuda_card *out, xlm_error *err) {
  const xlm_cuda_runtime *r = xlm_cuda_runtime_here;
  int cards = 0;
  if (!r)
    return xlm_fail(
        err, XLM_ENV,
        "this xlm was built without CUDA: configure it with -DXLM_CUDA=ON where the CUDA toolkit is "
        "installed, or run without --device cuda");
  XLM_TRY(check_driver(r, err));
  int rc = r->count(&cards);
  if (rc) (void)r->last_error();
  if (rc || !cards)
    return xlm_fail(
        err, XLM_ENV,
        "the NVIDIA driver finds no GPU%s%s: see `nvidia-smi` and CUDA_VISIBLE_DEVICES, or run without "
        "--device cuda",
        rc ? ": " : "", rc ? r->text(rc) : "");
  *card = (int)(rank % cards);
  XLM_TRY(xlm_cuda_check(r, r->card(*card, out), "asking for the card's properties", err));
  if (out->major >= 8) return XLM_OK;
  return xlm_fail(err, XLM_ENV, "card %d, %s, has compute capability %d.%d: xlm needs 8.0 (A100) or later",
                  *card, out->name, out->major, out->minor);
}

enum { RESERVE = 512 << 20 }; // of a card

static uint64_t room_of(const xlm_cuda_runtime *r, int card, int64_t ranks) {
  size_t unused = 0, all = 0;
  if (r->use(card) || r->memory(&unused, &all)) return (void)r->last_error(), 0;
  return unused > RESERVE ? (unused - RESERVE) / (uint64_t)ranks : 1; // less than anything needs
}

// All processes make the same plan, and their cards have not quite the same memory unused.
static uint64_t rounded(uint64_t bytes, uint64_t to) {
  return bytes > to ? bytes - bytes % to : bytes;
}

// A process that is one of several looks only at the card that it will use: looking takes memory there.
uint64_t xlm_cuda_room(int64_t ranks) {
  const xlm_cuda_runtime *r = xlm_cuda_runtime_here;
  int64_t first = xlm_comm_started() > 1 ? xlm_comm_started_as() : 0, cards;
  int card, n = 0;
  xlm_cuda_card properties;
  uint64_t least = UINT64_MAX;
  if (ranks < 1) ranks = 1;
  if (xlm_cuda_find_card(first, &card, &properties, NULL) != XLM_OK || r->count(&n)) return 0;
  cards = ranks < n ? ranks : n;
  if (xlm_comm_started() > 1)
    return rounded(room_of(r, card, (ranks + cards - 1) / cards), properties.memory / 64);
  for (card = 0; card < cards; card++) {
    uint64_t room = room_of(r, card, (ranks + cards - 1) / cards);
    if (room < least) least = room;
  }
  return least;
}
