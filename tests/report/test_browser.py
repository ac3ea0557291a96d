"""The page in a real headless Chromium, opened from its file."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from mkd.experiment.suite import Suite
from mkd.report import own_page
from mkd.report.render import render

pytestmark = pytest.mark.slow(5)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
COLORS = ["color-contrast", "link-in-text-block"]
"""What axe asks of colors."""
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="module")
def url(filled: Suite) -> str:
    """A report with every section filled, one corrupt record among them."""
    suite = filled
    (suite.results / "runs/ins-tiny-mkd/seed1/record.json").write_text("{")
    pixels = cv2.imencode(".png", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    box = {"bbox": [9, 9, 20, 20], "category": "disc 3", "small": True}
    judged = {"hit": [{**box, "score": 0.9}], "false": [{**box, "score": 0.4}], "miss": [box]}
    image = {
        "id": 1,
        "width": 64,
        "height": 64,
        "photo": "data:image/png;base64," + base64.b64encode(pixels).decode(),
        "truth": [box],
        "found": {"RTMDet-tiny": judged, "RTMDet-tiny with MKD": judged},
    }
    (suite.results / "figures").mkdir()
    (suite.results / "figures/qualitative.json").write_text(
        json.dumps({"rule": "the first by id", "images": [image]})
    )
    look = {"map": image["photo"], "inside": 0.3, "agreement": 0.5}
    levels = [{"stride": 8, "inside": [0.3, 0.4], "agreement": [0.5, None]}]
    detectors = [{"name": name, "levels": levels} for name in ("RTMDet-tiny, before", "RTMDet-s")]
    maps = {detector["name"]: look for detector in detectors}
    (suite.results / "figures/attention.json").write_text(
        json.dumps(
            {
                "measured": "2 val images",
                "top": 2.0,
                "colors": image["photo"],
                "area": [0.2],
                "detectors": detectors,
                "images": [{**image, "maps": maps}],
            }
        )
    )
    (suite.results / "figures/spectrum.json").write_text(
        json.dumps(
            [
                {"mask": mask, "mask_ratio": ratio, "residual": ratio, "residual_expected": ratio,
                 "minimizer_scale": 1 + ratio, "minimizer_scale_expected": 1 + ratio}
                for mask in ("literal", "hermitian") for ratio in (0.0, 0.5)
            ]
        )
    )  # fmt: skip
    render(suite, suite.results / "report")
    return (suite.results / "report/index.html").as_uri()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport=DESKTOP)
    opened = context.new_page()
    opened.goto(url)
    yield opened
    context.close()


def test_no_request_leaves_the_page_and_nothing_is_complained_of(
    browser: Browser, url: str
) -> None:
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url, wait_until="networkidle")
    page.mouse.wheel(0, 100_000)
    assert [link for link in asked if not link.startswith("data:")] == [url]
    assert said == []
    assert page.locator("image").first.bounding_box() is not None
    context.close()


def test_the_page_of_own_runs_sorts_and_complains_of_nothing(
    browser: Browser, own: Suite, fill_own: Callable[..., Path]
) -> None:
    fill_own()
    own_page.render(own, own.results / "report")
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((own.results / "report/index.html").as_uri())
    assert said == []
    page.locator('#summary th[data-col="m-AP"] button').click()
    first = page.locator("#summary table.sortable tbody tr").first
    assert first.locator("th").inner_text().startswith("RTMDet-s")
    mean, delta = first.locator("td").first, page.locator("#summary .d").first
    assert delta.evaluate("d => getComputedStyle(d).display") == "block"
    assert mean.is_visible()
    context.close()


def test_sorting_turns_the_column_and_comes_back(page: Page) -> None:
    rows = page.locator("#table1 table.sortable tbody tr")
    before = rows.locator("th").all_inner_texts()
    head = page.locator('#table1 th[data-col="m-AP"]')
    values = """rows => rows.map(row => [...row.cells].find(c => c.dataset.col === "m-AP"))
                            .map(cell => cell?.dataset.v === undefined ? null
                                                                       : Number(cell.dataset.v))"""
    for order, sign in (("descending", -1), ("ascending", 1)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        found = rows.evaluate_all(values)
        ran = [value for value in found if value is not None]
        assert len(ran) == 7
        assert ran == sorted(ran, key=lambda value: sign * value)
        assert found[: len(ran)] == ran
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") is None
    assert rows.locator("th").all_inner_texts() == before


def test_model_names_sort_as_text(page: Page) -> None:
    head = page.locator('#table1 th[data-col="row"]')
    head.locator("button").click()
    head.locator("button").click()
    names = page.locator("#table1 table.sortable tbody tr").locator("th")
    keys = names.evaluate_all("cells => cells.map(cell => cell.dataset.v)")
    assert keys == page.evaluate("keys => [...keys].sort((a, b) => a.localeCompare(b))", keys)


def test_a_cell_leads_to_its_run_and_a_fold_opens(page: Page, url: str) -> None:
    page.locator("#t1-rtmdet-tiny-ours-m-ap a").click()
    assert page.url.endswith("#run-tiny-mkd")
    page.wait_for_function(
        "() => { const r = document.querySelector('#run-tiny-mkd').getBoundingClientRect();"
        " return r.top > -1 && r.bottom < innerHeight + 1 }"
    )
    page.goto(f"{url}#run-tiny-mkd-seed2")
    digest = page.locator("#run-tiny-mkd-seed2 code", has_text="cccc").first
    assert digest.is_visible()
    assert digest.inner_text() == "c" * 10
    assert not page.locator("#run-tiny-cwd-seed1 code").first.is_visible()


def test_what_is_shortened_is_copied_whole(page: Page, url: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{url}#run-tiny-mkd-seed2")
    page.locator("#run-tiny-mkd-seed2 button").nth(3).click()
    page.wait_for_function(
        "document.querySelector('#run-tiny-mkd-seed2').innerText.includes('copied')"
    )
    assert page.evaluate("navigator.clipboard.readText()") == "c" * 64


def test_it_reads_without_javascript(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport=DESKTOP, java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    assert page.locator("#t1-rtmdet-tiny-ours-m-ap").is_visible()
    assert page.locator("#overview .across svg").is_visible()
    for figure in ("spectrum", "pr", "errors", "attention"):
        assert not page.locator(f"#{figure} svg").last.is_visible()
        page.locator(f"#{figure} summary").click()
        assert page.locator(f"#{figure} svg").last.is_visible()
    assert page.locator("#attention .looks").count() == 2
    assert page.locator("button").count() == 0
    page.locator("#table1-points summary").click()
    assert page.locator("#table1-points td").first.is_visible()
    context.close()


def test_it_is_printed_with_its_folds_shut(page: Page) -> None:
    page.evaluate(
        "addEventListener('beforeprint', () => {"
        " window.open_folds = document.querySelectorAll('details[open]').length })"
    )
    document = page.pdf(format="A4")
    assert document.startswith(b"%PDF")
    assert page.evaluate("window.open_folds") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_violation(
    browser: Browser, url: str, scheme: str, viewport: dict[str, int]
) -> None:
    context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(url)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    # A scheme changes colors and nothing else.
    asked = {"runOnly": {"type": "rule", "values": COLORS}} if scheme == "dark" else {}
    found = Axe().run(page, options={"resultTypes": ["violations"], **asked})
    assert found.violations_count == 0, found.generate_report()
    context.close()


def test_dark_is_dark_and_light_is_light(browser: Browser, url: str) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(url)
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shades[scheme] = sum(map(int, color.removeprefix("rgb(").removesuffix(")").split(",")))
        context.close()
    assert shades["dark"] < 150 < 600 < shades["light"]


CUT = """() => [...document.querySelectorAll('.wide')]
    .filter(box => box.offsetParent && box.scrollWidth > box.clientWidth + 1)
    .map(box => box.getAttribute('aria-label') || box.getAttribute('aria-labelledby'))"""


def test_nothing_is_cut_at_1280(page: Page) -> None:
    assert page.evaluate(CUT) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP["width"]


@pytest.mark.parametrize("width", [360, 390, 768])
def test_a_phone_shows_what_was_measured_beside_the_paper(
    browser: Browser, url: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 740})
    page = context.new_page()
    page.goto(url)
    for cell in ("p-ap", "m-ap", "m-delta", "interval"):
        box = page.locator(f"#t4-rtmdet-tiny-ours-{cell}").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_tables_head_stays_while_its_rows_pass(
    browser: Browser, url: str, viewport: dict[str, int]
) -> None:
    context = browser.new_context(viewport=viewport, reduced_motion="reduce")
    page = context.new_page()
    page.goto(url)
    page.evaluate("document.querySelector('#table1 tbody tr:nth-child(20)').scrollIntoView()")
    top = "document.querySelector('#table1 thead').getBoundingClientRect().top"
    assert page.evaluate(top) == pytest.approx(0, abs=1)
    context.close()


def test_the_first_screen_holds_the_answer_the_figure_and_the_tallies(page: Page) -> None:
    for part in (".answer", "#overview .across svg", ".tallies .verdict"):
        box = page.locator(part).first.bounding_box()
        assert box is not None
        assert box["y"] + min(box["height"], 300) <= DESKTOP["height"]


def test_the_keyboard_reaches_the_skip_link_first(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#summary")
