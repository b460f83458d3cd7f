"""One CNN on a handful of small boards."""

from lcp_tvm.frontend.gluon import from_gluon, import_mxnet

__all__ = ["from_gluon", "import_mxnet"]
