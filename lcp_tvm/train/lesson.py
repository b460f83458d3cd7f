"""What a student learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcp_tvm.network import Preprocess
from lcp_tvm.train.accuracy import answers
from lcp_tvm.train.data import Pictures
from lcp_tvm.train.losses import Objective, Teacher


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """Pictures, and what to make of them.

    Attributes
    ----------
    training, test : pictures to learn from, and to measure after every epoch.
    preprocess : how they become the network's input.
    objective : what is made small; with ``labels`` 0 the classes of neither set are looked at.
    teacher : whose answers are learnt, and agreed with where there are no labels.
    """

    training: Pictures
    test: Pictures
    preprocess: Preprocess
    objective: Objective
    teacher: Teacher | None = None

    def expected(self) -> NDArray[np.int64]:
        """Return the answers [N] to the test pictures that count as right.

        Labels where the objective has them, else the teacher's answers.
        """
        if self.objective.labels:
            assert self.test.classes is not None
            return self.test.classes
        assert self.teacher is not None
        return answers(self.teacher.network, self.test, self.preprocess)
