"""How the page looks and reads: every tab, light and dark, laptop and phone; axe-core finds nothing serious."""

import json

import pytest

from tests.browsing import SECOND, XRAYS, ask, finished, shot
from tunewise.schema import Verdict

TABS = ("Advice", "Estimate", "Batch", "Knowledge", "Evaluation")
WIDTHS = {"laptop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def conversation(browser, server, tmp_path_factory):
    """A conversation with an answer, saved; and the same with a verdict that is too close to call."""
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.goto(server.url)
    page.locator("#message textarea").wait_for(timeout=20 * SECOND)
    ask(page, XRAYS)
    with page.expect_download(timeout=20 * SECOND) as download:
        page.locator("#save-json").click()
    folder = tmp_path_factory.mktemp("conversations")
    download.value.save_as(folder / "answer.json")
    context.close()
    saved = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    result = saved["turns"][0]["result"]
    shares = dict.fromkeys([verdict.value for verdict in Verdict], 0.05)
    result["probabilities"] = {**shares, "use_as_is": 0.43, result["verdict"]: 0.47}
    result["confidence"] = 0.47
    result["notes"] = ["A close call: using an existing model as it is is nearly as probable."]
    (folder / "close.json").write_text(json.dumps(saved), encoding="utf-8")
    return folder


def opened(page, file):
    with page.expect_file_chooser() as chooser:
        page.locator("#open-json").click()
    chooser.value.set_files(file)
    page.locator("#verdict [data-verdict]").wait_for(timeout=20 * SECOND)
    finished(page)


def serious(page):
    """What axe-core finds that keeps people out."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page).response["violations"]
    return [
        f"{item['id']} ({item['impact']}): {node['html'][:160]} | {node['failureSummary'][:200]}"
        for item in found
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"][:4]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_is_accessible_and_fits_laptop_and_phone(browser, server, conversation, scheme):
    context = browser.new_context(viewport={"width": 1280, "height": 860}, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(server.url)
    page.locator("#message textarea").wait_for(timeout=20 * SECOND)
    shot(page, f"empty-{scheme}")
    opened(page, conversation / "answer.json")
    findings, wide = [], []
    for tab in TABS:
        page.set_viewport_size({"width": 1280, "height": 860})
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(400)
        findings += [f"{tab}: {each}" for each in serious(page)]
        for name, width in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": 860})
            page.wait_for_timeout(200)
            if page.evaluate("() => document.documentElement.scrollWidth > window.innerWidth + 1"):
                wide.append(f"{tab} on a {name}")
            shot(page, f"{tab.lower()}-{name}-{scheme}")
            page.set_viewport_size({"width": 1280, "height": 860})
    context.close()
    assert findings == []
    assert wide == []


def test_too_close_to_call_looks_like_it(browser, server, conversation):
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.goto(server.url)
    page.locator("#message textarea").wait_for(timeout=20 * SECOND)
    opened(page, conversation / "close.json")
    card = page.locator("#verdict")
    assert card.locator(".tw-close").count() == 1
    assert "Too close to call" in card.locator("h2").inner_text()
    assert (
        "Fine-tune a pre-trained model" in card.inner_text() and "Use an existing model as it is" in card.inner_text()
    )
    shot(page, "close")
    context.close()


def test_nothing_moves_where_motion_is_not_wanted(browser, server):
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(server.url)
    page.locator("#message textarea").wait_for(timeout=20 * SECOND)
    # What Gradio shows while it loads stands before any style of ours.
    page.wait_for_function(
        "() => ![...document.querySelectorAll('*')].some(each => { const style = getComputedStyle(each);"
        " return parseFloat(style.transitionDuration) > 0 || style.animationName !== 'none' })",
        timeout=10 * SECOND,
    )
    context.close()
