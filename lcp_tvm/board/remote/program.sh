# Loads a design into the FPGA, for now and for the agent to load anew: sh -c THIS sh NAME
set -eu
root=${DESTDIR:-}
firmware=$root/lib/firmware
manager=$root/sys/class/fpga_manager/fpga0
if [ ! -e "$manager/firmware" ]; then
  echo "the kernel has no FPGA manager that loads files; use an image of PYNQ" >&2
  exit 1
fi
mkdir -p "$firmware"
cp file "$firmware/lcp-tvm-vta.bin.new"
mv "$firmware/lcp-tvm-vta.bin.new" "$firmware/lcp-tvm-vta.bin"
echo 0 >"$manager/flags"
echo lcp-tvm-vta.bin >"$manager/firmware"
state=$(cat "$manager/state")
if [ "$state" != operating ]; then
  echo "the FPGA did not take the design: its state is '$state'; is it for this board?" >&2
  exit 1
fi
echo "$1" >"$firmware/lcp-tvm-vta.name"
