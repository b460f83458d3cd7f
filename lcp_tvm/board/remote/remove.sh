# Removes the agent: sh -c THIS sh
set -eu
"${DESTDIR:-}/opt/lcp-tvm/uninstall.sh"
