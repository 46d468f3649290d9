"""Ask a running page over HTTP: `tunewise ui` in one terminal, this in another.

    python examples/http_client.py "We have 4,000 labelled X-rays …" [--url http://127.0.0.1:7860]

Needs nothing but Tunewise itself; results are the same typed objects as in Python.
"""

import argparse

from gradio_client import Client

from tunewise import Advice
from tunewise.schema import Hit


def main() -> None:
    """Judge a situation, then look up two facts for it."""
    parser = argparse.ArgumentParser(description="Ask a running Tunewise page over HTTP.")
    parser.add_argument("situation")
    parser.add_argument("--url", default="http://127.0.0.1:7860", help="address that 'tunewise ui' printed")
    arguments = parser.parse_args()
    client = Client(arguments.url, verbose=False, analytics_enabled=False)
    advice = Advice.model_validate(client.predict(arguments.situation, api_name="/advise"))
    print(f"{advice.verdict.label} ({advice.confidence:.0%})")
    for number, reason in enumerate(advice.reasons, start=1):
        print(f"{number}. {reason.text} [{reason.evidence[0].source}]")
    for found in client.predict(arguments.situation, 2, api_name="/search"):
        hit = Hit.model_validate(found)
        print(f"See also {hit.fact.id}: {hit.fact.text}")


if __name__ == "__main__":
    main()
