// acc[o] += sum_i inp[i] * wgt[o][i] for one block, modulo 2^32, on the layouts of machine.h.
#ifndef LCP_TVM_DOT_H_
#define LCP_TVM_DOT_H_

#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace lcp_tvm::vta {

template <int kBlock>
inline void DotPortable(int32_t* acc, const int16_t* inp, const int16_t* wgt) {
  for (ptrdiff_t p = 0; p < kBlock / 2; ++p) {
    const int32_t even = inp[2 * p], odd = inp[2 * p + 1];
    const int16_t* pair = wgt + p * 2 * kBlock;
    for (ptrdiff_t o = 0; o < kBlock; ++o) {
      const int32_t sum = even * pair[2 * o] + odd * pair[2 * o + 1];
      acc[o] = static_cast<int32_t>(static_cast<uint32_t>(acc[o]) + static_cast<uint32_t>(sum));
    }
  }
}

#if defined(__SSE2__)

// One pmaddwd multiplies a pair of inputs with the pairs of four outputs.
template <int kLane>
inline void DotPair16(__m128i* acc, __m128i inp, const __m128i* wgt) {
  const __m128i pair = _mm_shuffle_epi32(inp, kLane * 0x55);
  for (int v = 0; v < 4; ++v) {
    acc[v] = _mm_add_epi32(acc[v], _mm_madd_epi16(pair, _mm_loadu_si128(wgt + v)));
  }
}

inline void Dot16(int32_t* acc, const int16_t* inp, const int16_t* wgt) {
  __m128i* to = reinterpret_cast<__m128i*>(acc);
  const __m128i* w = reinterpret_cast<const __m128i*>(wgt);
  __m128i sum[4];
  for (int v = 0; v < 4; ++v) {
    sum[v] = _mm_loadu_si128(to + v);
  }
  for (ptrdiff_t half = 0; half < 2; ++half) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(inp) + half);
    DotPair16<0>(sum, x, w + half * 16);
    DotPair16<1>(sum, x, w + half * 16 + 4);
    DotPair16<2>(sum, x, w + half * 16 + 8);
    DotPair16<3>(sum, x, w + half * 16 + 12);
  }
  for (int v = 0; v < 4; ++v) {
    _mm_storeu_si128(to + v, sum[v]);
  }
}

#endif

template <int kBlock>
inline void Dot(int32_t* acc, const int16_t* inp, const int16_t* wgt) {
#if defined(__SSE2__)
  if constexpr (kBlock == 16) {
    Dot16(acc, inp, wgt);
    return;
  }
#endif
  DotPortable<kBlock>(acc, inp, wgt);
}

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_DOT_H_
