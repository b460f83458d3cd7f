"""``python -m lcp_tvm.cli``: as ``lcp-tvm``."""

import sys

from lcp_tvm.cli import main

sys.exit(main())
