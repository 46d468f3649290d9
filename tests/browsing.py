"""A real browser at the real page, for the tests."""

import os
import re
import shutil
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tunewise import Settings

SHOTS = ROOT / "tests/screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CALM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
XRAYS = (
    "We have 4,000 labelled chest X-rays and two A100s. Radiologists want triage of pneumothorax, and no image may "
    "leave the hospital. Should we train our own network?"
)
SECOND = 1000


class Server:
    """`tunewise ui` in a process of its own, with a cache that shares the models and prefixes alone.

    Args:
        cache: An empty folder.
    """

    def __init__(self, cache):
        for name in ("models", "prefixes"):
            (cache / name).symlink_to(Settings.load().cache / name)
        self.environment = {**os.environ, "TUNEWISE_CACHE": str(cache)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self):
        command = [sys.executable, "-m", "tunewise", "ui", "--mcp", "--no-browser", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "Tunewise is at" in line:
                return
        pytest.fail("the page did not start")

    def stop(self):
        self.process.kill()
        self.process.wait()


def is_foreign(url):
    return not re.match(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/]|data:|blob:|about:", url)


def ask(page, text, *, wait=True):
    said = page.locator("#chat [data-testid=user]").count()
    page.locator("#message textarea").fill(text)
    page.locator("#send").click()
    if wait:
        page.wait_for_function(
            "said => document.querySelectorAll('#chat [data-testid=user]').length > said",
            arg=said,
            timeout=30 * SECOND,
        )
        finished(page)


def finished(page, timeout=90):
    """Wait until the answer stands: nothing is a draft, and the sheet can be corrected."""
    page.wait_for_function(
        "() => { const count = role => document.querySelectorAll(`#chat [data-testid=${role}]`).length;"
        " return count('bot') >= count('user') && document.querySelector('#sheet select:enabled')"
        " && !document.querySelector('#verdict .tw-draft, #verdict .tw-busy') }",
        timeout=timeout * SECOND,
    )


def shot(page, name):
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
