#!/bin/sh
# Build the native library with sanitizers and run its tests in one process with it.
# Prints what they printed only if something fails.
# Usage, in an environment with the project and its dev extra installed: native/sanitize.sh
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/sanitize
log=$build/log
mkdir -p "$build"
cd "$root"

check() {
  cmake -S native -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DPython_EXECUTABLE="$(command -v python)" -DLCP_TVM_SANITIZE=address,undefined || return
  cmake --build "$build" -j 2 || return
  # Leaks are Python's own; the runtime must be loaded before anything else. What cannot be had is
  # none, as without the sanitizer.
  LD_PRELOAD="$(${CXX:-c++} -print-file-name=libasan.so) $(${CXX:-c++} -print-file-name=libstdc++.so)" \
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 LCP_TVM_SANITIZED="$build/liblcp_tvm.so" python - <<'EOF'
import os
import sys

import pytest
import tvm_ffi

tvm_ffi.load_module(os.environ["LCP_TVM_SANITIZED"])
# Tests that start processes would load the installed library and gain nothing. Capturing file
# descriptors would swallow the sanitizer's last words.
chosen = ["tests/native", "-k", "not rpc and not board and not fresh"]
sys.exit(pytest.main(["-v", "--capture=sys", "-p", "no:cacheprovider", *chosen]))
EOF
}

if ! check >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
echo "the native tests pass with AddressSanitizer and UndefinedBehaviorSanitizer"
