"""Pages of tests embed their PDFs' fonts the quick way; one test looks at the real one."""

from collections.abc import Iterator

import pytest

from mkd.report import style


@pytest.fixture(scope="module", autouse=True)
def _quick_fonts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("style") / "mkd.mplstyle"
    text = style.STYLE.read_text()
    assert "pdf.fonttype: 42" in text
    path.write_text(text.replace("pdf.fonttype: 42", "pdf.fonttype: 3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "STYLE", path)
        yield
