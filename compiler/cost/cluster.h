// A cluster for which plans are estimated. The figures come from clusters/*.yaml; cluster.c gives the unit of
// each key. Peaks are those of the data sheet; separate keys give the fractions that kernels reach.
#ifndef XLM_COST_CLUSTER_H
#define XLM_COST_CLUSTER_H

#include "runtime/base/arena.h"
#include "runtime/base/text.h"
#include "runtime/plan/mesh.h"

typedef struct xlm_cluster {
  const char *name;
  const char *backend, *arch; // the target of plans for this cluster (runtime/plan/target.h)
  double threads;             // worker threads of a rank on the host
  double devices_per_node;
  double memory, reserved; // bytes per device; `reserved`: of these, not available to the arena (libraries,
                           // communicators, code)
  double flops_bf16, flops_f32;  // peak of matrix products, FLOP/s
  double gemm_large, gemm_small; // fraction of the peak reached by products of at least gemm_large_at FLOPs,
                                 // and by products of at most gemm_small_at
  double gemm_large_at, gemm_small_at;
  double attention;        // fraction of the peak reached by attention
  double vector_flops;     // of everything else, FLOP/s
  double memory_bandwidth; // bytes/s, as reached by copies
  // What the best kernels reach, each alone on the device, for the floor of a step: fractions of the peak for
  // products and attention, bytes/s.
  double best_gemm, best_attention, best_bandwidth;
  double launch;           // seconds between two kernels
  double intra_bandwidth,
      intra_latency;                     // within a node: bytes/s per device and direction; seconds
  double inter_bandwidth, inter_latency; // between nodes, per device
} xlm_cluster;

// XLM_USER names file and line of unknown keys (with the nearest known one), missing keys and values that are
// not numbers.
xlm_status xlm_cluster_read(xlm_arena *a, const char *path, const char *text, size_t n, xlm_cluster *out,
                            xlm_error *err) XLM_MUST_CHECK;

static inline uint64_t xlm_cluster_room(const xlm_cluster *c) { // bytes available to an arena
  return c->memory > c->reserved ? (uint64_t)(c->memory - c->reserved) : 0;
}

// A group of communicating ranks: its size, how many share a node, and the number of nodes. Ranks fill nodes
// in order, so the last axis of the mesh is within a node.
typedef struct xlm_span_of_ranks {
  int64_t members, per_node, nodes;
} xlm_span_of_ranks;
xlm_span_of_ranks xlm_cluster_span(const xlm_cluster *c, const xlm_mesh *mesh, uint32_t axes);

// Seconds for a collective in which every member sends `bytes` (see runtime/plan/traffic.h) in `rounds`
// passes around the ring (all-reduce 2, others 1). Within a node: bytes / bandwidth + the latency of the
// steps. Across nodes: the members of a node share a ring over all external links, so the slower of the two
// bandwidths and the sum of the latencies. Short messages use a tree.
double xlm_cluster_collective(const xlm_cluster *c, xlm_span_of_ranks s, double bytes, int rounds);
// All-to-all: every member sends to every other, so most bytes leave the node.
double xlm_cluster_exchange(const xlm_cluster *c, xlm_span_of_ranks s, double bytes);
double xlm_cluster_message(const xlm_cluster *c, xlm_span_of_ranks s, double bytes);

// Seconds of a kernel, excluding its launch.
double xlm_cluster_product(const xlm_cluster *c, xlm_dtype t, double flops); // matrix product
double xlm_cluster_peak(const xlm_cluster *c, xlm_dtype t);

#endif
