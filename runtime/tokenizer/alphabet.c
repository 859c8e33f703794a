// GPT-2's names of bytes: printable ASCII and Latin-1 stand for themselves, the other bytes, in order, for
// U+0100 and on. (`bytes_to_unicode` of its encoder.py.)
#include "runtime/tokenizer/tokenizer_priv.h"

static bool names_itself(int c) {
  return (c >= '!' && c <= '~') || (c >= 0xA1 && c <= 0xAC) || (c >= 0xAE && c <= 0xFF);
}

int xlm_alphabet_byte(int32_t character) {
  if (character < 256) return names_itself(character) ? character : -1;
  int32_t left = character - 256;
  for (int c = 0; c < 256; c++)
    if (!names_itself(c) && left-- == 0) return c;
  return -1;
}

int32_t xlm_alphabet_character(unsigned char byte) {
  if (names_itself(byte)) return byte;
  int32_t c = 256;
  for (int b = 0; b < byte; b++) c += !names_itself(b);
  return c;
}

bool xlm_alphabet_read(xlm_arena *a, span piece, span *out) {
  char *bytes = xlm_arena_alloc(a, piece.n + 1);
  size_t n = 0;
  for (size_t i = 0; i < piece.n; i += xlm_utf8_length((unsigned char)piece.at[i])) {
    int b = xlm_alphabet_byte(xlm_utf8_get(piece.at + i));
    if (b < 0) return false;
    bytes[n++] = (char)b;
  }
  *out = (span){bytes, n};
  return true;
}
