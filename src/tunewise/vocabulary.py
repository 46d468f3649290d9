"""The words of the field that cross every border: verdicts, methods, kinds of steps."""

from enum import StrEnum


class Verdict(StrEnum):
    """The four answers that Tunewise can give."""

    TRAIN_FROM_SCRATCH = "train_from_scratch"
    FINE_TUNE = "fine_tune"
    USE_AS_IS = "use_as_is"
    NEEDS_MORE_INFORMATION = "needs_more_information"

    @property
    def label(self) -> str:
        """The verdict as a person would say it."""
        return LABELS[self]


LABELS: dict[Verdict, str] = {
    Verdict.TRAIN_FROM_SCRATCH: "Train from scratch",
    Verdict.FINE_TUNE: "Fine-tune a pre-trained model",
    Verdict.USE_AS_IS: "Use an existing model as it is",
    Verdict.NEEDS_MORE_INFORMATION: "More information needed",
}


class Method(StrEnum):
    """How a verdict is carried out."""

    FULL = "full"
    LORA = "lora"
    QLORA = "qlora"
    LINEAR_PROBE = "linear_probe"
    CONTINUED_PRETRAINING = "continued_pretraining"
    DISTILLATION = "distillation"
    PREFERENCE_TUNING = "preference_tuning"
    BOOSTED_TREES = "boosted_trees"
    CLASSICAL = "classical"
    SMALL_NETWORK = "small_network"
    SUPERVISED_NETWORK = "supervised_network"
    SELF_SUPERVISED_PRETRAINING = "self_supervised_pretraining"
    PROMPTING = "prompting"
    FEW_SHOT = "few_shot"
    RAG = "rag"
    LONG_CONTEXT = "long_context"
    OFF_THE_SHELF = "off_the_shelf"

    @property
    def label(self) -> str:
        """The method as a person would say it."""
        return METHOD_LABELS[self]


METHOD_LABELS: dict[Method, str] = {
    Method.FULL: "tuning all weights",
    Method.LORA: "LoRA adapters",
    Method.QLORA: "QLoRA, adapters on 4-bit weights",
    Method.LINEAR_PROBE: "a head on frozen features",
    Method.CONTINUED_PRETRAINING: "continued pre-training",
    Method.DISTILLATION: "distillation into a small student",
    Method.PREFERENCE_TUNING: "preference tuning",
    Method.BOOSTED_TREES: "boosted trees",
    Method.CLASSICAL: "a linear or seasonal model",
    Method.SMALL_NETWORK: "a small network for the device",
    Method.SUPERVISED_NETWORK: "a network trained on your own labels",
    Method.SELF_SUPERVISED_PRETRAINING: "self-supervised pre-training",
    Method.PROMPTING: "prompting",
    Method.FEW_SHOT: "prompting with a few examples",
    Method.RAG: "retrieval and prompting (RAG)",
    Method.LONG_CONTEXT: "the whole material in the prompt",
    Method.OFF_THE_SHELF: "an off-the-shelf model",
}


class StepKind(StrEnum):
    """What a step of a plan is for."""

    CHECK = "check"
    """Something to settle before any money is spent."""
    EXPERIMENT = "experiment"
    """A cheap trial that can end the plan."""
    BUILD = "build"
    """The work itself."""
    STOP = "stop"
    """When to stop."""
    FALLBACK = "fallback"
    """What to do where it does not work."""
