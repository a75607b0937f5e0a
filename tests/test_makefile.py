"""The processor whose rounding the tests are repeated with."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def planned(*given):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    command = ["make", "--dry-run", "test-other-processor", *given]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("given", "isa", "core"),
    [([], "SSE4_2", "Nehalem"), (["ISA=AVX2"], "AVX2", "Haswell")],
)
def test_the_tests_are_repeated_as_another_processor_rounds(given, isa, core):
    done = planned(*given)
    assert done.returncode == 0, done.stderr
    assert f"--xla_cpu_max_isa={isa} " in done.stdout
    assert f"OPENBLAS_CORETYPE={core} " in done.stdout


def test_an_unknown_processor_is_refused():
    done = planned("ISA=AVX3")
    assert done.returncode
    assert "ISA=AVX3: valid are SSE4_2, AVX, AVX2, AVX512" in done.stderr
