import subprocess
import sys
import time

import tunewise
from tunewise.schema import Advice, Verdict


def test_the_front_door_is_what_is_promised():
    assert sorted(tunewise.__all__) == tunewise.__all__
    for name in tunewise.__all__:
        assert getattr(tunewise, name).__name__ == name


def test_a_verdict_is_a_plain_string():
    assert f"{Verdict.FINE_TUNE}" == "fine_tune"
    assert Verdict("fine_tune") is Verdict.FINE_TUNE
    assert [verdict.value for verdict in Verdict] == [
        "train_from_scratch",
        "fine_tune",
        "use_as_is",
        "needs_more_information",
    ]


def test_importing_and_asking_for_help_load_no_engine():
    code = (
        "import sys, tunewise, tunewise.cli\n"
        "heavy = {'llama_cpp', 'chromadb', 'onnxruntime', 'langchain_core', 'gradio', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_appears_at_once(tunewise):
    times = []
    for _ in range(3):
        began = time.perf_counter()
        assert b"Usage" in tunewise("--help").stdout
        times.append(time.perf_counter() - began)
    assert min(times) <= 0.5


def test_help_loads_neither_the_tables_of_the_estimates_nor_the_schema():
    code = (
        "import sys, tunewise.cli; print([name for name in sys.modules if 'estimation' in name or 'pydantic' in name])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_advice_has_the_documented_fields():
    documented = {
        "verdict", "confidence", "probabilities", "method", "factors", "reasons", "would_change", "questions",
        "estimates", "timings",
    }  # fmt: skip
    assert documented <= set(Advice.model_fields)


def test_every_field_of_the_schema_is_explained():
    undocumented = [name for name, field in Advice.model_fields.items() if not field.description]
    assert not undocumented
