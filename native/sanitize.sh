#!/bin/sh
# Build the native library with sanitizers and run its tests in one process with it.
# Usage, in an environment with the project and its dev extra installed: native/sanitize.sh
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/sanitize
cmake -S "$root/native" -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DPython_EXECUTABLE="$(command -v python)" -DLCP_TVM_SANITIZE=address,undefined >/dev/null
cmake --build "$build" -j 2
cd "$root"
# Leaks are Python's own; the runtime must be loaded before anything else.
LD_PRELOAD="$(${CXX:-c++} -print-file-name=libasan.so) $(${CXX:-c++} -print-file-name=libstdc++.so)" \
ASAN_OPTIONS=detect_leaks=0 LCP_TVM_SANITIZED="$build/liblcp_tvm.so" exec python - <<'EOF'
import os
import sys

import pytest
import tvm_ffi

tvm_ffi.load_module(os.environ["LCP_TVM_SANITIZED"])
# Tests that start processes would load the installed library and gain nothing.
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/native", "-k", "not rpc and not board and not fresh"]))
EOF
