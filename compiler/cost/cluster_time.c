// Times on a cluster. Formulas for rings and trees: Thakur, Rabenseifner, Gropp 2005. The fraction of the
// peak that a product reaches is interpolated between small and large by the logarithm of its FLOPs.
#include <math.h>

#include "compiler/cost/cluster.h"

// The ranks of a group form blocks: those that differ along its innermost axis are `stride` apart, and so on
// outwards. As many whole axes as fit into a node, from the inside, are within one node.
xlm_span_of_ranks xlm_cluster_span(const xlm_cluster *c, const xlm_mesh *mesh, uint32_t axes) {
  xlm_span_of_ranks s = {.members = xlm_mesh_group(mesh, axes), .per_node = 1};
  int64_t stride = 1, node = (int64_t)c->devices_per_node;
  for (int i = mesh->n - 1; i >= 0; i--) {
    int64_t size = mesh->size[i];
    if (axes >> i & 1 && stride < node) {
      int64_t inside = node / stride;
      s.per_node *= size < inside ? size : inside;
    }
    stride *= size;
  }
  s.nodes = (s.members + s.per_node - 1) / s.per_node;
  return s;
}

static double latency(const xlm_cluster *c, xlm_span_of_ranks s) { // of one pass around the ring
  return (double)(s.per_node - 1) * c->intra_latency + (double)(s.nodes - 1) * c->inter_latency;
}

static double tree_latency(const xlm_cluster *c, xlm_span_of_ranks s) {
  return ceil(log2((double)s.per_node)) * c->intra_latency + ceil(log2((double)s.nodes)) * c->inter_latency;
}

static double ring_bandwidth(const xlm_cluster *c, xlm_span_of_ranks s) {
  double outside = c->inter_bandwidth * (double)s.per_node;
  if (s.nodes == 1) return c->intra_bandwidth;
  return s.per_node > 1 && c->intra_bandwidth < outside ? c->intra_bandwidth : outside;
}

double xlm_cluster_collective(const xlm_cluster *c, xlm_span_of_ranks s, double bytes, int rounds) {
  if (s.members < 2) return 0;
  double ring = bytes / ring_bandwidth(c, s) + rounds * latency(c, s);
  double tree = bytes / ring_bandwidth(c, s) * 1.25 + rounds * tree_latency(c, s); // links are idle near the
                                                                                   // root and the leaves
  return tree < ring ? tree : ring;
}

double xlm_cluster_exchange(const xlm_cluster *c, xlm_span_of_ranks s, double bytes) {
  if (s.members < 2) return 0;
  double others = (double)(s.members - 1), inside = bytes * (double)(s.per_node - 1) / others;
  double in = inside / c->intra_bandwidth, out = s.nodes > 1 ? (bytes - inside) / c->inter_bandwidth : 0;
  return (in > out ? in : out) + tree_latency(c, s);
}

double xlm_cluster_message(const xlm_cluster *c, xlm_span_of_ranks s, double bytes) {
  return s.nodes > 1 ? bytes / c->inter_bandwidth + c->inter_latency
                     : bytes / c->intra_bandwidth + c->intra_latency;
}

double xlm_cluster_peak(const xlm_cluster *c, xlm_dtype t) {
  return t == XLM_BF16 ? c->flops_bf16 : c->flops_f32;
}

double xlm_cluster_product(const xlm_cluster *c, xlm_dtype t, double flops) {
  if (flops <= 0) return 0;
  double at = log(flops / c->gemm_small_at) / log(c->gemm_large_at / c->gemm_small_at);
  at = at < 0 ? 0 : at > 1 ? 1 : at;
  return flops / (xlm_cluster_peak(c, t) * (c->gemm_small + at * (c->gemm_large - c->gemm_small)));
}
