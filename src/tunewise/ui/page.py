"""The page: layout, events, and the state that each browser session has of its own."""

from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.events import api

from tunewise.advisor import Advisor
from tunewise.errors import InputError, TunewiseError
from tunewise.estimation import calculator as figures
from tunewise.retrieval import Filter
from tunewise.ui import batches, calculator, cards, history, reports
from tunewise.ui.cards import View
from tunewise.ui.history import Turn

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
SAVE = """text => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'text/plain'}));
  link.download = '%s';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}"""
LARGEST_IMPORT = 5_000_000
MODEL: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model", "show_progress": "hidden"}
"""Questions wait in one line, first come, first served."""
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
                    self._knowledge_tab()
                with gr.Tab("Evaluation"):
                    reports.tab(advisor)
            self._endpoints()

    # --- layout ---------------------------------------------------------------------------------

    def _advice_tab(self) -> None:
        turns, view = gr.State([]), gr.State(View())
        with gr.Row(equal_height=False):
            with gr.Column(scale=6, min_width=320):
                chat = _chat()
                message, send, stop = _composer()
                question = gr.HTML("", elem_id="question", js_on_load=CLICKS)
                new, save_markdown, save_json, open_json = _files()
            with gr.Column(scale=5, min_width=320):
                verdict = gr.HTML(cards.verdict_card(View()), elem_id="verdict", js_on_load=CLICKS)
                numbers = gr.HTML("", elem_id="figures")
                sheet = gr.HTML("", elem_id="sheet", js_on_load=CLICKS)
        panels = [verdict, question, numbers, sheet]
        shown = [chat, turns, view, *panels]
        asked = self._asking(chat, message, send, turns, shown)
        stop.click(None, None, None, cancels=asked, **QUIET)
        for panel in panels:
            panel.select(
                self._correct, [turns, view], [view, *panels], show_progress="hidden", api_visibility="private"
            )
        chat.undo(self._undo, turns, shown, **QUIET)
        new.click(self._clear, None, shown, cancels=asked, **QUIET)
        chat.clear(self._clear, None, shown, cancels=asked, **QUIET)
        kept = gr.BrowserState([], storage_key=STORAGE, secret=STORAGE)
        turns.change(lambda stored: stored, turns, kept, **QUIET)
        self.blocks.load(self._restore, kept, shown, **QUIET)
        self._saving(save_markdown, history.as_markdown, "conversation.md", turns)
        self._saving(save_json, history.as_json, "conversation.json", turns)
        open_json.upload(self._open, open_json, shown, **QUIET)

    def _asking(
        self, chat: gr.Chatbot, message: gr.Textbox, send: gr.Button, turns: gr.State, shown: Sequence[Any]
    ) -> list[Any]:
        """Every way to put a question; what can be stopped."""
        asked = []
        for trigger in (message.submit, send.click):
            asked.append(trigger(self._send, [message, turns], shown, api_visibility="private", **MODEL))
            trigger(lambda: "", None, message, **QUIET)
        asked.append(chat.retry(self._retry, turns, shown, api_visibility="private", **MODEL))
        asked.append(chat.edit(self._edit, turns, shown, api_visibility="private", **MODEL))
        asked.append(chat.example_select(self._example, turns, shown, api_visibility="private", **MODEL))
        return asked

    def _saving(self, button: gr.Button, write: Callable[[Sequence[Turn]], str], name: str, turns: gr.State) -> None:
        """Let a button save the conversation; the browser makes the file, so none is left on the server."""
        text = gr.Textbox(visible="hidden", label=name)
        button.click(write, turns, text, **QUIET).then(None, text, None, js=SAVE % name, **QUIET)

    def _knowledge_tab(self) -> None:
        knowledge = self._advisor.index.corpus
        topics = sorted(
            {("Your documents" if fact.kind == "own" else fact.title, fact.topic) for fact in knowledge.facts}
        )
        with gr.Row():
            query = gr.Textbox(
                label="Search the knowledge folder",
                placeholder="how much data does LoRA need?",
                scale=3,
                elem_id="query",
            )
            topic = gr.Dropdown([("All topics", ""), *topics], value="", label="Topic", scale=1, elem_id="topic")
        count = f"<p class='tw-soft'>{len(knowledge.facts)} facts in {len(knowledge.documents)} documents.</p>"
        found = gr.HTML(count, elem_id="found")
        for trigger in (query.submit, topic.change):
            trigger(self._look, [query, topic], found, api_visibility="private")

    def _endpoints(self) -> None:
        """The same functions for programs: over HTTP, and as MCP tools."""
        api(self.advise, api_name="advise", concurrency_limit=1, concurrency_id="model")
        api(self.answer, api_name="answer", concurrency_limit=1, concurrency_id="model")
        api(self.search, api_name="search")
        api(self.estimate, api_name="estimate")

    # --- for programs ---------------------------------------------------------------------------

    def advise(self, situation: str) -> dict[str, Any]:
        """Judge whether to train from scratch, fine-tune or use a model as it is.

        Args:
            situation: What goes in, what should come out, what data and means there are.
        """
        return _told(lambda: self._advisor.ask(situation).model_dump(mode="json"))

    def answer(self, question: str) -> dict[str, Any]:
        """Answer a question about training, fine-tuning and using models, with citations.

        Args:
            question: The question.
        """
        return _told(lambda: self._advisor.answer(question).model_dump(mode="json"))

    def estimate(self, question: str) -> dict[str, Any]:
        """Calculate memory, compute, tokens or cost from a question with quantities, by formulas with sources.

        Args:
            question: Such as "how much memory to fine-tune 13B with QLoRA?".
        """

        def work() -> dict[str, Any]:
            found = figures.calculate(question)
            if found is None:
                raise InputError("No quantity to calculate with was found.", "Name the size of a model.")
            return found.model_dump(mode="json", exclude={"read"})

        return _told(work)

    def search(self, query: str, count: int = 5) -> list[dict[str, Any]]:
        """Find facts of the knowledge folder, with their sources.

        Args:
            query: A question, a topic or a situation.
            count: Most facts to return.
        """
        return _told(lambda: [hit.model_dump(mode="json") for hit in self._advisor.search(query, int(count))])

    # --- events ---------------------------------------------------------------------------------

    def _show(self, turns: Sequence[Turn], view: View) -> Update:
        return [history.messages(turns), list(turns), view, *self._panels(view)]

    def _panels(self, view: View) -> Update:
        specs = self._advisor.library.factors
        return [
            cards.verdict_card(view),
            cards.question_card(view),
            cards.figures_card(view),
            cards.sheet_card(view, specs),
        ]

    def _respond(self, text: str, turns: Sequence[Turn]) -> Iterator[Update]:
        for turn, view in history.answer(self._advisor, text, turns):
            yield self._show([*turns, turn], view)

    def _send(self, text: str, turns: list[Turn]) -> Iterator[Update]:
        if not text.strip():
            raise gr.Error("Describe your situation in a sentence or more.", duration=6, print_exception=False)
        yield from self._respond(text, turns)

    def _example(self, turns: list[Turn], event: gr.SelectData) -> Iterator[Update]:
        yield from self._respond(str(event.value["text"]), turns)

    def _retry(self, turns: list[Turn], event: gr.RetryData) -> Iterator[Update]:
        place = history.place_of(event.index)
        yield from self._respond(turns[place]["user"], turns[:place])

    def _edit(self, turns: list[Turn], event: gr.EditData) -> Iterator[Update]:
        yield from self._respond(history.unescaped(str(event.value)), turns[: history.place_of(event.index)])

    def _undo(self, turns: list[Turn], event: gr.UndoData) -> Update:
        left = turns[: history.place_of(event.index)]
        return self._show(left, history.last_view(left))

    def _correct(self, turns: list[Turn], view: View, event: gr.EventData) -> Update:
        chosen: dict[str, str] = event._data
        conversation = history.conversation(self._advisor, turns)

        def decide() -> View:
            for factor in view.factors:
                if factor.corrected:
                    conversation.correct(factor.name, factor.level)
            return view.corrected(conversation.correct(chosen["factor"], chosen["level"]))

        corrected = _told(decide)
        return [corrected, *self._panels(corrected)]

    def _restore(self, stored: object) -> Update:
        turns = history.checked(stored)
        return self._show(turns, history.last_view(turns))

    def _open(self, path: str) -> Update:
        def read() -> list[Turn]:
            if Path(path).stat().st_size > LARGEST_IMPORT:
                raise InputError(history.NOT_OURS)
            return history.from_json(Path(path).read_bytes().decode("utf-8", errors="replace"))

        turns = _told(read)
        return self._show(turns, history.last_view(turns))

    def _clear(self) -> Update:
        return self._show([], View())

    def _look(self, text: str, topic: str) -> str:
        if text.strip():
            only = Filter(topics=frozenset({topic})) if topic else None
            return _told(lambda: cards.facts_list([hit.fact for hit in self._advisor.search(text, 10, only)]))
        return cards.facts_list([fact for fact in self._advisor.index.corpus.facts if fact.topic == topic])


def serve(advisor: Advisor, *, host: str, port: int | None, open_browser: bool, mcp: bool) -> None:
    """Load everything, then serve the page until interrupted."""
    advisor.load()
    blocks = Page(advisor).blocks
    blocks.queue(default_concurrency_limit=8, max_size=64)
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
        max_file_size=LARGEST_IMPORT,
        prevent_thread_lock=True,
    )
    print(f"Tunewise is at {blocks.local_url} (Ctrl-C stops it).", flush=True)
    blocks.block_thread()


def _theme() -> gr.themes.Base:
    """System fonts only: nothing is fetched from elsewhere."""
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        radius_size="md",
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
            placeholder="What goes in, what should come out, what data do you have?",
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


def _files() -> tuple[gr.Button, gr.Button, gr.Button, gr.UploadButton]:
    with gr.Row(elem_classes="tw-files"):
        new = gr.Button("New conversation", size="sm", elem_id="new")
        save_markdown = gr.Button("Save as Markdown", size="sm", elem_id="save-markdown")
        save_json = gr.Button("Save as JSON", size="sm", elem_id="save-json")
        open_json = gr.UploadButton("Open JSON", size="sm", file_types=[".json"], elem_id="open-json")
    return new, save_markdown, save_json, open_json


def _told(work: Callable[[], Result]) -> Result:
    """Do something; an error of ours becomes a sentence on the page."""
    try:
        return work()
    except TunewiseError as error:
        raise gr.Error(str(error), duration=8, print_exception=False) from None
