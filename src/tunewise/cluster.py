"""Judging on a Ray cluster: actors that each hold a model, and pieces of a table that go to whoever is free.

Situations go out and results come back as text; a piece whose actor dies is judged again by its successor.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from tunewise.errors import EngineError, InputError, TunewiseError, UserError
from tunewise.schema import Judgement
from tunewise.settings import Settings

PIECE = 8
"""Situations that are sent at once; they share forward passes."""
RESTARTS = 5
"""How often an actor that died is started anew, and its piece judged again."""


class Judge:
    """What runs in an actor: an advisor of its own.

    Args:
        settings: As JSON.
    """

    def __init__(self, settings: str) -> None:
        from tunewise.advisor import Advisor
        from tunewise.together import Lanes

        self._lanes = Lanes(Advisor(Settings.model_validate_json(settings)))

    def process(self) -> int:
        """Id of the process, to tell actors apart."""
        return os.getpid()

    def judge(self, texts: Sequence[str]) -> list[str]:
        """For each text its judgement as JSON, or `!` and the sentence of its error."""
        return [
            found.model_dump_json() if isinstance(found, Judgement) else f"!{found}"
            for found in self._lanes.judge(texts)
        ]


class Cluster:
    """Actors on the cluster that `RAY_ADDRESS` names, or on this machine alone.

    Args:
        settings: Of the advisors; every machine needs its model files, or access to where they come from.
        workers: How many actors; as many as the cluster has processors for where None.
        piece: Situations that are sent at once.

    Raises:
        EngineError: The cluster cannot be reached.
        UserError: It has no room for one worker.
    """

    def __init__(self, settings: Settings, workers: int | None = None, piece: int = PIECE) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import importlib

        ray: Any = importlib.import_module("ray")
        self._ray = ray
        # A cluster that is begun here needs no other address than loopback; not every version of Ray obeys.
        own = {} if os.environ.get("RAY_ADDRESS") else {"_node_ip_address": "127.0.0.1"}
        try:
            ray.init(include_dashboard=False, log_to_driver=False, ignore_reinit_error=True, **own)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise EngineError(f"The Ray cluster cannot be reached: {error}.", "Look at RAY_ADDRESS.") from error
        threads = settings.threads or 1
        room = int(ray.cluster_resources().get("CPU", 0)) // threads
        self.workers = workers or room
        if not 1 <= self.workers <= room:
            ray.shutdown()
            raise UserError(
                f"{self.workers} workers of {threads} threads do not fit: the cluster has room for {room}.",
                "Lower --workers or TUNEWISE_THREADS, or add machines.",
            )
        told = settings.model_copy(update={"threads": threads}).model_dump_json()
        remote = ray.remote(num_cpus=threads, max_restarts=RESTARTS, max_task_retries=RESTARTS)(Judge)
        self.actors = [remote.remote(told) for _ in range(self.workers)]
        self.piece = piece
        self.window = 4 * piece * self.workers

    def judge(self, texts: Sequence[str]) -> Iterator[Judgement | TunewiseError]:
        """Judge texts, in order.

        Raises:
            EngineError: An actor died too often, or what it said cannot be read.
        """
        from ray.util import ActorPool

        pieces = [list(texts[start : start + self.piece]) for start in range(0, len(texts), self.piece)]
        try:
            for lines in ActorPool(self.actors).map(lambda actor, piece: actor.judge.remote(piece), pieces):
                yield from map(_read, lines)
        except self._ray.exceptions.RayError as error:
            remedy = "Look at the memory of the machines; the same command then goes on where it stopped."
            raise EngineError(f"A worker of the cluster failed: {type(error).__name__}.", remedy) from error

    def close(self) -> None:
        """Stop the actors."""
        for actor in self.actors:
            self._ray.kill(actor)
        self._ray.shutdown()


def _read(line: str) -> Judgement | TunewiseError:
    if line.startswith("!"):
        return InputError(line[1:])
    try:
        return Judgement.model_validate_json(line)
    except ValidationError as error:
        raise EngineError("A worker of another version answered.", "Install one version on all machines.") from error
