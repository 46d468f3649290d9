"""What programs may call, without the language model: over HTTP and as MCP tools."""

import asyncio
import json
from contextlib import nullcontext

import pytest

from tunewise import Advisor
from tunewise.schema import Advice, Hit
from tunewise.ui.endpoints import Endpoints, speak_json


@pytest.fixture(scope="module")
def address(store):
    gradio = pytest.importorskip("gradio")
    pytest.importorskip("mcp")
    with gradio.Blocks(analytics_enabled=False) as blocks:
        Endpoints(Advisor(offline=True), nullcontext).draw(blocks)
    _, url, _ = blocks.launch(server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, mcp_server=True)
    speak_json(blocks)
    yield url
    blocks.close()


def test_mcp_tools_have_clean_names_and_tell_json(address):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def talk():
        async with (
            streamable_http_client(f"{address}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            found = await session.call_tool("search", {"query": "LoRA rank and memory", "count": 2})
            refused = await session.call_tool("estimate", {"question": "hello"})
            return tools, found, refused

    tools, found, refused = asyncio.run(talk())
    assert set(tools) == {"advise", "answer", "estimate", "search"}
    assert tools["search"].inputSchema["properties"]["count"]["type"] == "integer"
    hits = [Hit.model_validate(hit) for hit in json.loads(found.content[0].text)]
    assert len(hits) == 2 and hits[0].fact.sources
    assert refused.isError and "No quantity" in refused.content[0].text


def test_http_endpoints_tell_their_types_and_their_errors(address):
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(address, verbose=False, analytics_enabled=False)
    info = client.view_api(return_format="dict")["named_endpoints"]
    assert set(info) == {"/advise", "/answer", "/estimate", "/search"}
    assert set(info["/advise"]["returns"][0]["type"]["properties"]) == set(Advice.model_fields)
    found = client.predict("How much memory to fine-tune 13B with QLoRA?", api_name="/estimate")
    assert found["estimates"]
    with pytest.raises(Exception, match="No quantity"):
        client.predict("hello", api_name="/estimate")
