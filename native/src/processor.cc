// What packages and workers call this machine's processor (lcp_tvm/cpu/processor.py).
#include <lcp_tvm/processor.h>
#include <sys/utsname.h>
#ifdef __aarch64__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#include <tvm/ffi/reflection/registry.h>
#include <tvm/ffi/string.h>

namespace lcp_tvm {
namespace {

std::string MachineName() {
  utsname name{};
  return uname(&name) == 0 ? name.machine : "unknown";
}

}  // namespace

std::string ProcessorName() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt")) {
    return MachineName();
  }
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
      !__builtin_cpu_supports("bmi2")) {
    return "x86-64-v2";
  }
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl")) {
    return "x86-64-v3";
  }
  return __builtin_cpu_supports("avx512vnni") ? "x86-64-v4-vnni" : "x86-64-v4";
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0 ? "aarch64-dotprod" : "aarch64";
#else
  return MachineName();
#endif
}

TVM_FFI_STATIC_INIT_BLOCK() {
  namespace refl = tvm::ffi::reflection;
  refl::GlobalDef().def("lcp_tvm.Processor", [] { return tvm::ffi::String(ProcessorName()); });
}

}  // namespace lcp_tvm
