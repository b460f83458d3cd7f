/* Writes a constant of a library: read_constant MODULE.so NUMBER FILE BITS NDIM SIZE...

   Fails unless the constant has that many bits an element and that shape. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tvm/ffi/c_api.h>

typedef int (*Function)(void *, const TVMFFIAny *, int32_t, TVMFFIAny *);

int main(int argc, char **argv) {
  if (argc < 6) {
    return 2;
  }
  void *module = dlopen(argv[1], RTLD_LAZY);
  if (module == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 4;
  }
  Function constant = (Function)dlsym(module, "__tvm_ffi_lcp_constant");
  if (constant == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 5;
  }
  TVMFFIAny number = {.type_index = kTVMFFIInt, .v_int64 = strtoll(argv[2], NULL, 10)};
  TVMFFIAny result;
  memset(&result, 0xFF, sizeof(result));
  if (constant(NULL, &number, 1, &result) != 0 || result.type_index != kTVMFFIDLTensorPtr ||
      result.zero_padding != 0 || result.v_int64 != (int64_t)(uintptr_t)result.v_ptr) {
    return 6;
  }
  const DLTensor *tensor = result.v_ptr;
  size_t bytes = tensor->dtype.bits / 8;
  if (tensor->dtype.bits != atoi(argv[4]) || tensor->ndim != atoi(argv[5]) ||
      argc != 6 + tensor->ndim || (uintptr_t)tensor->data % 64 != 0) {
    return 7;
  }
  for (int i = 0; i < tensor->ndim; ++i) {
    if (tensor->shape[i] != strtoll(argv[6 + i], NULL, 10)) {
      return 8;
    }
    bytes *= (size_t)tensor->shape[i];
  }
  FILE *file = fopen(argv[3], "wb");
  return file == NULL || fwrite(tensor->data, 1, bytes, file) != bytes || fclose(file) != 0;
}
