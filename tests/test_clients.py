"""Programs at the page: HTTP, Gradio's client and MCP."""

import json
import subprocess
import sys
import urllib.request

import pytest

from tests.browsing import XRAYS
from tests.conftest import ROOT
from tunewise import Advice


def test_programs_can_call_the_same_functions(server):
    body = json.dumps({"data": ["what does LoRA change?", 3]}).encode()
    request = urllib.request.Request(f"{server.url}gradio_api/call/search", body, {"content-type": "application/json"})
    event = json.load(urllib.request.urlopen(request, timeout=30))["event_id"]
    reply = urllib.request.urlopen(f"{server.url}gradio_api/call/search/{event}", timeout=30).read().decode()
    hits = json.loads(reply.split("data: ", 1)[1].splitlines()[0])[0]
    assert len(hits) == 3 and hits[0]["fact"]["sources"]


@pytest.mark.parametrize("name", ["http_client", "mcp_client"])
def test_the_examples_run(server, name):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", XRAYS, "--url", server.url],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert "Fine-tune a pre-trained model" in done.stdout and "\n1. " in done.stdout
    assert ("Tools: advise, answer, estimate, search" in done.stdout) == (name == "mcp_client")


def test_endpoints_tell_the_types_of_their_results(server):
    info = json.load(urllib.request.urlopen(f"{server.url}gradio_api/info", timeout=30))["named_endpoints"]
    assert set(info) == {"/advise", "/answer", "/estimate", "/search"}
    returned = info["/advise"]["returns"][0]
    assert set(returned["type"]["properties"]) == set(Advice.model_fields)


def test_an_error_reaches_a_program_as_a_sentence(server):
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(server.url, verbose=False, analytics_enabled=False)
    with pytest.raises(Exception, match="The message is empty"):
        client.predict(" ", api_name="/advise")
    assert client.predict("How much memory to fine-tune 13B with QLoRA?", api_name="/estimate")["estimates"]
