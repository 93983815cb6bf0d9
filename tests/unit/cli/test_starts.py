"""What a short command imports: the time of a start is mostly that of what is imported."""

import subprocess
import sys

import pytest

HEAVY = {
    "streams.cli.profile": ("faust", "aiokafka", "aiohttp"),
    "streams.cli.export": ("faust", "aiokafka"),
    "streams.cli.jobs": ("faust", "aiokafka"),
    "streams.cli.topics": ("faust", "aiokafka"),
    "streams.cli.mapping": ("faust", "aiokafka", "aiohttp", "confluent_kafka"),
}


@pytest.mark.parametrize("module", HEAVY)
def test_a_command_imports_nothing_that_it_does_not_need(module: str) -> None:
    """`profile show` took twice as long with Faust."""
    seen = f"import sys, {module}; print([name for name in {HEAVY[module]} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
