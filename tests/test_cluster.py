"""A table on a local Ray cluster of two actors, each with the real model; one of them is killed."""

import os
import signal

import pytest

from tunewise import Settings
from tunewise.batching import Job
from tunewise.cluster import Cluster
from tunewise.errors import UserError
from tunewise.scaling import schedule
from tunewise.tables import read_table

TEXTS = [
    "We have 4,000 labelled chest X-rays and two A100s and want to sort them by finding.",
    "Our support bot must quote prices that change every week from the wiki.",
    "",
    "Predict churn from 300,000 customer rows with 40 columns.",
    "Detect the wake word on a microcontroller with 64 kB of memory; we have 20,000 recordings.",
]


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_judges_a_table_though_a_worker_dies(advisor, tmp_path):
    pytest.importorskip("ray")
    expected = [advisor.judge(text).verdict if text else None for text in TEXTS]
    table = tmp_path / "in.txt"
    rows = [{"text": text} for text in TEXTS]
    table.write_text("text", encoding="utf-8")
    job_table = type(read_table(table))(rows, "text")
    cluster = Cluster(Settings.load(offline=True, threads=1), workers=2, piece=1)
    try:
        victims = [cluster._ray.get(actor.process.remote()) for actor in cluster.actors]
        assert len(set(victims)) == 2 and os.getpid() not in victims
        run = Job(advisor, job_table, tmp_path / "out.csv", cluster=cluster).run()
        outcomes = [next(run)]
        os.kill(victims[1], signal.SIGKILL)
        outcomes += run
    finally:
        cluster.close()
    assert [outcome.row for outcome in outcomes] == list(range(len(TEXTS)))
    assert [outcome.result and outcome.result["verdict"] for outcome in outcomes] == expected
    assert outcomes[2].error and "empty" in outcomes[2].error
    assert (tmp_path / "out.csv").exists() and not list(tmp_path.glob("*.partial"))


def test_a_cluster_without_room_says_so():
    pytest.importorskip("ray")
    with pytest.raises(UserError, match="do not fit"):
        Cluster(Settings.load(offline=True, threads=256), workers=3)


def test_machines_shorten_a_run_until_their_start_counts():
    one, eight = (schedule(100_000, machines, a_minute=60, start=30) for machines in (1, 8))
    assert one.seconds == pytest.approx(100_030) and one.efficiency > 0.999
    assert eight.seconds == pytest.approx(30 + 12_504, abs=8) and eight.a_minute > 7.9 * one.a_minute
    few = schedule(8, 100, a_minute=60, start=30)
    assert few.seconds == schedule(8, 1, a_minute=60, start=30).seconds and few.efficiency < 0.01


def test_the_command_calculates_machines(tunewise):
    ended = tunewise("estimate", "verdicts", "6000", "--machines", "4", "--a-minute", "60", "--start", "0")
    assert ended.returncode == 0
    first, four, eight = ended.stdout.decode().splitlines()
    assert "1.67 h" in first and "0.42 h" in four and "0.21 h" in eight
