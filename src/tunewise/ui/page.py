"""The page: layout, events, and the state that each browser session has of its own."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import gradio as gr

from tunewise.advisor import Advisor
from tunewise.errors import InputError, TunewiseError, UserError, with_extra
from tunewise.reading import LARGEST
from tunewise.render import decision_record
from tunewise.ui import batches, calculator, cards, history, knowledge, reports
from tunewise.ui.cards import View
from tunewise.ui.endpoints import Endpoints, speak_json
from tunewise.ui.history import Turn
from tunewise.ui.line import BUSY, BUSY_REMEDY, Line, Place

STORAGE = "tunewise-conversation-1"
INTRODUCTION = (
    "Train from scratch, fine-tune, or use a model as it is? Say what goes in, what should come out, and what "
    "data you have."
)
EXAMPLES = (
    "We have 4,000 labelled chest X-rays and two A100s. Radiologists want triage of pneumothorax, and no image may "
    "leave the hospital. Should we train our own network?",
    "Our support bot answers questions about 600 internal wiki pages that change weekly, and it makes things up. "
    "Should we fine-tune it on the wiki?",
    "12 million card transactions with 30 numeric columns and a fraud label. Which way should we go?",
    "what does LoRA change?",
)
CLICKS = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-factor]');
  if (button) trigger('select', {factor: button.dataset.factor, level: button.dataset.level});
});
element.addEventListener('change', event => {
  const field = event.target.closest('select[data-factor]');
  if (field) trigger('select', {factor: field.dataset.factor, level: field.value});
});
"""
"""Buttons and selections of a card tell the page which factor shall have which level."""
PLAIN = """() => {
  const plain = html => new DOMParser().parseFromString(html, 'text/html').body.textContent;
  let inChat = false;
  document.addEventListener('click', event => { inChat = !!event.target.closest?.('#chat') }, true);
  if (navigator.clipboard) {
    const write = navigator.clipboard.writeText.bind(navigator.clipboard);
    navigator.clipboard.writeText = text => write(inChat ? plain(text) : text);
  }
  new MutationObserver(() => {
    for (const table of document.querySelectorAll('.virtual-table-viewport:not([tabindex])')) table.tabIndex = 0;
    for (const said of document.querySelectorAll('#chat [aria-label*="<mark"]'))
      said.setAttribute('aria-label', plain(said.getAttribute('aria-label')));
    for (const area of document.querySelectorAll('#chat textarea:not([data-plain])')) {
      area.dataset.plain = '';
      area.setAttribute('aria-label', 'Edit your message');
      requestAnimationFrame(() => {
        area.value = plain(area.value);
        area.dispatchEvent(new Event('input', {bubbles: true}));
      });
    }
  }).observe(document.body, {childList: true, subtree: true});
}"""
"""The chat copies and edits its HTML; a person gets the words alone."""
SAVE = """text => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'text/plain'}));
  link.download = '%s';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}"""
LARGEST_IMPORT = 5_000_000
MODEL: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
"""Questions wait in a line of our own, see `Line`."""
THREADS = 120
"""Everyone who waits holds a thread while he looks at the line."""
LAST_WORDS = 2.0
"""Seconds in which an answer that is shown must have been handed to the browser, too."""
PATIENCE = 10.0
"""Seconds in which a question that was stopped must have left the model."""
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
Result = TypeVar("Result")
Update = list[Any]


class Page:
    """The page around an advisor, which all sessions share.

    Args:
        advisor: Serves one question after another.
    """

    def __init__(self, advisor: Advisor) -> None:
        self._advisor = advisor
        self._line = Line()
        with gr.Blocks(title="Tunewise", analytics_enabled=False, fill_width=True) as self.blocks:
            gr.HTML(f"<header class='tw-top'><h1>Tunewise</h1><p>{INTRODUCTION}</p></header>")
            with gr.Tabs():
                with gr.Tab("Advice"):
                    self._advice_tab()
                with gr.Tab("Estimate"):
                    calculator.tab()
                with gr.Tab("Batch"):
                    batches.tab(advisor)
                with gr.Tab("Knowledge"):
                    knowledge.tab(advisor)
                with gr.Tab("Evaluation"):
                    reports.tab(advisor)
            Endpoints(advisor, self._turn).draw(self.blocks)

    # --- layout ---------------------------------------------------------------------------------

    def _advice_tab(self) -> None:
        turns, view = gr.State([]), gr.State(View())
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=320):
                chat = _chat()
                message, send, stop = _composer()
                question = gr.HTML("", elem_id="question", js_on_load=CLICKS)
                new, save_markdown, save_json, save_record, open_json = _files()
                sheet = gr.HTML("", elem_id="sheet", js_on_load=CLICKS)
            with gr.Column(scale=5, min_width=320):
                verdict = gr.HTML(cards.verdict_card(View()), elem_id="verdict", js_on_load=CLICKS)
                plan = gr.HTML("", elem_id="plan")
                numbers = gr.HTML("", elem_id="figures")
        panels = [verdict, question, plan, numbers, sheet]
        kept = gr.BrowserState([], storage_key=STORAGE, secret=STORAGE)
        shown = [chat, turns, view, *panels, kept]
        self._asking(chat, message, send, turns, view, shown)
        stop.click(self._stop, None, None, **QUIET)
        self.blocks.unload(self._stop)
        for panel in (verdict, question, sheet):
            panel.select(
                self._correct,
                [turns, view],
                [turns, view, *panels, kept],
                show_progress="hidden",
                api_visibility="private",
            )
        # Through the queue, as what was still on its way to the page must arrive before.
        chat.undo(self._undo, turns, shown, **MODEL)
        new.click(self._clear, None, shown, **MODEL)
        chat.clear(self._clear, None, shown, **MODEL)
        open_json.upload(self._open, open_json, shown, **MODEL)
        self.blocks.load(self._restore, kept, shown, **QUIET)
        self.blocks.load(None, None, None, js=PLAIN)
        self._saving(save_markdown, partial(history.as_markdown, self._advisor), "conversation.md", turns)
        self._saving(save_json, history.as_json, "conversation.json", turns)
        self._saving(save_record, _record, "decision-record.md", view)

    def _asking(
        self,
        chat: gr.Chatbot,
        message: gr.Textbox,
        send: gr.Button,
        turns: gr.State,
        view: gr.State,
        shown: Sequence[Any],
    ) -> None:
        """Every way to put a question.

        The page hands every question over and the line refuses a second one: with Gradio's default a
        question that is put while another one ends is dropped without a word.
        """
        ways: dict[str, Any] = {**MODEL, "trigger_mode": "multiple"}
        for trigger in (message.submit, send.click):
            trigger(self._send, [message, turns, view], [*shown, message], **ways)
        chat.retry(self._retry, [turns, view], shown, **ways)
        chat.edit(self._edit, [turns, view], shown, **ways)
        chat.example_select(self._example, turns, shown, **ways)

    def _saving(self, button: gr.Button, write: Callable[..., str], name: str, source: gr.State) -> None:
        """Let a button save a text; the browser makes the file, so none is left on the server."""
        text = gr.Textbox(visible="hidden", label=name)
        button.click(write, source, text, **QUIET).success(None, text, None, js=SAVE % name, **QUIET)

    # --- events ---------------------------------------------------------------------------------

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """A program's turn in the line; it may ask several questions at once."""
        with self._line.place(uuid4().hex) as place:
            for _ in place.waiting():
                pass
            yield

    def _show(self, turns: Sequence[Turn], view: View) -> Update:
        return [history.messages(turns, view), list(turns), view, *self._panels(view), list(turns)]

    def _panels(self, view: View) -> Update:
        specs = self._advisor.library.factors
        return [
            cards.verdict_card(view),
            cards.question_card(view),
            cards.plan_card(view),
            cards.figures_card(view),
            cards.sheet_card(view, specs),
        ]

    def _respond(
        self, text: str, turns: Sequence[Turn], session: str, corrected: Mapping[str, str] | None = None
    ) -> Iterator[Update]:
        with _errors_told(), self._line.place(session) as place:
            question = history.asked(text, corrected)
            kept: Any = [*turns, question]
            for turn, view in self._answered(question, turns, place):
                yield [*self._show([*turns, turn], view)[:-1], kept]
                # The browser keeps the question and what became of it, not every word on the way.
                kept = gr.skip()
            yield self._show([*turns, turn], view)

    def _answered(self, question: Turn, turns: Sequence[Turn], place: Place) -> Iterator[tuple[Turn, View]]:
        for ahead in place.waiting():
            yield question, View(status=_in_line(ahead))
        yield from history.answer(self._advisor, question, turns, place.cancel)

    def _send(self, text: str, turns: list[Turn], view: View, request: gr.Request) -> Iterator[Update]:
        if not text.strip():
            raise gr.Error("Describe your situation in a sentence or more.", duration=6, print_exception=False)
        emptied: object = ""
        for update in self._respond(text, turns, _session(request), view.chosen):
            yield [*update, emptied]
            emptied = gr.skip()

    def _example(self, turns: list[Turn], event: gr.SelectData, request: gr.Request) -> Iterator[Update]:
        yield from self._respond(str(event.value["text"]), turns, _session(request))

    def _retry(self, turns: list[Turn], view: View, event: gr.RetryData, request: gr.Request) -> Iterator[Update]:
        place = history.place_of(event.index)
        levels = history.levels_at(place, turns, view)
        yield from self._respond(turns[place]["user"], turns[:place], _session(request), levels)

    def _edit(self, turns: list[Turn], view: View, event: gr.EditData, request: gr.Request) -> Iterator[Update]:
        place = history.place_of(event.index)
        levels = history.levels_at(place, turns, view)
        yield from self._respond(str(event.value), turns[:place], _session(request), levels)

    def _stop(self, request: gr.Request) -> None:
        self._line.stop(_session(request))

    def _undo(self, turns: list[Turn], event: gr.UndoData, request: gr.Request) -> Update:
        self._line.stop(_session(request), PATIENCE)
        return self._show(*_told(lambda: history.undone(self._advisor, turns, history.place_of(event.index))))

    def _correct(self, turns: list[Turn], view: View, event: gr.EventData, request: gr.Request) -> Update:
        chosen: dict[str, str] = event._data
        # An answer that is being written would be lost by turns that were read before it.
        with _errors_told(), self._line.place(_session(request), LAST_WORDS):
            if view.advice is None or not turns[-1]["text"]:
                raise InputError(BUSY, BUSY_REMEDY)
            corrected = history.set_level(self._advisor, turns, view, chosen["factor"], chosen["level"])
        _, *update = self._show(history.keeping(turns, corrected), corrected)
        return update

    def _restore(self, stored: object) -> Update:
        turns = history.resumed(history.checked(stored))
        return self._show(turns, history.last_view(self._advisor, turns))

    def _open(self, path: str, request: gr.Request) -> Update:
        self._line.stop(_session(request), PATIENCE)

        def read() -> list[Turn]:
            if Path(path).stat().st_size > LARGEST_IMPORT:
                raise InputError(history.NOT_OURS)
            return history.from_json(Path(path).read_bytes().decode("utf-8", errors="replace"))

        turns = history.resumed(_told(read))
        return self._show(turns, history.last_view(self._advisor, turns))

    def _clear(self, request: gr.Request) -> Update:
        self._line.stop(_session(request), PATIENCE)
        return self._show([], View())


def serve(advisor: Advisor, *, host: str, port: int | None, open_browser: bool, mcp: bool) -> None:
    """Load everything, then serve the page until interrupted.

    Raises:
        UserError: The page cannot be served at this address.
        WorkError: The library for MCP is missing.
    """
    if mcp:
        with with_extra("mcp"):
            import_module("mcp")
    place = host if port is None else f"{host}:{port}"
    refusal = UserError(f"The page cannot be served at {place}.", "Choose another --port or --host.")
    if not _can_be_had(host, port):
        raise refusal
    advisor.load()
    blocks = Page(advisor).blocks
    blocks.queue(default_concurrency_limit=8, max_size=64)
    try:
        _launch(blocks, host=host, port=port, open_browser=open_browser, mcp=mcp)
    except OSError:
        raise refusal from None
    speak_json(blocks)
    print(f"Tunewise is at {blocks.local_url} (Ctrl-C stops it).", flush=True)
    blocks.block_thread()


def _can_be_had(host: str, port: int | None) -> bool:
    """Whether the page can be served there: Gradio tries a host that is none for minutes, and with the model loaded."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port or 0, type=socket.SOCK_STREAM)
    # A name that is none at all cannot even be encoded.
    except (OSError, UnicodeError):
        return False
    return any(_is_free(family, address) for family, *_, address in found)


def _is_free(family: socket.AddressFamily, address: Any) -> bool:
    try:
        socket.create_server(address, family=family).close()
    except OSError:
        return False
    return True


def _launch(blocks: gr.Blocks, *, host: str, port: int | None, open_browser: bool, mcp: bool) -> None:
    blocks.launch(
        server_name=host,
        server_port=port,
        inbrowser=open_browser,
        share=False,
        quiet=True,
        ssr_mode=False,
        mcp_server=mcp,
        footer_links=["api"],
        theme=_theme(),
        css=files("tunewise.ui").joinpath("page.css").read_text(encoding="utf-8"),
        max_file_size=LARGEST,
        max_threads=THREADS,
        prevent_thread_lock=True,
    )


def _theme() -> gr.themes.Base:
    """System fonts only: nothing is fetched from elsewhere. Gradio's own greys and blues are too pale to read."""
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        radius_size="md",
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        block_label_text_color="*neutral_600",
        block_title_text_color="*neutral_600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        color_accent="*primary_700",
    )


def _chat() -> gr.Chatbot:
    return gr.Chatbot(
        label="Conversation",
        show_label=False,
        height="60vh",
        render_markdown=False,
        editable="user",
        buttons=["copy"],
        feedback_options=None,
        placeholder="Describe a project, or ask about training and fine-tuning.",
        examples=[{"text": text} for text in EXAMPLES],
        elem_id="chat",
    )


def _composer() -> tuple[gr.Textbox, gr.Button, gr.Button]:
    with gr.Row(elem_classes="tw-ask"):
        message = gr.Textbox(
            label="Your message",
            show_label=False,
            placeholder="Describe your situation, or ask",
            lines=1,
            max_lines=8,
            autofocus=True,
            scale=8,
            elem_id="message",
        )
        with gr.Column(scale=1, min_width=96):
            send = gr.Button("Ask", variant="primary", elem_id="send")
            stop = gr.Button("Stop", elem_id="stop")
    return message, send, stop


def _files() -> tuple[gr.Button, gr.Button, gr.Button, gr.Button, gr.UploadButton]:
    with gr.Row(elem_classes="tw-files"):
        new = gr.Button("New", size="sm", min_width=100, elem_id="new")
        save_markdown = gr.Button("Save Markdown", size="sm", min_width=100, elem_id="save-markdown")
        save_json = gr.Button("Save JSON", size="sm", min_width=100, elem_id="save-json")
        save_record = gr.Button("Decision record", size="sm", min_width=100, elem_id="save-record")
        open_json = gr.UploadButton("Open JSON", size="sm", min_width=100, file_types=[".json"], elem_id="open-json")
    return new, save_markdown, save_json, save_record, open_json


def _record(view: View) -> str:
    if view.decided is None:
        raise gr.Error(
            "There is no verdict to record yet. Describe a situation first.", duration=6, print_exception=False
        )
    return decision_record(view.decided)


def _session(request: gr.Request) -> str:
    return str(request.session_hash or uuid4().hex)


def _in_line(ahead: int) -> str:
    before = "1 question is" if ahead == 1 else f"{ahead} questions are"
    return f"Waiting for the model: {before} before yours"


@contextmanager
def _errors_told() -> Iterator[None]:
    """An error of ours becomes a sentence on the page."""
    try:
        yield
    except TunewiseError as error:
        raise gr.Error(str(error), duration=8, print_exception=False) from None


def _told(work: Callable[[], Result]) -> Result:
    with _errors_told():
        return work()
