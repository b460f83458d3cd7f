#!/bin/sh
# Stops the agent and removes it, its options and what was uploaded: sudo /opt/lcp-tvm/uninstall.sh
set -eu
root=${DESTDIR:-}
if [ -z "$root" ]; then
  [ "$(id -u)" = 0 ] || {
    echo "uninstall.sh: needs root; say sudo $0" >&2
    exit 1
  }
  systemctl disable --now lcp-agent || true
fi
rm -rf "$root/opt/lcp-tvm" "$root/var/lib/lcp-tvm" "$root/var/lib/private/lcp-tvm"
rm -f "$root/etc/systemd/system/lcp-agent.service"
[ -n "$root" ] || systemctl daemon-reload
echo "removed"
