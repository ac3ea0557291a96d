"""Pages of these tests embed their PDFs' fonts the quick way; one test looks at the real one."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quickly(quick_fonts: None) -> None:
    """Everywhere here."""
