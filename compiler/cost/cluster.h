// A cluster: what a plan is estimated for. Figures come from clusters/*.yaml; the unit of each stands in its
// key's line in cluster.c. Peaks are of the data sheet; what a kernel reaches of them is said beside.
#ifndef XLM_COST_CLUSTER_H
#define XLM_COST_CLUSTER_H

#include "runtime/base/arena.h"
#include "runtime/base/text.h"
#include "runtime/plan/mesh.h"

typedef struct xlm_cluster {
  const char *name;
  const char *backend, *arch; // the target of plans for it (runtime/plan/target.h)
  double threads;             // workers of a rank on the host's processors
  double devices_per_node;
  double memory, reserved; // bytes of a device; of these not for the arena (libraries, communicators, code)
  double flops_bf16, flops_f32;  // peak of matrix products, FLOP/s
  double gemm_large, gemm_small; // share of the peak that a product of gemm_large_at FLOPs or more,
                                 // gemm_small_at or fewer reaches
  double gemm_large_at, gemm_small_at;
  double attention;        // share of the peak that attention reaches
  double vector_flops;     // of everything else, FLOP/s
  double memory_bandwidth; // bytes/s, as copies reach it
  double launch;           // seconds between two kernels
  double intra_bandwidth,
      intra_latency; // between devices of a node: bytes/s of one device in one direction; seconds
  double inter_bandwidth, inter_latency; // between nodes, per device
} xlm_cluster;

// XLM_USER names file and line: unknown keys (with the nearest), missing ones, what is no number.
xlm_status xlm_cluster_read(xlm_arena *a, const char *path, const char *text, size_t n, xlm_cluster *out,
                            xlm_error *err) XLM_MUST_CHECK;

static inline uint64_t xlm_cluster_room(const xlm_cluster *c) { // bytes an arena may have
  return c->memory > c->reserved ? (uint64_t)(c->memory - c->reserved) : 0;
}

// A group of ranks that communicate: how many, how many of them share a node, on how many nodes they stand.
// Ranks fill the nodes in order, so the last axis of the mesh lies inside a node.
typedef struct xlm_span_of_ranks {
  int64_t members, per_node, nodes;
} xlm_span_of_ranks;
xlm_span_of_ranks xlm_cluster_span(const xlm_cluster *c, const xlm_mesh *mesh, uint32_t axes);

// Seconds for a collective in which every member sends `bytes` (see runtime/plan/traffic.h), in `rounds`
// passes over the ring (all-reduce 2, others 1). Inside a node: bytes / bandwidth + the steps' latency. Over
// nodes: the members of a node share a ring through all their links to the outside, so the slower of the two,
// and the latency of both. Short ones go along a tree.
double xlm_cluster_collective(const xlm_cluster *c, xlm_span_of_ranks s, double bytes, int rounds);
// All-to-all: everybody sends to everybody, so most bytes leave the node.
double xlm_cluster_exchange(const xlm_cluster *c, xlm_span_of_ranks s, double bytes);
double xlm_cluster_message(const xlm_cluster *c, xlm_span_of_ranks s, double bytes);

// Seconds of a kernel without its launch.
double xlm_cluster_product(const xlm_cluster *c, xlm_dtype t, double flops); // matrix product
double xlm_cluster_peak(const xlm_cluster *c, xlm_dtype t);

#endif
