/* Takes the time of kernels that it is linked with, by the processor time of the calling thread,
   which does all of their work.

   lcp_timed(number, arguments...) -> ns calls kernel ``number`` once. TVM's C ABI. */
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <tvm/ffi/c_api.h>

typedef int Kernel(void *, const TVMFFIAny *, int32_t, TVMFFIAny *);

#define KERNEL(name) extern Kernel __tvm_ffi_##name;
#include "kernels.inc"
#undef KERNEL

#define KERNEL(name) __tvm_ffi_##name,
static Kernel *const kernels[] = {
#include "kernels.inc"
};

struct environment {
  void *sync_handle;
  int32_t num_task;
};
typedef int Task(int, struct environment *, void *);

/* What kernels that share their work call, if there are any: the runtime puts its threads here. */
extern int (*__TVMBackendParallelLaunch)(Task *, void *, int) __attribute__((weak));

static int run_alone(Task *task, void *data, int count) {
  struct environment environment = {0, 1};
  (void)count;
  return task(0, &environment, data);
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

__attribute__((visibility("default"))) int __tvm_ffi_lcp_timed(void *self, const TVMFFIAny *args,
                                                               int32_t count, TVMFFIAny *result) {
  if (&__TVMBackendParallelLaunch != NULL) {
    __TVMBackendParallelLaunch = run_alone;
  }
  const int64_t begin = now();
  const int status = kernels[args[0].v_int64](self, args + 1, count - 1, result);
  result->type_index = kTVMFFIInt;
  result->zero_padding = 0;
  result->v_int64 = now() - begin;
  return status;
}
