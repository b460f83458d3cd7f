#!/bin/sh
# Build the C++ tests and the fuzzer with AddressSanitizer and UndefinedBehaviorSanitizer, and once
# more with ThreadSanitizer, and run them. Prints what they printed only if something fails.
# Usage, in an environment with the project and its dev extra installed: native/test.sh
set -eu
cd "$(dirname "$0")/.."

check() {
  cmake -S native -B "$build" -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O1 -DLCP_TVM_TESTS=ON \
    -DPython_EXECUTABLE="$(command -v python)" -DLCP_TVM_SANITIZE="$1" || return
  cmake --build "$build" -j 2 --target lcp_tests || return
  ctest --test-dir "$build" -j 2 --output-on-failure
}

for sanitizers in address,undefined thread; do
  build=build/tests-${sanitizers%,*}
  mkdir -p "$build"
  if ! check "$sanitizers" >"$build/log" 2>&1; then
    cat "$build/log" >&2
    exit 1
  fi
  echo "the C++ tests pass with the sanitizers $sanitizers"
done
