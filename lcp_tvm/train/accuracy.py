"""How many pictures a network gets right."""

from __future__ import annotations

from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from lcp_tvm.network import Preprocess
from lcp_tvm.train.batches import at_once, batches_of
from lcp_tvm.train.data import Pictures
from lcp_tvm.train.torch_network import TorchNetwork

BATCH = 500  # at most


def accuracy(
    network: TorchNetwork, pictures: Pictures, preprocess: Preprocess, expected: NDArray[np.int64]
) -> float:
    """Return the percentage of pictures that the network answers as expected [N].

    What is expected are the pictures' classes, or a teacher's answers where no label is read.
    """
    return 100.0 * float((answers(network, pictures, preprocess) == expected).mean())


def answers(network: TorchNetwork, pictures: Pictures, preprocess: Preprocess) -> NDArray[np.int64]:
    """Return the class of the largest score for each picture, int64 [N], in eval mode."""
    unlabelled = Pictures(pictures.pixels, None)
    numbers = next(chain(network.parameters(), network.buffers()))
    batch = at_once(pictures.pixels.shape, BATCH)
    batches = batches_of(unlabelled, preprocess, batch, device=numbers.device)
    was_training = network.training
    network.eval()
    with torch.no_grad():
        found = [network(batches.plain(step)[0]).argmax(1) for step in range(batches.steps)]
    network.train(was_training)
    classes: NDArray[np.int64] = torch.cat(found).cpu().numpy()
    return classes
