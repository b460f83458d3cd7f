#!/bin/sh
# Fuzz the receiving path, under AddressSanitizer and UndefinedBehaviorSanitizer: with libFuzzer
# where clang++ (or CLANGXX) has it (Debian: clang), else by the driver in native/fuzz, which mutates
# at random.
# Usage, in an environment with the project and its dev extra installed: native/fuzz.sh [SECONDS]
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-600}
build=build/fuzz
mkdir -p "$build/corpus"

cmake -S native -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLCP_TVM_TESTS=ON \
  -DPython_EXECUTABLE="$(command -v python)" -DLCP_TVM_SANITIZE=address,undefined >/dev/null
cmake --build "$build" -j 2 --target receive_fuzz >/dev/null
target=native/fuzz/receive_fuzz.cc
if "${CLANGXX:-clang++}" -std=c++17 -g -O1 -Inative -fsanitize=fuzzer,address,undefined \
  -fno-sanitize-recover=all "$target" native/transport/*.cc -o "$build/libfuzzer" 2>"$build/log"; then
  "$build/receive_fuzz" --seeds "$build/corpus"
  exec "$build/libfuzzer" -max_total_time="$seconds" -max_len=8192 -print_final_stats=1 \
    -artifact_prefix="$build/" "$build/corpus"
fi
echo "no libFuzzer here (see $build/log); mutating at random"
cd "$build"
exec ./receive_fuzz "$seconds" "$(date +%s)"
