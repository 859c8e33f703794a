// See image_cache.h. A file is a header and the image.
#include "ops/cuda/image_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/hash.h"

typedef struct header { // of the machine that wrote it, as its kernels are
  char form[8];
  uint64_t key, bytes, hash; // XXH64 of the image
} header;

enum { PATH = 640 };

static header header_of(uint64_t key, const xlm_nvrtc_image *image) {
  header h = {.form = "xlmgpu1", .key = key, .bytes = image->bytes};
  h.hash = xlm_hash_bytes(image->data, image->bytes);
  return h;
}

static bool path_of(uint64_t key, char path[PATH], bool make) {
  const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  bool own = base && *base;
  char dir[PATH - 64];
  if (!own && !(home && *home)) return false;
  int n = snprintf(dir, sizeof dir, own ? "%s" : "%s/.cache", own ? base : home);
  if (n <= 0 || (size_t)n + 8 > sizeof dir) return false;
  if (make) (void)mkdir(dir, 0777);
  strcat(dir, "/xlm");
  if (make) (void)mkdir(dir, 0777);
  return snprintf(path, PATH, "%s/%016llx.cubin", dir, (unsigned long long)key) < PATH;
}

static bool read_file(FILE *f, uint64_t key, xlm_arena *a, xlm_nvrtc_image *out) {
  header h;
  struct stat s;
  if (fstat(fileno(f), &s) || fread(&h, sizeof h, 1, f) != 1) return false;
  if (s.st_size < (off_t)sizeof h || h.bytes != (uint64_t)s.st_size - sizeof h || !h.bytes) return false;
  out->bytes = h.bytes;
  out->data = xlm_arena_alloc(a, out->bytes);
  if (fread(out->data, 1, out->bytes, f) != out->bytes) return false;
  header is = header_of(key, out);
  return !memcmp(&h, &is, sizeof h);
}

bool xlm_image_read(uint64_t key, xlm_arena *a, xlm_nvrtc_image *out) {
  char path[PATH];
  if (!path_of(key, path, false)) return false;
  FILE *f = fopen(path, "rb");
  if (!f) return false;
  bool ok = read_file(f, key, a, out);
  (void)fclose(f);
  return ok;
}

void xlm_image_write(uint64_t key, const xlm_nvrtc_image *image) {
  char path[PATH], made[PATH + 32];
  if (!path_of(key, path, true)) return;
  snprintf(made, sizeof made, "%s.%ld", path, (long)getpid());
  FILE *f = fopen(made, "wb");
  if (!f) return;
  header h = header_of(key, image);
  bool ok = fwrite(&h, sizeof h, 1, f) == 1 && fwrite(image->data, 1, image->bytes, f) == image->bytes;
  ok = !fclose(f) && ok;
  if (!ok || rename(made, path)) (void)unlink(made);
}
