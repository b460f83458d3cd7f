/* Runs conv2d of a compiled module: run_kernel MODULE.so X W Y, each a raw file, Y's size given.

   The module is loaded as TVM's runtime would, and its kernel called through TVM's C ABI. Only
   the error hook comes from here; a kernel that calls it has refused its arguments. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <tvm/ffi/c_api.h>

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
  fprintf(stderr, "%s: ", kind);
  for (int32_t i = 0; i < count; ++i) {
    fprintf(stderr, "%s", parts[i] ? parts[i] : "");
  }
  fprintf(stderr, "\n");
}

typedef int (*Kernel)(void *, const TVMFFIAny *, int32_t, TVMFFIAny *);

static DLTensor tensor(char **argv, uint8_t bits) {
  int64_t *shape = malloc(4 * sizeof(int64_t));
  int64_t *strides = malloc(4 * sizeof(int64_t));
  size_t size = bits / 8;
  for (int i = 0; i < 4; ++i) {
    shape[i] = strtoll(argv[1 + i], NULL, 10);
    size *= (size_t)shape[i];
  }
  strides[3] = 1;
  for (int i = 2; i >= 0; --i) {
    strides[i] = strides[i + 1] * shape[i + 1];
  }
  DLTensor made = {aligned_alloc(64, (size + 63) / 64 * 64), {kDLCPU, 0}, 4, {kDLInt, bits, 1},
                   shape, strides, 0};
  FILE *file = fopen(argv[0], "rb");
  if (file != NULL) {
    if (fread(made.data, 1, size, file) != size) {
      exit(3);
    }
    fclose(file);
  }
  return made;
}

int main(int argc, char **argv) {
  if (argc != 17) {
    return 2;
  }
  void *module = dlopen(argv[1], RTLD_LAZY);
  if (module == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 4;
  }
  Kernel conv2d = (Kernel)dlsym(module, "__tvm_ffi_conv2d");
  if (conv2d == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 5;
  }
  DLTensor tensors[3] = {tensor(argv + 2, 8), tensor(argv + 7, 8), tensor(argv + 12, 32)};
  TVMFFIAny arguments[3] = {0};
  for (int i = 0; i < 3; ++i) {
    arguments[i].type_index = kTVMFFIDLTensorPtr;
    arguments[i].v_ptr = &tensors[i];
  }
  TVMFFIAny result = {0};
  if (conv2d(NULL, arguments, 3, &result) != 0) {
    return 6;
  }
  FILE *file = fopen(argv[12], "wb");
  size_t count = 1;
  for (int i = 0; i < 4; ++i) {
    count *= (size_t)tensors[2].shape[i];
  }
  if (file == NULL || fwrite(tensors[2].data, 4, count, file) != count || fclose(file) != 0) {
    return 7;
  }
  return 0;
}
