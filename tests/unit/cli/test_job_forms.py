"""Options of jobs that are refused before anything is asked for."""

import pytest
from typer.testing import CliRunner

from streams.cli.jobs import app

CREATE = ["create-import", "--authorization", "a", "--client", "c", "--since"]


@pytest.mark.parametrize("since", ["2999-01-01", "2999-01-01T00:00:00", "2999-01-01T00:00:00+0200"])
def test_a_start_in_the_future_is_refused(since):
    result = CliRunner().invoke(app, [*CREATE, since])
    assert result.exit_code == 2
    assert "in the future" in result.output
