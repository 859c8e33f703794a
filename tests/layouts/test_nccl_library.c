// The real libnccl.so.2 through the table that the link uses: it loads without a GPU, or the error says what
// to do. Where nccl.h is installed, our types and values are compared with its own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/device/cuda/nccl.h"

#if __has_include(<nccl.h>) && __has_include(<cuda_runtime.h>)
#include <nccl.h>

#define SAME(ours, theirs)                                                                                   \
  _Static_assert(offsetof(nccl_config, ours) == offsetof(ncclConfig_t, theirs) &&                            \
                     sizeof((nccl_config){0}.ours) == sizeof((ncclConfig_t){0}.theirs),                      \
                 #theirs)
SAME(bytes, size);
SAME(magic, magic);
SAME(version, version);
SAME(blocking, blocking);
SAME(cga_cluster, cgaClusterSize);
SAME(min_ctas, minCTAs);
SAME(max_ctas, maxCTAs);
SAME(net, netName);
SAME(split_share, splitShare);
_Static_assert(sizeof(nccl_id) == sizeof(ncclUniqueId), "the size of an id");
_Static_assert((int)NCCL_OK == (int)ncclSuccess && (int)NCCL_IN_PROGRESS == (int)ncclInProgress, "results");
_Static_assert((int)NCCL_UINT8 == (int)ncclUint8, "types");
_Static_assert((int)NCCL_NO_COLOR == NCCL_SPLIT_NOCOLOR && (int)NCCL_UNSET == NCCL_CONFIG_UNDEF_INT,
               "values");
_Static_assert((int)NCCL_OLDEST == NCCL_VERSION(2, 18, 1), "the version of the configuration");

static void the_configuration_is_marked_as_theirs(void **state) {
  (void)state;
  const ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
  const nccl_config ours = NCCL_CONFIG;
  assert_int_equal(ours.magic, theirs.magic);
  assert_true(ours.bytes <= theirs.size && ours.version <= theirs.version);
  assert_int_equal(ours.max_ctas, theirs.maxCTAs);
}
#else
static void the_configuration_is_marked_as_theirs(void **state) {
  (void)state;
  print_message("no nccl.h\n");
}
#endif

static void it_loads_or_says_what_to_do(void **state) {
  (void)state;
  const xlm_nccl *n = NULL;
  int version = 0, again = 0;
  xlm_error err = {0};
  if (xlm_nccl_table(&n, &version, &err) != XLM_OK) {
    print_message("%s\n", err.text);
    assert_non_null(strstr(err.text, version ? "is the oldest that serves" : "LD_LIBRARY_PATH"));
    return;
  }
  for (size_t i = 0; i < sizeof *n / sizeof(void *); i++)
    assert_non_null(((void *const *)(const void *)n)[i]);
  assert_int_equal(n->version(&again), NCCL_OK);
  assert_true(version == again && version >= NCCL_OLDEST);
  assert_string_not_equal(n->text(6), n->text(NCCL_OK));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_configuration_is_marked_as_theirs),
                                     cmocka_unit_test(it_loads_or_says_what_to_do)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
