# Prints what the board has and lacks, as JSON: sh -c THIS sh
set -eu
home=${DESTDIR:-}/opt/lcp-tvm
exec "$home/lcp-agent" $(sed -n 's/^LCP_AGENT_OPTIONS=//p' "$home/agent.conf") --probe
