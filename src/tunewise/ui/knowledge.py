"""The tab of the knowledge folder: search it, browse it by topic, add documents of one's own."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from tunewise.advisor import Advisor
from tunewise.documents import OWN, OwnDocument
from tunewise.errors import TunewiseError
from tunewise.loaders import LOADERS
from tunewise.retrieval import Filter
from tunewise.ui import cards

MOST = 10
"""Facts that a search shows."""
LONGEST_LIST = 100
"""Facts of a topic that are listed."""
FOLDER = "uploads"
"""Where files that were added on the page stay, in the cache: a file that is added again replaces the first."""
OWN_TITLE = "Your documents"
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
Update = list[Any]


def tab(advisor: Advisor) -> None:
    """Draw the tab into the blocks that are being built."""
    desk = Desk(advisor)
    with gr.Row(equal_height=False):
        with gr.Column(scale=6, min_width=320):
            query = gr.Textbox(
                label="Search",
                placeholder="how much data does LoRA need?",
                elem_id="query",
            )
            topic = gr.Dropdown(desk.topics(), value="", label="Topic", elem_id="topic")
            found = gr.HTML(desk.look("", ""), elem_id="found")
        with gr.Column(scale=4, min_width=320):
            files = gr.File(
                label="Add your own documents (PDF, Word, HTML, Markdown, text)",
                file_count="multiple",
                file_types=sorted(LOADERS),
                elem_id="own-files",
            )
            said = gr.HTML("", elem_id="own-said")
            listed = gr.HTML(desk.listed(), elem_id="own-list")
            chosen = gr.Dropdown(desk.names(), value=None, label="Document", elem_id="own-choice")
            remove = gr.Button("Remove it", elem_id="own-remove")
    for trigger in (query.submit, topic.change):
        trigger(desk.look, [query, topic], found, **QUIET)
    changed = [said, listed, chosen, topic]
    files.upload(desk.add, files, [files, *changed], concurrency_limit=1, concurrency_id="documents", **QUIET)
    remove.click(desk.remove, chosen, changed, concurrency_limit=1, concurrency_id="documents", **QUIET)


class Desk:
    """What the tab does; always with what the index holds now.

    Args:
        advisor: Whose knowledge is shown.
    """

    def __init__(self, advisor: Advisor) -> None:
        self._advisor = advisor

    def look(self, text: str, topic: str) -> str:
        """Search results, the facts of a topic, or an overview."""
        corpus = self._advisor.index.corpus
        if text.strip():
            only = Filter(topics=frozenset({topic})) if topic else None
            return _shown(lambda: cards.facts_list([hit.fact for hit in self._advisor.search(text, MOST, only)]))
        if topic:
            facts = [fact for fact in corpus.facts if fact.topic == topic]
            return cards.facts_list(facts[:LONGEST_LIST], total=len(facts))
        return cards.topics_card(len(corpus.facts), len(corpus.documents), sorted(self._counts().items()))

    def topics(self) -> list[tuple[str, str]]:
        """Topics to choose from, with how many facts each has."""
        named = [(f"{title} ({count})", topic) for (title, topic), count in sorted(self._counts().items())]
        return [("All topics", ""), *named]

    def listed(self) -> str:
        """The documents that were added."""
        return _shown(lambda: cards.documents_card(self._advisor.documents()))

    def names(self) -> list[tuple[str, str]]:
        """Documents to choose from, by path."""
        try:
            return [(item.name, item.path) for item in self._advisor.documents()]
        except TunewiseError:
            return []

    def add(self, paths: list[str]) -> Update:
        """Read files, and what came of it."""

        def work() -> str:
            home = self._home()
            home.mkdir(parents=True, exist_ok=True)
            copies = [Path(shutil.copy(path, home / Path(path).name)) for path in paths]
            try:
                done = self._advisor.add_documents(*copies)
            finally:
                known = {item.path for item in self._advisor.documents()}
                for copy in copies:
                    if str(copy.resolve()) not in known:
                        copy.unlink()
            return cards.added_card((*done.added, *done.changed, *done.unchanged), done.skipped)

        return [None, *self._after(_shown(work))]

    def remove(self, path: str | None) -> Update:
        """Forget a document; a copy that the page made of it goes too."""

        def work() -> str:
            if not path:
                return cards.note("Choose the document that shall go.")
            gone: tuple[OwnDocument, ...] = self._advisor.remove_documents(path)
            for item in gone:
                # As it is listed, not as the browser names it: "uploads/../x" is no copy.
                if Path(item.path).is_relative_to(self._home().resolve()):
                    Path(item.path).unlink(missing_ok=True)
            return cards.note(f"Removed: {', '.join(item.name for item in gone)}.")

        return self._after(_shown(work))

    def _after(self, said: str) -> Update:
        return [
            said,
            self.listed(),
            gr.Dropdown(choices=list(self.names()), value=None),
            gr.Dropdown(choices=list(self.topics()), value=""),
        ]

    def _home(self) -> Path:
        return self._advisor.settings.cache / FOLDER

    def _counts(self) -> Counter[tuple[str, str]]:
        facts = self._advisor.index.corpus.facts
        return Counter((OWN_TITLE if fact.topic == OWN else fact.title, fact.topic) for fact in facts)


def _shown(work: Callable[[], str]) -> str:
    """A card; an error of ours as a sentence in one."""
    try:
        return work()
    except TunewiseError as error:
        return cards.note(str(error))
    except OSError as error:
        return cards.note(f"The file cannot be kept: {error.strerror or error}.")
