// States between chunks and rows of results: linear_attend.cu, linear_attend_bwd.cu.
//
// All but the states from chunk to chunk is products of tiles, of all chunks at the same time: what each
// chunk adds to the state, by one kernel; the states, chunk after chunk, by a second, with a thread for each
// element; the results, by a third. Scores of queries and keys that heads share are computed again for each
// head: no more operations than the products with states, and nothing to store.
#include "ops/cuda/linear_attend_run_priv.h"
#include "ops/cuda/linear_attend_tile_priv.h"

// ---- states

template <class P> struct states_room {
  typename P::tile keys, values;
  linear_decay decay;
};

template <class P>
__global__ void __launch_bounds__(LINEAR_THREADS)
    linear_own_states(const __grid_constant__ linear_states_args a, int64_t items) {
  XLM_DYNAMIC_SHARED(states_room<P>, room);
  const linear_shape &s = a.s;
  int64_t across = linear_tiles(s.values), parts = linear_tiles(s.keys) * across;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    linear_item it = linear_item_of(item, parts, s.links, s.heads);
    int64_t link = it.chunk, chunk = a.back ? link + 1 : link, unit = it.slot * s.heads + it.head,
            entry = a.first + it.slot;
    int64_t key0 = it.part / across * LINEAR_TILE, value0 = it.part % across * LINEAR_TILE;
    int rows = linear_clamp(s.steps - chunk * LINEAR_TILE);
    int keys = linear_clamp(s.keys - key0), values = linear_clamp(s.values - value0);
    linear_decays(room->decay, a.decay, linear_place(a.decay, entry, it.head, chunk), rows);
    if (!it.part && threadIdx.x == 0) a.whole[unit * s.chunks + chunk] = linear_whole(room->decay);
    int64_t key_at = linear_place(a.keys, entry, it.head, chunk) + key0 * a.keys.vector;
    int64_t value_at = linear_place(a.values, entry, it.head, chunk) + value0 * a.values.vector;
    linear_load(room->keys, linear_piece_of(a.keys, key_at, rows, keys), NULL);
    linear_load(room->values, linear_piece_of(a.values, value_at, rows, values),
                a.back ? room->decay.from_start : room->decay.to_end);
    __syncthreads(); // both tiles are there
    linear_sums sum = {};
    P::template multiply<true, false>(sum, room->keys, room->values, rows);
    float *to = a.states + (unit * s.links + link) * s.keys * s.values + key0 * s.values + value0;
    linear_each([&](int e) {
      if (P::row(e) < keys && P::column(e) < values) to[P::row(e) * s.values + P::column(e)] = sum[e];
    });
  }
}

// What chunks add becomes the states: each is the one before it, decayed, and what was added.
__global__ void __launch_bounds__(XLM_BLOCK)
    linear_carry(const __grid_constant__ linear_states_args a, int64_t elements) {
  const linear_shape &s = a.s;
  int64_t size = s.keys * s.values;
  each<1>(elements, [&](int64_t i, auto) {
    int64_t place = over_split(&i, size), unit = i;
    float *at = a.states + unit * s.links * size + place, state = 0;
    int64_t each = linear_decays_each(&s), channel = each > 1 ? place / s.values : 0;
    const float *whole = a.whole + (unit * s.chunks + (a.back ? 1 : 0)) * each + channel;
    XLM_UNROLL(4) for (int64_t k = 0; k < s.links; k++) {
      int64_t link = a.back ? s.links - 1 - k : k;
      state = whole[link * each] * state + at[link * size];
      at[link * size] = state;
    }
  });
}

static xlm_status own_states(const xlm_call *c, const linear_states_args &a, int64_t items) {
  return linear_by(c, [&](auto p) {
    using P = decltype(p);
    return xlm_cuda_launched(c, XLM_LAUNCH(linear_own_states<P>, xlm_cuda_blocks(items, 1), LINEAR_THREADS,
                                           sizeof(states_room<P>), xlm_cuda_stream(c), a, items));
  });
}

xlm_status xlm_cuda_linear_states(const xlm_call *c, const linear_states_args &a) {
  int64_t units = a.entries * a.s.heads, elements = units * a.s.keys * a.s.values;
  int64_t items = units * a.s.links * linear_tiles(a.s.keys) * linear_tiles(a.s.values);
  if (!items) return XLM_OK;
  XLM_TRY(a.s.channels ? xlm_cuda_linear_channel_states(c, a, items) : own_states(c, a, items));
  return xlm_cuda_launched(c, XLM_LAUNCH(linear_carry, xlm_cuda_blocks(elements, XLM_BLOCK), XLM_BLOCK, 0,
                                         xlm_cuda_stream(c), a, elements));
}

// ---- rows

template <class P> struct rows_room {
  typename P::tile left, right, state; // left: weights; right: values, when all products of pairs are done
  linear_decay decay;
};

// The products of one head with its state and of its pairs, by their decays, are added to sum and weights.
// TURNED: the state's columns are what is summed over.
template <class P, bool TURNED>
static __device__ __forceinline__ void add_head(rows_room<P> &room, const linear_rows_args &a,
                                                const linear_item &it, linear_sums &sum,
                                                linear_sums &weights) {
  const linear_shape &s = a.s;
  int64_t entry = a.first + it.slot, first = it.part * LINEAR_TILE;
  int rows = linear_clamp(s.steps - it.chunk * LINEAR_TILE);
  const float *states = linear_state(s, a.states, it.slot, it.head, it.chunk, a.back);
  int64_t left = linear_place(a.left, entry, it.head, it.chunk),
          right = linear_place(a.right, entry, it.head, it.chunk);
  linear_decays(room.decay, a.decay, linear_place(a.decay, entry, it.head, it.chunk), rows);
  linear_sums pairs = {}, of_state = {};
  for (int64_t k = 0; k < a.inner; k += LINEAR_TILE) {
    int n = linear_clamp(a.inner - k);
    __syncthreads(); // the last tiles are read no more
    linear_load(room.left, linear_piece_of(a.left, left + k * a.left.vector, rows, n), NULL);
    linear_load(room.right, linear_piece_of(a.right, right + k * a.right.vector, rows, n), NULL);
    if (states && TURNED) linear_load(room.state, linear_piece_of_state(s, states, first, k), NULL);
    if (states && !TURNED) linear_load(room.state, linear_piece_of_state(s, states, k, first), NULL);
    __syncthreads(); // the tiles are there
    P::template multiply<false, true>(pairs, room.left, room.right, n);
    if (states) P::template multiply<false, TURNED>(of_state, room.left, room.state, n);
  }
  const float *factor = a.back ? room.decay.to_end : room.decay.from_start;
  linear_each([&](int e) {
    int row = P::row(e), column = P::column(e);
    sum[e] += factor[row] * of_state[e];
    weights[e] += pairs[e] * linear_weight(room.decay, a.back ? row : column, a.back ? column : row);
  });
}

template <class P, bool TURNED>
__global__ void __launch_bounds__(LINEAR_THREADS, 2)
    linear_rows(const __grid_constant__ linear_rows_args a, int64_t items) {
  XLM_DYNAMIC_SHARED(rows_room<P>, room);
  const linear_shape &s = a.s;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    linear_item it = linear_item_of(item, linear_tiles(a.width), s.chunks, a.all_heads ? 1 : s.heads);
    int64_t entry = a.first + it.slot, first = it.part * LINEAR_TILE, own = it.head;
    int rows = linear_clamp(s.steps - it.chunk * LINEAR_TILE), width = linear_clamp(a.width - first);
    linear_sums sum = {}, weights = {};
    for (it.head = own; it.head < (a.all_heads ? s.heads : own + 1); it.head++)
      add_head<P, TURNED>(*room, a, it, sum, weights);
    __syncthreads(); // the last tiles are read no more
    linear_each([&](int e) { linear_set<1>(&room->left[P::row(e)][P::column(e)], {weights[e]}); });
    int64_t values = linear_place(a.values, entry, own, it.chunk) + first * a.values.vector;
    linear_load(room->right, linear_piece_of(a.values, values, rows, width), NULL);
    __syncthreads(); // the weights and the values are there
    P::template multiply<false, false>(sum, room->left, room->right, rows);
    int64_t to = linear_place(a.out, entry, own, it.chunk) + first * a.out.vector;
    linear_each([&](int e) {
      int row = P::row(e), column = P::column(e);
      if (row < rows && column < width)
        linear_write(a.out, to + row * a.out.step + column * a.out.vector, sum[e]);
    });
  }
}

template <class P, bool TURNED>
static xlm_launch_status launch_rows(const xlm_call *c, const linear_rows_args &a) {
  int64_t items = a.entries * (a.all_heads ? 1 : a.s.heads) * a.s.chunks * linear_tiles(a.width);
  xlm_launch_status bad = XLM_ALLOW_SHARED((linear_rows<P, TURNED>), sizeof(rows_room<P>));
  if (bad || !items) return bad;
  return XLM_LAUNCH((linear_rows<P, TURNED>), xlm_cuda_blocks(items, 1), LINEAR_THREADS, sizeof(rows_room<P>),
                    xlm_cuda_stream(c), a, items);
}

xlm_status xlm_cuda_linear_rows(const xlm_call *c, const linear_rows_args &a) {
  return linear_by(c, [&](auto p) {
    using P = decltype(p);
    return xlm_cuda_launched(c, a.all_heads ? launch_rows<P, true>(c, a) : launch_rows<P, false>(c, a));
  });
}
