"""What holds for every test: none leaves structlog otherwise than it found it."""

import pytest
import structlog


@pytest.fixture(autouse=True)
def _log_as_it_was():
    """Undo what a test of a command, run in this process, did to where log lines go."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
