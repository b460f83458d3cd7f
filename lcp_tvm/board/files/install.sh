#!/bin/sh
# Installs the agent, or another version of it, and starts it: sudo ./install.sh [OPTIONS]
#
# The options are those of lcp-agent (./lcp-agent --help). Without any, those of the last time are
# kept. With DESTDIR=FOLDER it only puts the files into a board's system that lies there.
set -eu
cd "$(dirname "$0")"
root=${DESTDIR:-}
home=$root/opt/lcp-tvm
unit=$root/etc/systemd/system/lcp-agent.service

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

sha256sum -c SHA256SUMS >/dev/null || fail "the kit is damaged; unpack it again"

if [ $# -gt 0 ] || [ ! -f "$home/agent.conf" ]; then
  config=
  [ ! -f vta.json ] || config="--vta /opt/lcp-tvm/vta.json --board auto"
  options=$(echo --port 9090 $config "$@")
else
  options=$(sed -n 's/^LCP_AGENT_OPTIONS=//p' "$home/agent.conf")
fi

if [ -z "$root" ]; then
  [ "$(id -u)" = 0 ] || fail "needs root; say sudo ./install.sh"
  ./lcp-agent $options --help >/dev/null ||
    fail "the agent does not run so on this $(uname -m); is the kit for this board?"
fi

# The new one is all there before the old one goes, which comes back if the new one does not start.
rm -rf "$home.new" "$home.old"
trap 'rm -rf "$home.new" "$unit.new"' EXIT
mkdir -p "$home.new" "$(dirname "$unit")"
cp -R . "$home.new"
echo "LCP_AGENT_OPTIONS=$options" >"$home.new/agent.conf"
cp lcp-agent.service "$unit.new"
# The memory and registers of an accelerator are root's.
[ ! -f vta.json ] || sed -i '/^DynamicUser=/d' "$unit.new"

[ ! -d "$home" ] || mv "$home" "$home.old"
mv "$home.new" "$home"
mv "$unit.new" "$unit"

if [ -z "$root" ]; then
  systemctl daemon-reload
  systemctl enable lcp-agent
  systemctl restart lcp-agent
  sleep 2
  if ! systemctl is-active --quiet lcp-agent; then
    if [ -d "$home.old" ]; then
      rm -rf "$home"
      mv "$home.old" "$home"
      systemctl restart lcp-agent
    fi
    fail "the agent does not start; see journalctl -u lcp-agent"
  fi
fi
rm -rf "$home.old"
echo "installed in $home; options: $options"
