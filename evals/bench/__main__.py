"""Time Tunewise beside LangChain's ChatLlamaCpp and plain llama-cpp-python, paired question by question.

    python -m evals.bench [--questions N] [--out FILE]

Every way runs in a process of its own (so that peak memory can be told apart), on the same model
file, machine and questions, one after another. The two others ask for `{verdict, confidence,
justification}` under a JSON schema. Needs the extra `bench`.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Table

from tunewise import Settings, Verdict
from tunewise.artifacts import ModelStore

HERE = Path(__file__).parent
WAYS = ("langchain", "plain", "tunewise")
SYSTEM = (
    "You advise on model strategy. Decide whether the person should train a model from scratch, fine-tune a "
    "pre-trained model, use an existing model as it is, or whether decisive information is missing. Training from "
    "scratch includes boosted trees on tables. Answer with the verdict, your confidence from 0 to 1, and a "
    "justification of three sentences, each with a reason."
)


class Reply(BaseModel):
    """What the other ways are asked for."""

    verdict: Verdict
    confidence: float = Field(ge=0, le=1)
    justification: str


class Timing(BaseModel):
    """One question, one way; times in seconds."""

    way: Literal["langchain", "plain", "tunewise"]
    question: int
    first: float
    """Until anything usable is there."""
    verdict: float
    """Until the verdict stands, valid against its schema."""
    end: float
    """Until the whole answer stands."""
    read: int
    """Tokens evaluated as input."""
    written: int
    """Tokens generated."""
    valid: bool


def settings_of_llama() -> dict[str, Any]:
    """The same engine settings for all ways."""
    import psutil

    threads = psutil.cpu_count(logical=False) or os.cpu_count()
    return {"n_ctx": 8192, "n_threads": threads, "n_threads_batch": threads, "verbose": False}


def calm_repacking() -> None:
    """Load weights as Tunewise does: repacked ones crash on CPUs with AMX under GCC 12 (evals/NOTES.md)."""
    import llama_cpp
    import llama_cpp.llama

    original = llama_cpp.llama_model_default_params

    def calm() -> Any:
        params = original()
        params.use_extra_bufts = False
        return params

    llama_cpp.llama_cpp.llama_model_default_params = calm
    llama_cpp.llama_model_default_params = calm


def langchain_way(model: Path) -> Callable[[str, int], Timing]:
    """LangChain's chat model with structured output."""
    from langchain_community.chat_models import ChatLlamaCpp
    from langchain_core.messages import HumanMessage, SystemMessage

    chat: Any = ChatLlamaCpp(model_path=str(model), temperature=0.0, max_tokens=400, **settings_of_llama())
    structured: Any = chat.with_structured_output(Reply, include_raw=True)

    def ask(text: str, number: int) -> Timing:
        began = time.perf_counter()
        result = structured.invoke([SystemMessage(SYSTEM), HumanMessage(text)])
        end = time.perf_counter() - began
        raw = str(result["raw"].content) + json.dumps(result["raw"].additional_kwargs)
        tokens = len(chat.client.tokenize(raw.encode()))
        return Timing(
            way="langchain", question=number, first=end, verdict=end, end=end,
            read=len(chat.client.tokenize((SYSTEM + text).encode())), written=tokens,
            valid=result["parsed"] is not None,
        )  # fmt: skip

    return ask


def plain_way(model: Path) -> Callable[[str, int], Timing]:
    """llama-cpp-python with a JSON schema."""
    from llama_cpp import Llama

    llama: Any = Llama(str(model), **settings_of_llama())

    def ask(text: str, number: int) -> Timing:
        began = time.perf_counter()
        first, content = 0.0, ""
        for chunk in llama.create_chat_completion(
            [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
            response_format={"type": "json_object", "schema": Reply.model_json_schema()},
            temperature=0.0,
            max_tokens=400,
            stream=True,
        ):
            piece = chunk["choices"][0]["delta"].get("content")
            if piece:
                first = first or time.perf_counter() - began
                content += piece
        end = time.perf_counter() - began
        try:
            Reply.model_validate_json(content)
            valid = True
        except ValueError:
            valid = False
        return Timing(
            way="plain", question=number, first=first, verdict=end, end=end,
            read=len(llama.tokenize((SYSTEM + text).encode())), written=len(llama.tokenize(content.encode())),
            valid=valid,
        )  # fmt: skip

    return ask


def tunewise_way(_: Path) -> Callable[[str, int], Timing]:
    """Tunewise."""
    from tunewise import Advisor

    advisor = Advisor()
    advisor.load()

    def ask(text: str, number: int) -> Timing:
        began = time.perf_counter()
        first = verdict = 0.0
        result: Any = None
        for event in advisor.stream(text):
            now = time.perf_counter() - began
            if event.event == "factor":
                first = first or now
            elif event.event == "verdict":
                verdict = now
            elif event.event == "done":
                result = event.result
        return Timing(
            way="tunewise", question=number, first=first, verdict=verdict, end=time.perf_counter() - began,
            read=result.timings.tokens_read, written=result.timings.tokens_written,
            valid=len(result.reasons) == 3 and all(reason.evidence for reason in result.reasons),
        )  # fmt: skip

    return ask


def run_way(way: str, questions: list[str]) -> None:
    """Run one way in this process and print its timings and peak memory as JSON lines."""
    settings = Settings.load()
    model = ModelStore(settings.cache / "models").resolve(settings.model)
    if way != "tunewise":
        calm_repacking()
    ask = {"langchain": langchain_way, "plain": plain_way, "tunewise": tunewise_way}[way](model)
    ask("A warm-up question about sorting photos of apples with 500 labels.", -1)
    for number, text in enumerate(questions):
        sys.stdout.write(ask(text, number).model_dump_json() + "\n")
        sys.stdout.flush()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write(json.dumps({"peak": peak}) + "\n")


def measure(way: str, count: int) -> tuple[list[Timing], int]:
    """Run one way in a process of its own."""
    command = [sys.executable, "-m", "evals.bench", "--way", way, "--questions", str(count)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    lines = [line for line in output.splitlines() if line.startswith("{")]
    timings = [Timing.model_validate_json(line) for line in lines if "peak" not in line]
    return timings, json.loads(lines[-1])["peak"]


def cold_start(question: str) -> float:
    """Seconds from starting `tunewise ask` in a new process to its verdict, prefix on disk."""
    code = (
        "import sys, time; from tunewise import Advisor\n"
        "for event in Advisor().stream(sys.argv[1]):\n"
        "    if event.event == 'verdict': break"
    )
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, question], check=True)
    return time.perf_counter() - began


def report(results: dict[str, tuple[list[Timing], int]], cold: list[float]) -> dict[str, Any]:
    """Medians of each way, and the paired ratios to Tunewise."""
    ours = results["tunewise"][0]
    data: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "questions": len(ours),
        "cold_start_to_verdict": round(statistics.median(cold), 2),
        "ways": {},
    }
    for way, (timings, peak) in results.items():
        row = {
            key: round(statistics.median(getattr(timing, key) for timing in timings), 2)
            for key in ("first", "verdict", "end", "read", "written")
        }
        row["peak_gib"] = round(peak / 2**30, 2)
        row["valid"] = sum(timing.valid for timing in timings) / len(timings)
        for key in ("verdict", "end"):
            ratios = [getattr(a, key) / getattr(b, key) for a, b in zip(timings, ours, strict=True)]
            row[f"{key}_ratio"] = round(statistics.median(ratios), 2)
        data["ways"][way] = row
    return data


def show(data: dict[str, Any]) -> None:
    """Print the report as a table."""
    table = Table(title=f"{data['questions']} questions, {data['machine']}; medians, seconds")
    for column in ("way", "first", "verdict", "× ours", "end", "× ours", "read", "written", "GiB", "valid"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way, row in data["ways"].items():
        table.add_row(
            way, f"{row['first']:.2f}", f"{row['verdict']:.2f}", f"{row['verdict_ratio']:.2f}", f"{row['end']:.2f}",
            f"{row['end_ratio']:.2f}", str(row["read"]), str(row["written"]), f"{row['peak_gib']:.2f}",
            f"{row['valid']:.0%}",
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(f"Cold start of a new process to the verdict, prefix on disk: {data['cold_start_to_verdict']} s")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m evals.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--questions", type=int, default=10, help="how many of the ten questions")
    parser.add_argument("--out", type=Path, default=HERE / "latest.json", help="where the figures go")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    questions = (HERE / "situations.txt").read_text().splitlines()[: arguments.questions]
    if arguments.way:
        run_way(arguments.way, questions)
        return
    console = Console(stderr=True)
    results = {}
    for way in WAYS:
        with console.status(f"{way}: {len(questions)} questions, one after another"):
            results[way] = measure(way, arguments.questions)
    data = report(results, [cold_start(question) for question in questions[:3]])
    arguments.out.write_text(json.dumps(data, indent=2) + "\n")
    show(data)


if __name__ == "__main__":
    main()
