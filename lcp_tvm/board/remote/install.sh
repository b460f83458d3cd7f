# Unpacks a kit and installs it: sh -c THIS sh [--upgrade] [OPTIONS of install.sh]
set -eu
installed=$(cat "${DESTDIR:-}/opt/lcp-tvm/VERSION" 2>/dev/null || true)
if [ "${1:-}" = --upgrade ]; then
  shift
elif [ -n "$installed" ]; then
  echo "has an agent of version $installed already; say --upgrade to replace it" >&2
  exit 1
fi
tar xzf file
kit=$(echo lcp-agent-*)
"./$kit/install.sh" "$@"
