"""Kernels on blocked maps, as TIR."""
