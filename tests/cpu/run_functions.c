/* Runs kernels of a compiled module: run_functions MODULE.so (NAME COUNT TENSOR...)...

   A TENSOR is FILE CODE BITS DIMENSIONS SIZE..., a raw file and the numbers of its DLTensor; the
   last of a kernel is its result, which is read before and written after. The module is loaded as
   TVM's runtime would, and its kernels are called through TVM's C ABI; the error hooks, scratch and
   the pool of threads, which is one, come from here. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <tvm/ffi/c_api.h>

enum { MOST_TENSORS = 8, ALIGNMENT = 64 };

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

static void *take(size_t size) {
  return aligned_alloc(ALIGNMENT, (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

/* As tvm/runtime/c_backend_api.h has what follows. */
static void *take_workspace(int type, int id, uint64_t size, int code, int bits) {
  return take(size);
}

static int give_workspace_back(int type, int id, void *memory) {
  free(memory);
  return 0;
}

typedef struct {
  void *sync_handle;
  int32_t num_task;
} GroupEnv;
typedef int (*Lambda)(int, GroupEnv *, void *);

static int launch(Lambda lambda, void *data, int tasks) {
  (void)tasks;
  GroupEnv env = {NULL, 1};
  return lambda(0, &env, data);
}

/* Fills a module's slot for a function of the runtime; it has those that its kernels call. */
static void provide(void *module, const char *slot, void *function) {
  void **found = dlsym(module, slot);
  if (found != NULL) {
    *found = function;
  }
}

typedef int (*Kernel)(void *, const TVMFFIAny *, int32_t, TVMFFIAny *);

static size_t bytes_of(const DLTensor *tensor) {
  size_t size = tensor->dtype.bits / 8;
  for (int i = 0; i < tensor->ndim; ++i) {
    size *= (size_t)tensor->shape[i];
  }
  return size;
}

/* Reads what describes a tensor, and its file; returns what follows. */
static char **read_tensor(char **argv, DLTensor *tensor) {
  const char *path = *argv++;
  tensor->device.device_type = kDLCPU;
  tensor->dtype.code = (uint8_t)atoi(*argv++);
  tensor->dtype.bits = (uint8_t)atoi(*argv++);
  tensor->dtype.lanes = 1;
  tensor->ndim = atoi(*argv++);
  tensor->shape = malloc(2 * (size_t)tensor->ndim * sizeof(int64_t));
  tensor->strides = tensor->shape + tensor->ndim;
  for (int i = 0; i < tensor->ndim; ++i) {
    tensor->shape[i] = strtoll(*argv++, NULL, 10);
  }
  int64_t stride = 1;
  for (int i = tensor->ndim - 1; i >= 0; --i) {
    tensor->strides[i] = stride;
    stride *= tensor->shape[i];
  }
  size_t size = bytes_of(tensor);
  tensor->data = take(size);
  FILE *file = fopen(path, "rb");
  if (file == NULL || fread(tensor->data, 1, size, file) != size || fclose(file) != 0) {
    fprintf(stderr, "%s: not %zu bytes\n", path, size);
    exit(3);
  }
  return argv;
}

static void write_tensor(const char *path, const DLTensor *tensor) {
  FILE *file = fopen(path, "wb");
  size_t size = bytes_of(tensor);
  if (file == NULL || fwrite(tensor->data, 1, size, file) != size || fclose(file) != 0) {
    exit(4);
  }
}

int main(int argc, char **argv) {
  void *module = argc > 1 ? dlopen(argv[1], RTLD_LAZY) : NULL;
  if (module == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  provide(module, "__TVMBackendAllocWorkspace", (void *)take_workspace);
  provide(module, "__TVMBackendFreeWorkspace", (void *)give_workspace_back);
  provide(module, "__TVMBackendParallelLaunch", (void *)launch);
  for (char **next = argv + 2; next < argv + argc;) {
    char name[256];
    snprintf(name, sizeof(name), "__tvm_ffi_%s", *next++);
    Kernel kernel = (Kernel)dlsym(module, name);
    int count = atoi(*next++);
    if (kernel == NULL || count > MOST_TENSORS) {
      fprintf(stderr, "no kernel %s of %d tensors\n", name, count);
      return 5;
    }
    DLTensor tensors[MOST_TENSORS] = {0};
    TVMFFIAny arguments[MOST_TENSORS] = {0};
    const char *result = NULL;
    for (int i = 0; i < count; ++i) {
      result = *next;
      next = read_tensor(next, &tensors[i]);
      arguments[i].type_index = kTVMFFIDLTensorPtr;
      arguments[i].v_ptr = &tensors[i];
    }
    TVMFFIAny returned = {0};
    if (kernel(NULL, arguments, count, &returned) != 0) {
      fprintf(stderr, "%s failed\n", name);
      return 6;
    }
    write_tensor(result, &tensors[count - 1]);
  }
  return 0;
}
