"""Many people at one page: a fair line, no lost and no crossed answer."""

import time

import pytest

from tests.browsing import SECOND, ask, finished, shot

IDLE = 12
"""Sessions beside those that ask; open connections of Gradio's client, as so many browsers take minutes to load."""
THINGS = ("leaves", "invoices", "engine sounds", "contracts", "tweets", "brain scans", "soil samples", "whale songs")


def test_twenty_open_pages_and_eight_questions_at_once(browser, server):
    gradio_client = pytest.importorskip("gradio_client")
    idle = [gradio_client.Client(server.url, verbose=False, analytics_enabled=False) for _ in range(IDLE)]
    contexts = [browser.new_context() for _ in THINGS]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.goto(server.url)
        page.locator("#message textarea").wait_for(timeout=60 * SECOND)
    for place, (page, thing) in enumerate(zip(pages, THINGS, strict=True)):
        ask(page, f"We have {place + 2},000 labelled examples of {thing} and one GPU. Which way?", wait=False)
    pages[-1].get_by_text("before yours").first.wait_for(timeout=30 * SECOND)
    shot(pages[-1], "waiting")
    for page, thing in zip(pages, THINGS, strict=True):
        finished(page, timeout=240)
        said = page.locator("#sheet .tw-words").inner_text()
        assert thing in said and not any(other in said for other in THINGS if other != thing)
        assert page.locator("#chat .user").count() == 1 and page.locator("#chat .bot").count() == 1
    assert all(client.predict("LoRA rank", 1, api_name="/search") for client in idle[:2])
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
