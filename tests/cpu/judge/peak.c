// Independent chains of multiply-adds in registers: the most that one core can do.
#if defined(__AVX512F__)
#define BYTES 64
#define CHAINS 16
#elif defined(__AVX__)
#define BYTES 32
#define CHAINS 12
#else
#define BYTES 16
#define CHAINS 12
#endif

typedef float Vector __attribute__((vector_size(BYTES)));

/*! \brief Operations of one round. */
int OperationsOfARound(void) { return 2 * CHAINS * (BYTES / (int)sizeof(float)); }

/*! \brief Run so many rounds; the result keeps a compiler from leaving them out. */
float RunRounds(long rounds, float factor, float summand) {
  Vector chains[CHAINS];
  for (int i = 0; i < CHAINS; ++i) {
    chains[i] = (Vector){0} + (float)i;
  }
  const Vector factors = (Vector){0} + factor;
  const Vector summands = (Vector){0} + summand;
  for (long round = 0; round < rounds; ++round) {
#pragma clang loop unroll(full)
    for (int i = 0; i < CHAINS; ++i) {
      chains[i] = chains[i] * factors + summands;
    }
  }
  float sum = 0;
  for (int i = 0; i < CHAINS; ++i) {
    sum += chains[i][0];
  }
  return sum;
}
