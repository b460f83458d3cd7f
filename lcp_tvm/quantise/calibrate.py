"""What the tensors of a float module look like on calibration pictures, by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
import tvm
from numpy.typing import NDArray

from lcp_tvm.frontend.export import to_onnx

Array = NDArray[np.float32]
Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the whole that is finished."""

SAMPLES = 1 << 17  # numbers kept per tensor over all pictures: 512 KiB
BATCH_BYTES = 256 << 20  # tensors held at a time


@dataclass(frozen=True, slots=True)
class TensorStatistics:
    """One tensor over all pictures; channels are its second axis."""

    samples: Array  # a random choice of its numbers
    mean: NDArray[np.float64]  # [C]
    variance: NDArray[np.float64]  # [C]
    low: Array  # [C]
    high: Array  # [C]

    @property
    def magnitude(self) -> Array:
        """[C], the largest magnitude of each channel."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


class Evaluator:
    """A module in onnxruntime that gives chosen variables for one picture."""

    def __init__(self, module: tvm.IRModule, names: Sequence[str]) -> None:
        options = onnxruntime.SessionOptions()
        # Else QDQ operators are fused into kernels that saturate on some processors.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        model = to_onnx(module, outputs=names)
        self._input = model.graph.input[0].name
        self._names = tuple(names)
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, picture: Array) -> dict[str, Array]:
        """The variables' values for a picture [C, H, W]."""
        values = self._session.run(None, {self._input: picture[None]})
        return dict(zip(self._names, values, strict=True))


def collect(
    module: tvm.IRModule,
    sizes: dict[str, int],
    pictures: Array,
    tick: Callable[[float], None],
) -> dict[str, TensorStatistics]:
    """Statistics of the variables named in ``sizes``, which gives their numbers of elements.

    Pictures are [N, C, H, W]. Tensors are held one picture and at most ``BATCH_BYTES`` at a time;
    ``tick`` hears the fraction done.
    """
    statistics: dict[str, TensorStatistics] = {}
    batches = list(batched(sizes))
    for position, names in enumerate(batches):
        evaluate = Evaluator(module, names)
        collectors = {name: _Collector(name, len(pictures)) for name in names}
        for index, picture in enumerate(pictures):
            for name, value in evaluate(picture).items():
                collectors[name].see(value)
            tick((position + (index + 1) / len(pictures)) / len(batches))
        statistics |= {name: collector.result() for name, collector in collectors.items()}
    return statistics


def batched(sizes: dict[str, int]) -> Iterator[list[str]]:
    """Names in groups whose float tensors take at most ``BATCH_BYTES`` together."""
    names: list[str] = []
    total = 0
    for name, size in sizes.items():
        if names and total + 4 * size > BATCH_BYTES:
            yield names
            names, total = [], 0
        names.append(name)
        total += 4 * size
    if names:
        yield names


class _Collector:
    """Running statistics of one tensor."""

    def __init__(self, name: str, pictures: int) -> None:
        self._random = np.random.default_rng([pictures, *name.encode()])
        self._quota = max(1, SAMPLES // pictures)
        self._samples: list[Array] = []
        self._means: list[NDArray[np.float64]] = []
        self._squares: list[NDArray[np.float64]] = []
        self._low: Array | None = None
        self._high: Array | None = None

    def see(self, value: Array) -> None:
        flat = value.reshape(-1)
        if flat.size > self._quota:
            flat = flat[self._random.integers(0, flat.size, self._quota)]
        self._samples.append(flat.copy())
        # Pictures have batch 1; what is left of rank 1 counts as one channel each.
        channels = value.reshape(value.shape[1], -1) if value.ndim > 1 else value.reshape(-1, 1)
        low, high = channels.min(axis=1), channels.max(axis=1)
        self._means.append(channels.mean(axis=1, dtype=np.float64))
        self._squares.append(np.square(channels).mean(axis=1, dtype=np.float64))
        self._low = low if self._low is None else np.minimum(self._low, low)
        self._high = high if self._high is None else np.maximum(self._high, high)

    def result(self) -> TensorStatistics:
        assert self._low is not None, "collect() refuses an empty calibration set"
        assert self._high is not None, "collect() refuses an empty calibration set"
        samples, mean = np.concatenate(self._samples), np.mean(self._means, axis=0)
        variance = np.maximum(np.mean(self._squares, axis=0) - np.square(mean), 0.0)
        return TensorStatistics(samples, mean, variance, self._low, self._high)
