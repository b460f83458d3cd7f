"""Training of LCP networks in PyTorch, which is an extra: ``lcp-tvm[train]``."""
