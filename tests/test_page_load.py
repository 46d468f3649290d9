"""Many people at one page: a fair line, no lost and no crossed answer."""

import time

from tests.browsing import SECOND, ask, finished, shot

OPEN, ASKING = 20, 8
THINGS = ("leaves", "invoices", "engine sounds", "contracts", "tweets", "brain scans", "soil samples", "whale songs")


def test_twenty_open_pages_and_eight_questions_at_once(browser, server):
    contexts = [browser.new_context() for _ in range(OPEN)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.goto(server.url)
        page.locator("#message textarea").wait_for(timeout=60 * SECOND)
    asking = list(zip(pages[:: OPEN // ASKING], THINGS, strict=False))
    assert len(asking) == ASKING
    for place, (page, thing) in enumerate(asking):
        ask(page, f"We have {place + 2},000 labelled examples of {thing} and one GPU. Which way?", wait=False)
        page.locator("#chat .user").first.wait_for(timeout=20 * SECOND)
    waiting = asking[-1][0].locator("#verdict").inner_text()
    shot(asking[-1][0], "waiting")
    for page, thing in asking:
        finished(page, timeout=240)
        said = page.locator("#sheet .tw-words").inner_text()
        assert thing in said and not any(other in said for other in THINGS if other != thing)
        assert page.locator("#chat .user").count() == 1
    assert "before yours" in waiting
    assert all(page.locator("#chat .user").count() == 0 for page in pages if page not in [each for each, _ in asking])
    for context in contexts:
        context.close()


def test_a_person_who_leaves_frees_the_model(browser, server):
    contexts = [browser.new_context() for _ in range(4)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.goto(server.url)
        page.locator("#message textarea").wait_for(timeout=30 * SECOND)
    for page in pages:
        ask(page, "We have 4,000 labelled X-rays and two GPUs. Which way?", wait=False)
        page.locator("#chat .user").first.wait_for(timeout=20 * SECOND)
    for context in contexts[:3]:
        context.close()
    began = time.perf_counter()
    finished(pages[3])
    assert time.perf_counter() - began <= 30
    contexts[3].close()
