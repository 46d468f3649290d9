"""The chat page in a real browser, against the real server with the real model."""

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.conftest import ROOT, missing

SHOTS = ROOT / "tests/screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CALM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
XRAYS = (
    "We have 4,000 labelled chest X-rays and two A100s. Radiologists want triage of pneumothorax, and no image may "
    "leave the hospital. Should we train our own network?"
)
SECOND = 1000


class Server:
    """`tunewise ui` in a process of its own."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self):
        command = [sys.executable, "-m", "tunewise", "ui", "--no-browser", "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "Tunewise is at" in line:
                return
        pytest.fail("the page did not start")

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server(store):
    made = Server()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        missing("Chromium is not installed: apt install chromium")
    with sync_api.sync_playwright() as play:
        made = play.chromium.launch(executable_path=CHROMIUM, args=CALM)
        yield made
        made.close()


@pytest.fixture
def page(browser, server):
    """A page of a session of its own; fails if it asks for anything that is not on this machine."""
    context = browser.new_context(viewport={"width": 1366, "height": 860}, accept_downloads=True)
    made = context.new_page()
    foreign, errors = [], []
    made.on("request", lambda request: foreign.append(request.url) if is_foreign(request.url) else None)
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.goto(server.url)
    made.locator("#message textarea").wait_for(timeout=20 * SECOND)
    yield made
    context.close()
    assert foreign == []
    assert errors == []


def is_foreign(url):
    return not re.match(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|data:|blob:|about:", url)


def ask(page, text, *, wait=True):
    page.locator("#message textarea").fill(text)
    page.locator("#send").click()
    if wait:
        page.locator("#chat .bot").last.wait_for(timeout=90 * SECOND)
        finished(page)


def finished(page):
    """Wait until the answer stands: its sheet has lines and no reason is a draft."""
    page.locator("#sheet select").first.wait_for(timeout=90 * SECOND)
    page.wait_for_function(
        "() => document.querySelectorAll('#verdict .tw-reasons > li').length >= 3"
        " && !document.querySelector('#verdict .tw-draft') && !document.querySelector('#verdict .tw-busy')",
        timeout=90 * SECOND,
    )


def shot(page, name):
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def test_an_answer_arrives_in_the_promised_time(page):
    ask(page, "We have 300 labelled leaf photos and a laptop. Which way?")
    page.locator("#new").click()
    page.wait_for_function("() => !document.querySelector('#sheet select')")
    began = time.perf_counter()
    ask(page, XRAYS, wait=False)
    page.locator("#chat .user").first.wait_for(timeout=5 * SECOND)
    first = time.perf_counter() - began
    page.locator("#verdict [data-verdict]").wait_for(timeout=30 * SECOND)
    verdict = time.perf_counter() - began
    finished(page)
    whole = time.perf_counter() - began
    assert first <= 1 and verdict <= 5 and whole <= 20
    assert page.locator("#verdict h2").inner_text() == "Fine-tune a pre-trained model"
    assert page.locator("#verdict .tw-bars tr").count() == 4
    shot(page, "answer")
    source = page.locator("#verdict details").first
    source.locator("summary").click()
    assert source.locator("blockquote").is_visible()


def test_a_level_can_be_corrected_and_the_verdict_is_decided_again(page):
    ask(page, XRAYS)
    before = page.locator("#verdict .tw-num").all_inner_texts()
    began = time.perf_counter()
    page.locator("#tw-labels").select_option("none")
    page.locator("#verdict .tw-changed").wait_for(timeout=10 * SECOND)
    assert time.perf_counter() - began <= 2
    assert page.locator("#verdict .tw-num").all_inner_texts() != before
    assert "With your correction" in page.locator("#verdict .tw-changed").inner_text()
    shot(page, "corrected")


def test_what_would_change_the_verdict_can_be_tried(page):
    ask(page, XRAYS)
    change = page.locator("#verdict .tw-changes button").first
    change.click()
    page.locator("#verdict .tw-changed").wait_for(timeout=10 * SECOND)
    assert "turns from" in page.locator("#verdict .tw-changed").inner_text()


def test_a_question_gets_a_cited_answer_and_a_follow_up_adds_to_the_situation(page):
    ask(page, XRAYS)
    page.locator("#message textarea").fill("what does LoRA change?")
    page.locator("#send").click()
    page.wait_for_function(
        "() => { const bots = document.querySelectorAll('#chat .bot');"
        " return bots.length && /\\[1\\] “/.test(bots[bots.length - 1].innerText) }",
        timeout=90 * SECOND,
    )
    assert page.locator("#verdict [data-verdict]").count() == 1
    ask(page, "And we would have 2 million more labelled images from partner hospitals.")
    page.wait_for_function(
        "() => document.querySelector('#sheet .tw-words')?.innerText.includes('partner hospitals')",
        timeout=60 * SECOND,
    )
    assert "4,000 labelled chest X-rays" in page.locator("#sheet .tw-words").inner_text()
    shot(page, "conversation")


@pytest.mark.parametrize(
    "attack",
    [
        "<img src=x onerror=alert(1)><script>window.hacked=1</script> We have 500 photos of leaves in 4 classes.",
        "${window.hacked=1} {{window.hacked=1}} {{#each value}} We have 900 labelled contracts and one GPU.",
    ],
)
def test_what_a_user_writes_is_shown_as_text(page, attack):
    ask(page, attack)
    assert page.evaluate("() => window.hacked") is None
    assert attack in page.locator("#chat .user").first.inner_text()
    assert page.locator("#chat img[src=x], #sheet img, #verdict img").count() == 0


def test_a_reload_keeps_the_conversation_and_another_session_sees_nothing(page, browser, server):
    ask(page, XRAYS)
    verdict = page.locator("#verdict h2").inner_text()
    page.reload()
    page.locator("#verdict [data-verdict]").wait_for(timeout=20 * SECOND)
    assert page.locator("#verdict h2").inner_text() == verdict
    assert "4,000 labelled chest X-rays" in page.locator("#chat .user").first.inner_text()
    other = browser.new_context()
    stranger = other.new_page()
    stranger.goto(server.url)
    stranger.locator("#message textarea").wait_for(timeout=20 * SECOND)
    assert stranger.locator("#verdict [data-verdict]").count() == 0
    other.close()


def test_two_sessions_ask_at_once_and_neither_gets_the_others_answer(page, browser, server):
    other = browser.new_context()
    second = other.new_page()
    second.goto(server.url)
    second.locator("#message textarea").wait_for(timeout=20 * SECOND)
    ask(page, XRAYS, wait=False)
    ask(second, "12 million card transactions with 30 numeric columns and a fraud label. Which way?", wait=False)
    for one, words in ((page, "chest X-rays"), (second, "card transactions")):
        finished(one)
        assert words in one.locator("#sheet .tw-words").inner_text()
    other.close()


def test_stopping_frees_the_model(page):
    ask(page, XRAYS, wait=False)
    page.locator("#chat .user").first.wait_for(timeout=10 * SECOND)
    page.locator("#stop").click()
    page.locator("#new").click()
    page.wait_for_function("() => !document.querySelector('#chat .user')", timeout=20 * SECOND)
    began = time.perf_counter()
    ask(page, "We have 300 labelled leaf photos and a laptop. Which way?")
    assert time.perf_counter() - began <= 30


def test_a_conversation_is_saved_and_opened_again(page, tmp_path):
    ask(page, XRAYS)
    with page.expect_download(timeout=20 * SECOND) as download:
        page.locator("#save-json").click()
    file = tmp_path / "conversation.json"
    download.value.save_as(file)
    assert json.loads(file.read_text())["turns"][0]["user"] == XRAYS
    page.locator("#new").click()
    page.wait_for_function("() => !document.querySelector('#verdict [data-verdict]')")
    with page.expect_file_chooser() as chooser:
        page.locator("#open-json").click()
    chooser.value.set_files(file)
    page.locator("#verdict [data-verdict]").wait_for(timeout=20 * SECOND)


def test_the_server_can_be_killed_and_started_again(page, server):
    ask(page, XRAYS)
    server.stop()
    server.start()
    page.goto(server.url)
    page.locator("#verdict [data-verdict]").wait_for(timeout=30 * SECOND)
    ask(page, "And 50,000 more labels will come next month.")


def test_an_off_topic_message_gets_a_polite_sentence(page):
    page.locator("#message textarea").fill("what shall I cook for dinner tonight?")
    page.locator("#send").click()
    page.wait_for_function(
        "() => /outside what I can help/.test(document.querySelector('#chat')?.innerText)", timeout=60 * SECOND
    )
    assert page.locator("#verdict [data-verdict]").count() == 0


def test_the_knowledge_tab_searches_and_browses(page):
    page.get_by_role("tab", name="Knowledge").click()
    page.locator("#query textarea, #query input").first.fill("LoRA rank and memory")
    page.keyboard.press("Enter")
    page.locator("#found li").first.wait_for(timeout=20 * SECOND)
    assert "LoRA" in page.locator("#found").inner_text()
    shot(page, "knowledge")


def test_a_calculation_is_answered_by_formula(page):
    page.locator("#message textarea").fill("How much memory to fine-tune 13B with QLoRA?")
    page.locator("#send").click()
    reply = page.locator("#chat .bot").last
    reply.wait_for(timeout=30 * SECOND)
    page.wait_for_function("() => document.querySelector('#chat .bot')?.innerText.includes('GB')", timeout=30 * SECOND)
    assert page.locator("#verdict [data-verdict]").count() == 0
    shot(page, "calculation")


def test_the_estimate_tab_calculates(page):
    page.get_by_role("tab", name="Estimate").click()
    shown = page.locator("#estimates")
    shown.locator("svg, table").first.wait_for(timeout=10 * SECOND)
    before = shown.inner_text()
    field = page.locator("#size input").first
    field.fill("70B")
    field.press("Enter")
    page.wait_for_function("text => document.querySelector('#estimates').innerText !== text", arg=before)
    assert "70" in shown.inner_text()
    page.locator("#tokens textarea, #tokens input").first.fill("no number")
    page.wait_for_function("() => document.querySelector('#estimates').innerText.includes('no number')")
    shot(page, "estimate")


def test_the_batch_tab_judges_a_table_and_gives_it_back(page, tmp_path):
    table = tmp_path / "projects.csv"
    table.write_text(
        f'id,situation\n1,"{XRAYS}"\n2,\n3,"We sell tea. Sort 90 letters a month by topic, no labels yet."\n'
    )
    page.get_by_role("tab", name="Batch").click()
    page.locator("#batch-file input[type=file]").set_input_files(table)
    page.wait_for_function("() => document.querySelector('#batch-status').innerText.includes('3 rows')")
    page.locator("#batch-start").click()
    page.wait_for_function(
        "() => document.querySelector('#batch-status').innerText.includes('All rows are judged')", timeout=60 * SECOND
    )
    with page.expect_download() as kept:
        page.locator("#batch-download").click()
    rows = list(csv.DictReader(kept.value.path().open(encoding="utf-8")))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["verdict"] == "fine_tune" and rows[1]["error"] and not rows[1]["verdict"]
    shot(page, "batch")


def test_the_evaluation_tab_shows_a_report_and_judges_a_sample(page):
    page.get_by_role("tab", name="Evaluation").click()
    page.locator("#head").get_by_text("labelled situations").first.wait_for(timeout=10 * SECOND)
    assert page.frame_locator("#report iframe").locator("h1").first.inner_text()
    page.locator("#sample-start").click()
    page.wait_for_function(
        "() => document.querySelector('#report-said').innerText.includes('10 of 10')", timeout=90 * SECOND
    )
    shot(page, "evaluation")


@pytest.mark.parametrize(("name", "width", "scheme"), [("phone", 390, "light"), ("dark", 1366, "dark")])
def test_it_is_legible_on_a_phone_and_in_the_dark(browser, server, name, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    small = context.new_page()
    small.goto(server.url)
    small.locator("#message textarea").wait_for(timeout=20 * SECOND)
    ask(small, XRAYS)
    assert small.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth + 1")
    shot(small, name)
    context.close()


def test_it_can_be_used_with_the_keyboard_alone(page):
    page.locator("#message textarea").focus()
    page.keyboard.type("We have 300 labelled leaf photos and a laptop. Which way?")
    page.keyboard.press("Enter")
    finished(page)
    page.locator("#verdict summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#verdict blockquote").first.is_visible()
    page.locator("#tw-labels").focus()
    page.keyboard.press("ArrowDown")
    page.locator("#verdict .tw-changed").wait_for(timeout=10 * SECOND)


def test_programs_can_call_the_same_functions(server):
    body = json.dumps({"data": ["what does LoRA change?", 3]}).encode()
    request = urllib.request.Request(f"{server.url}gradio_api/call/search", body, {"content-type": "application/json"})
    event = json.load(urllib.request.urlopen(request, timeout=30))["event_id"]
    reply = urllib.request.urlopen(f"{server.url}gradio_api/call/search/{event}", timeout=30).read().decode()
    hits = json.loads(reply.split("data: ", 1)[1].splitlines()[0])[0]
    assert len(hits) == 3 and hits[0]["fact"]["sources"]


def test_it_listens_on_loopback_only(server):
    outside = [line for line in addresses() if not line.startswith("127.")]
    for address in outside:
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex((address, server.port)) != 0


def addresses():
    names = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    return names | {os.environ.get("TUNEWISE_TEST_ADDRESS", "127.0.0.1")}
