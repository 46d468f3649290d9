"""The chat page in a real browser, against the real server with the real model."""

import csv
import json
import os
import socket
import statistics
import time

import pytest

from tests.browsing import SECOND, XRAYS, ask, finished, shot

LEAVES = "We have 300 labelled leaf photos and a laptop. Which way?"


def test_an_answer_arrives_in_the_promised_time(page, browser, server):
    ask(page, LEAVES)
    taken = []
    for situation in (
        "Our bot answers from 600 wiki pages that change weekly. Fine-tune it on the wiki?",
        XRAYS,
        "12 million card transactions with 30 numeric columns and a fraud label. Which way?",
    ):
        page.locator("#new").click()
        page.wait_for_function("() => !document.querySelector('#sheet select')")
        began = time.perf_counter()
        ask(page, situation, wait=False)
        page.locator("#chat .user").first.wait_for(timeout=5 * SECOND)
        first = time.perf_counter() - began
        page.locator("#verdict [data-verdict]").wait_for(timeout=30 * SECOND)
        verdict = time.perf_counter() - began
        finished(page)
        taken.append((first, verdict, time.perf_counter() - began))
    first, verdict, whole = (statistics.median(each) for each in zip(*taken, strict=True))
    context = browser.new_context()
    began = time.perf_counter()
    context.new_page().goto(server.url)
    context.pages[0].locator("#message textarea").wait_for(timeout=20 * SECOND)
    opened = time.perf_counter() - began
    context.close()
    print(f"first event {first:.2f} s, verdict {verdict:.2f} s, whole {whole:.2f} s, interactive {opened:.2f} s")
    assert first <= 1 and verdict <= 5 and whole <= 20 and opened <= 4
    assert page.locator("#verdict h2").inner_text() == "Train from scratch"
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


def test_a_level_chosen_in_the_sheet_holds_for_the_next_message(page):
    ask(page, XRAYS)
    chosen = "#sheet select[data-factor=baseline]"
    page.locator(chosen).select_option("passes")
    page.wait_for_selector("#sheet tr.tw-corrected", timeout=30 * SECOND)
    ask(page, "The hospital is a small one in Norway.")
    assert page.locator(chosen).input_value() == "passes"


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
    ask(page, LEAVES)
    assert time.perf_counter() - began <= 30


def test_a_second_question_waits_for_stop_and_no_message_is_lost(page):
    ask(page, XRAYS, wait=False)
    page.locator("#chat .user").first.wait_for(timeout=10 * SECOND)
    ask(page, LEAVES, wait=False)
    page.get_by_text("still being written").first.wait_for(timeout=10 * SECOND)
    assert page.locator("#message textarea").input_value() == LEAVES
    page.locator("#stop").click()
    page.get_by_text("Stopped.").first.wait_for(timeout=20 * SECOND)
    page.locator("#send").click()
    finished(page)
    assert page.locator("#chat .user").count() == 2
    assert page.locator("#message textarea").input_value() == ""


def test_a_refresh_in_mid_answer_frees_the_model_and_keeps_the_question(page):
    ask(page, XRAYS, wait=False)
    page.locator("#verdict [data-verdict]").wait_for(timeout=30 * SECOND)
    page.reload()
    page.get_by_text("This answer was interrupted").first.wait_for(timeout=20 * SECOND)
    assert "4,000 labelled chest X-rays" in page.locator("#chat .user").first.inner_text()
    page.get_by_label("Retry").last.click()
    page.locator("#verdict [data-verdict]").wait_for(timeout=30 * SECOND)
    finished(page)
    assert page.locator("#chat .user").count() == 1


def test_the_words_that_factors_rest_on_are_marked_and_an_edit_shows_words_alone(page):
    said = "We have 900 labelled photos & <b>one</b> GPU. Which way?"
    ask(page, said)
    marks = page.locator("#chat .user mark")
    assert marks.count() >= 1
    assert all(text in said for text in marks.all_inner_texts())
    assert ":" in marks.first.get_attribute("title")
    assert page.locator("#chat .user b").count() == 0
    page.locator("#chat .user").first.hover()
    page.get_by_label("Edit").first.click()
    area = page.locator("#chat textarea")
    page.wait_for_function("said => document.querySelector('#chat textarea')?.value === said", arg=said)
    area.fill(said.replace("900", "90,000"))
    page.get_by_label("Submit").first.click()
    page.wait_for_function("() => document.querySelector('#chat .user').innerText.includes('90,000')")
    finished(page)
    assert page.locator("#chat .user").count() == 1


def test_a_long_pasted_document_is_judged_on_what_matters_and_says_so(page):
    filler = "The committee met on a rainy day and spoke about the menu of the canteen at great length. "
    ask(page, f"{filler * 180}We have 4,000 labelled chest X-rays and one GPU. {filler * 130}Which way should we go?")
    reply = page.locator("#chat .bot").last.inner_text()
    assert "Your message is long (5," in reply and "say most about the project" in reply
    assert "4,000 labelled chest X-rays" in page.locator("#sheet .tw-words").inner_text()
    assert len(page.locator("#sheet .tw-words").inner_text()) < 4000
    shot(page, "long")


def test_method_runner_up_and_plan_are_shown_and_the_record_is_saved(page, tmp_path):
    ask(page, XRAYS)
    plan = page.locator("#plan")
    assert "because" in plan.inner_text() and "Next best" in plan.inner_text()
    assert plan.locator(".tw-steps > li").count() >= 3
    assert plan.locator(".tw-step-stop").count() == 1 and plan.locator(".tw-step-fallback").count() == 1
    rule = plan.locator("details").first
    rule.locator("summary").click()
    assert rule.locator("blockquote").first.is_visible()
    page.locator("#tw-labels").select_option("none")
    page.locator("#verdict .tw-changed").wait_for(timeout=10 * SECOND)
    with page.expect_download(timeout=20 * SECOND) as download:
        page.locator("#save-record").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    record = file.read_text(encoding="utf-8")
    assert file.name == "decision-record.md" and record.startswith("# Decision record")
    assert "## Next steps" in record and page.locator("#verdict h2").inner_text() in record


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


def test_a_document_of_ones_own_is_added_found_and_removed(page, tmp_path):
    notes = tmp_path / "okapi-notes.md"
    notes.write_text(
        "# Okapi\n\nThe okapi classifier of the Epulu reserve was fine-tuned on 2,310 camera-trap photos.\n"
    )
    page.get_by_role("tab", name="Knowledge").click()
    page.locator("#own-files input[type=file]").set_input_files(notes)
    page.locator("#own-list").get_by_text("okapi-notes.md").wait_for(timeout=60 * SECOND)
    page.locator("#query textarea, #query input").first.fill("okapi camera-trap photos")
    page.keyboard.press("Enter")
    page.locator("#found").get_by_text("Epulu").first.wait_for(timeout=20 * SECOND)
    shot(page, "documents")
    page.locator("#own-choice input").click()
    page.get_by_role("option", name="okapi-notes.md").click()
    page.locator("#own-remove").click()
    page.locator("#own-said").get_by_text("Removed").wait_for(timeout=60 * SECOND)
    assert page.locator("#own-list").get_by_text("okapi-notes.md").count() == 0


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
    field = page.locator("#size input").first
    field.fill("70B")
    field.press("Enter")
    page.wait_for_function("() => document.querySelector('#estimates').innerText.includes('70B PARAMETERS')")
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


def test_it_can_be_used_with_the_keyboard_alone(page):
    page.locator("#message textarea").focus()
    page.keyboard.type(LEAVES)
    page.keyboard.press("Enter")
    finished(page)
    page.locator("#verdict summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#verdict blockquote").first.is_visible()
    page.locator("#tw-labels").focus()
    page.keyboard.press("ArrowDown")
    page.locator("#verdict .tw-changed").wait_for(timeout=10 * SECOND)


def test_it_listens_on_loopback_only(server):
    outside = [line for line in addresses() if not line.startswith("127.")]
    for address in outside:
        with socket.socket() as probe:
            probe.settimeout(1)
            assert probe.connect_ex((address, server.port)) != 0


def addresses():
    names = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    return names | {os.environ.get("TUNEWISE_TEST_ADDRESS", "127.0.0.1")}
