// Tensor-core products, ldmatrix and asynchronous copies, by the fragment layouts of the PTX ISA.
#include "tests/emulate/emulate_priv.h"

namespace emu {
namespace {

float half_of(uint32_t pair, int high) { // one bf16 of two
  uint32_t bits = high ? pair & 0xffff0000u : pair << 16;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

// m16n8k16: lane l holds rows l/4 and l/4 + 8, columns 2 (l%4) and 2 (l%4) + 8 of a, the same with rows and columns
// exchanged of b, and of d rows l/4 and l/4 + 8, columns 2 (l%4). Sums run over k ascending, from d.
void act_mma(void **part, uint32_t, const void *) {
  float a[16][16], b[16][8];
  for (int l = 0; l < 32; l++) {
    const emu_mma *m = (const emu_mma *)part[l];
    int row = l / 4, col = l % 4 * 2;
    for (int h = 0; h < 2; h++) {
      a[row][col + h] = half_of(m->a[0], h), a[row + 8][col + h] = half_of(m->a[1], h);
      a[row][col + 8 + h] = half_of(m->a[2], h), a[row + 8][col + 8 + h] = half_of(m->a[3], h);
      b[col + h][row] = half_of(m->b[0], h), b[col + 8 + h][row] = half_of(m->b[1], h);
    }
  }
  for (int l = 0; l < 32; l++) {
    emu_mma *m = (emu_mma *)part[l];
    for (int i = 0; i < 4; i++) {
      int row = l / 4 + i / 2 * 8, col = l % 4 * 2 + i % 2;
      for (int k = 0; k < 16; k++) m->d[i] += a[row][k] * b[k][col];
    }
  }
}

struct matrix_part {
  const void *row; // of 8 elements of 16 bits
  uint32_t out[4];
};

// Four 8 x 8 matrices; lanes 8 i .. 8 i + 7 give the rows of matrix i, every lane gets a pair of each.
void act_ldmatrix(void **part, uint32_t, const void *arg) {
  bool transposed = *(const bool *)arg;
  for (int l = 0; l < 32; l++)
    for (int i = 0; i < 4; i++) {
      auto element = [&](int r, int c) { return ((const uint16_t *)((matrix_part *)part[i * 8 + r])->row)[c]; };
      int along = l / 4, pair = l % 4 * 2;
      uint16_t low = transposed ? element(pair, along) : element(along, pair);
      uint16_t high = transposed ? element(pair + 1, along) : element(along, pair + 1);
      ((matrix_part *)part[l])->out[i] = (uint32_t)high << 16 | low;
    }
}

} // namespace
} // namespace emu

using namespace emu;

void emu_mma_m16n8k16(emu_mma *m, const char *file, int line) {
  emu_meet(0xffffffffu, "mma", m, act_mma, NULL, file, line);
}

void emu_ldmatrix_x4(uint32_t out[4], const void *row, bool transposed, const char *file, int line) {
  if ((uintptr_t)row % 16) fail("ldmatrix at %s:%d: the address %p is not a multiple of 16", file, line, row);
  matrix_part p = {row, {0, 0, 0, 0}};
  emu_race_access(row, 16, EMU_READ);
  emu_meet(0xffffffffu, transposed ? "ldmatrix.trans" : "ldmatrix", &p, act_ldmatrix, &transposed, file, line);
  memcpy(out, p.out, sizeof p.out);
}

void emu_copy_async(void *to, const void *from, int bytes, int valid, const char *file, int line) {
  lane &l = running();
  if ((uintptr_t)to % (size_t)bytes || (valid && (uintptr_t)from % (size_t)bytes))
    fail("an asynchronous copy at %s:%d: %d bytes from %p to %p are not aligned", file, line, bytes, from, to);
  memset(to, 0xff, (size_t)bytes); // not there before it is waited for
  emu_race_access(to, (size_t)bytes, EMU_WRITE);
  l.copies.push_back({(char *)to, (const char *)from, bytes, valid, l.groups});
}

void emu_copy_commit() { running().groups++; }

void emu_copy_wait(int pending) {
  lane &l = running();
  size_t left = 0;
  for (const async_copy &c : l.copies) {
    if (c.group >= l.groups - pending) {
      l.copies[left++] = c;
      continue;
    }
    memcpy(c.to, c.from, (size_t)c.valid);
    memset(c.to + c.valid, 0, (size_t)(c.bytes - c.valid));
    emu_race_access(c.from, (size_t)c.valid, EMU_READ);
    emu_race_access(c.to, (size_t)c.bytes, EMU_WRITE);
  }
  l.copies.resize(left);
}
