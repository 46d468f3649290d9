"""Ask a running page as an MCP client: `tunewise ui --mcp` in one terminal, this in another.

    python examples/mcp_client.py "We have 4,000 labelled X-rays …" [--url http://127.0.0.1:7860]

Needs the extra `mcp`. An assistant that speaks MCP is given the same address.
"""

import argparse
import asyncio
import json

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from tunewise import Advice


async def ask(url: str, situation: str) -> tuple[list[str], Advice]:
    """The tools that the page offers, and its advice on a situation."""
    async with (
        streamable_http_client(f"{url.rstrip('/')}/gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        reply = await session.call_tool("advise", {"situation": situation})
        content = reply.content[0]
        if reply.isError or not isinstance(content, TextContent):
            raise SystemExit(f"The page could not answer: {content}")
        return tools, Advice.model_validate(json.loads(content.text))


def main() -> None:
    """List the tools, then judge a situation."""
    parser = argparse.ArgumentParser(description="Ask a running Tunewise page as an MCP client.")
    parser.add_argument("situation")
    parser.add_argument("--url", default="http://127.0.0.1:7860", help="address that 'tunewise ui --mcp' printed")
    arguments = parser.parse_args()
    tools, advice = asyncio.run(ask(arguments.url, arguments.situation))
    print(f"Tools: {', '.join(tools)}")
    print(f"{advice.verdict.label} ({advice.confidence:.0%})")
    for number, reason in enumerate(advice.reasons, start=1):
        print(f"{number}. {reason.text} [{reason.evidence[0].source}]")


if __name__ == "__main__":
    main()
