/* Calls kernels of a compiled module: call_kernels MODULE.so LIST.

   Each line of LIST is a kernel's name, the number of its arguments, and of each its file, its
   number of dimensions and its sizes. All numbers are float32; the last argument is the result,
   which is NaN before, and whose file is written. */
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <tvm/ffi/c_api.h>

enum { MOST_ARGUMENTS = 8, MOST_DIMENSIONS = 8, NAME = 256 };

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
  fprintf(stderr, "%s: ", kind);
  for (int32_t i = 0; i < count; ++i) {
    fprintf(stderr, "%s", parts[i] ? parts[i] : "");
  }
  fprintf(stderr, "\n");
}

void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message) {
  TVMFFIErrorSetRaisedFromCStrParts(kind, &message, 1);
}

static void *take(int type, int id, uint64_t size, int code, int bits) {
  return aligned_alloc(64, (size + 63) / 64 * 64);
}

static int give_back(int type, int id, void *memory) {
  free(memory);
  return 0;
}

typedef struct {
  void *sync;
  int32_t tasks;
} Team;

static int run_alone(int (*task)(int, Team *, void *), void *data, int tasks) {
  Team team = {NULL, 1};
  return task(0, &team, data);
}

/* A module's slot for a function of the runtime; it has those that its kernels call. */
static void provide(void *module, const char *slot, void *function) {
  void **found = dlsym(module, slot);
  if (found != NULL) {
    *found = function;
  }
}

typedef int (*Kernel)(void *, const TVMFFIAny *, int32_t, TVMFFIAny *);

typedef struct {
  char file[NAME];
  int64_t shape[MOST_DIMENSIONS];
  int64_t strides[MOST_DIMENSIONS];
  size_t count;
  DLTensor tensor;
} Argument;

static int read_argument(FILE *list, Argument *made) {
  int32_t rank = 0;
  if (fscanf(list, "%255s %d", made->file, &rank) != 2 || rank > MOST_DIMENSIONS) {
    return 1;
  }
  made->count = 1;
  for (int i = 0; i < rank; ++i) {
    long long size = 0;
    if (fscanf(list, "%lld", &size) != 1) {
      return 1;
    }
    made->shape[i] = size;
    made->count *= (size_t)size;
  }
  for (int64_t i = rank - 1, stride = 1; i >= 0; stride *= made->shape[i], --i) {
    made->strides[i] = stride;
  }
  float *data = aligned_alloc(64, (made->count * sizeof(float) + 63) / 64 * 64);
  for (size_t i = 0; i < made->count; ++i) {
    data[i] = NAN;
  }
  FILE *file = fopen(made->file, "rb");
  if (file != NULL) {
    if (fread(data, sizeof(float), made->count, file) != made->count) {
      return 1;
    }
    fclose(file);
  }
  DLTensor tensor = {data, {kDLCPU, 0}, rank, {kDLFloat, 32, 1}, made->shape, made->strides, 0};
  made->tensor = tensor;
  return 0;
}

int main(int argc, char **argv) {
  void *module = argc == 3 ? dlopen(argv[1], RTLD_LAZY) : NULL;
  FILE *list = argc == 3 ? fopen(argv[2], "r") : NULL;
  if (module == NULL || list == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  provide(module, "__TVMBackendAllocWorkspace", (void *)take);
  provide(module, "__TVMBackendFreeWorkspace", (void *)give_back);
  provide(module, "__TVMBackendParallelLaunch", (void *)run_alone);
  char name[NAME];
  int count = 0;
  while (fscanf(list, "%255s %d", name, &count) == 2) {
    static Argument arguments[MOST_ARGUMENTS];
    TVMFFIAny values[MOST_ARGUMENTS] = {0};
    if (count > MOST_ARGUMENTS) {
      return 3;
    }
    for (int i = 0; i < count; ++i) {
      if (read_argument(list, &arguments[i]) != 0) {
        return 3;
      }
      values[i].type_index = kTVMFFIDLTensorPtr;
      values[i].v_ptr = &arguments[i].tensor;
    }
    char symbol[2 * NAME];
    snprintf(symbol, sizeof symbol, "__tvm_ffi_%s", name);
    Kernel kernel = (Kernel)dlsym(module, symbol);
    TVMFFIAny result = {0};
    if (kernel == NULL || kernel(NULL, values, count, &result) != 0) {
      fprintf(stderr, "%s\n", name);
      return 4;
    }
    Argument *last = &arguments[count - 1];
    FILE *file = fopen(last->file, "wb");
    if (file == NULL || fwrite(last->tensor.data, sizeof(float), last->count, file) != last->count ||
        fclose(file) != 0) {
      return 5;
    }
    for (int i = 0; i < count; ++i) {
      free(arguments[i].tensor.data);
    }
  }
  return 0;
}
