"""Number formats: what a GPU may round, and in which order it may add, is set for the block alone, and nowhere else."""

from __future__ import annotations

import contextlib

import pytest
import torch

from vidstyle.device import matrix_units, network_format
from vidstyle.settings import Precision


def allowed() -> tuple[bool, str, bool]:
    return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision(), torch.backends.cudnn.deterministic


@pytest.mark.parametrize(("precision", "expected"), [("auto", (True, "high")), ("tf32", (True, "high")), ("float32", (False, "highest"))])
def test_a_gpu_rounds_as_far_as_it_is_told_to_and_always_the_same(precision: Precision, expected: tuple[bool, str]) -> None:
    before = allowed()
    with contextlib.suppress(ZeroDivisionError), matrix_units(precision, torch.device("cuda")):
        assert allowed() == (*expected, True)
        raise ZeroDivisionError
    assert allowed() == before


def test_on_a_cpu_nothing_is_touched() -> None:
    before = allowed()
    with matrix_units("tf32", torch.device("cpu")):
        assert allowed() == before


def test_only_bfloat16_is_another_format_of_the_network() -> None:
    assert network_format("bfloat16") == torch.bfloat16
    assert network_format("auto") == network_format("float32") == network_format("tf32") == torch.float32
