"""Figures from formulas: the arithmetic, the table of published runs, and quantities as people write them."""

import math

import pytest
from evals.estimates.check import WITHIN, compare, summary
from hypothesis import given
from hypothesis import strategies as st

from tunewise.errors import UserError
from tunewise.estimation import calculator, formulas
from tunewise.estimation.calculator import calculate
from tunewise.estimation.catalogue import gpu, gpus, shape_of, shapes
from tunewise.estimation.quantities import read
from tunewise.estimation.questions import Topic
from tunewise.estimation.rules import Kind
from tunewise.schema import Method


def test_predictions_stand_beside_published_runs():
    rows = compare()
    assert len(rows) >= 20
    share, median = summary(rows)
    assert share >= 0.8, [f"{row.name}: {row.factor:.2f}" for row in rows if row.factor > WITHIN]
    assert median < 1.3


def test_compute_is_six_times_parameters_times_tokens():
    compute = formulas.training_compute(175e9, 300e9)
    assert compute.low == pytest.approx(3.15e23)
    assert compute.low < compute.high < 1.1 * compute.low


def test_qlora_of_65b_fits_one_card_of_48_gb():
    parts = formulas.training_memory(65.2e9, "qlora", context=512)
    assert parts[-2].high < 48


def test_cache_of_a_known_shape_is_exact():
    llama = next(shape for shape in shapes() if shape.name == "Llama 2 7B")
    cache = formulas.kv_cache(llama, 4096, known=True)
    assert cache.low == cache.high == pytest.approx(2.147, rel=1e-3)


def test_every_estimate_says_where_it_comes_from():
    hours = formulas.gpu_hours(7e9, 2e12, gpu("A100"))
    found = [
        *formulas.training_memory(7e9, "lora"),
        *formulas.inference_memory(7e9),
        *formulas.serving(7e9, gpu("H100")),
        hours,
        formulas.duration(hours, 8),
        formulas.optimal_tokens(7e9),
        formulas.largest_model(1e9),
    ]
    for estimate in found:
        assert 0 < estimate.low <= estimate.high
        assert estimate.formula and estimate.source and estimate.unit


@given(st.floats(1e6, 1e13), st.sampled_from(["full", "lora", "qlora"]))
def test_more_parameters_never_need_less_memory(size, method):
    less, more = (formulas.training_memory(number, method)[-2].low for number in (size, 2 * size))
    assert math.isfinite(more) and more > less * 0.9


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
def test_impossible_sizes_are_refused(bad):
    with pytest.raises(UserError):
        formulas.training_compute(bad, 1e9)


def test_a_model_larger_than_a_card_is_served_on_as_many_as_its_weights_need():
    assert formulas.cards_for(70e9, gpu("RTX 3090")) == 6
    speed = formulas.serving(70e9, gpu("RTX 3090"))[0]
    assert speed.quantity == "speed of one stream on 6 × RTX 3090"
    assert speed.high == pytest.approx(6 * 936 / 140) and speed.low == pytest.approx(speed.high / 4)


def test_an_unknown_card_is_named_with_the_known_ones():
    with pytest.raises(UserError, match="Known are"):
        gpu("Z999")


def test_names_of_cards_are_unique():
    names = [alias for card in gpus() for alias in card.aliases]
    assert len(names) == len(set(names))


def test_shapes_scale_with_the_size():
    assert shape_of(7e9).parameters == 7e9
    assert shape_of(7e9).layers == 32


@pytest.mark.parametrize(
    ("text", "topic", "words"),
    [
        ("how much memory to fine-tune 13B with QLoRA?", Topic.TRAINING_MEMORY, "QLoRA needs"),
        ("Can I fine-tune a 7B model on a 24GB 4090?", Topic.TRAINING_MEMORY, "QLoRA fits"),
        ("How much VRAM do I need to run a 70B model?", Topic.INFERENCE_MEMORY, "in 4 bits"),
        ("how long to train a 1B model from scratch on 8xA100?", Topic.TRAINING_COST, "days on 8"),
        ("What does it cost to pretrain 7B on 2T tokens?", Topic.TRAINING_COST, "$"),
        ("KV cache of a 7B at 8k context?", Topic.KV_CACHE, "8,192 tokens"),
        ("How many tokens do I need to train a 3B model?", Topic.TOKENS, "60B tokens"),
        ("How large a model can 1B tokens of text feed?", Topic.MODEL_SIZE, "200M"),
        ("How fast is an 8B model in 4-bit on an L4?", Topic.SERVING, "tokens/s"),
        ("Does a 13B model fit on two 3090s?", Topic.INFERENCE_MEMORY, "48 GB"),
        ("22B model, 6-bit weights, 16k context, will it go on a 7900 XTX?", Topic.INFERENCE_MEMORY, "24 GB"),
        ("Can a Mac with 192GB unified memory run a 120B at 8 bit?", Topic.INFERENCE_MEMORY, "192 GB): inference in 8"),
        ("How much VRAM to run Llama 3 405B in 4 bits?", Topic.INFERENCE_MEMORY, "405B parameters"),
        ("How much VRAM do I need to run a fine-tuned 7B?", Topic.INFERENCE_MEMORY, "15 to 17 GB in 16 bits"),
        (
            "Is an A100 with 40 GB enough for full fine-tuning of 3B?",
            Topic.TRAINING_MEMORY,
            "(40 GB): full fine-tuning does",
        ),
        ("Does a 70B fit on four 24GB GPUs in 8 bit?", Topic.INFERENCE_MEMORY, "On 4 cards (96 GB)"),
        ("How long to train 1B on 2B tokens for 4 epochs with 8 A100?", Topic.TRAINING_COST, "on 8B tokens"),
        ("How long to fine-tune 7B on 10k examples of 4,000 tokens for 1 epoch?", Topic.TRAINING_COST, "on 40M tokens"),
        ("How long to fine-tune 7B on 80,000 tokens?", Topic.TRAINING_COST, "on 80,000 tokens"),
        ("What to pre-train a 3B on 60B tokens costs at €2 an hour?", Topic.TRAINING_COST, "EUR of rent"),
        ("My machine has 64 GB RAM and a 12 GB card; does 13B fit in 8 bits?", Topic.INFERENCE_MEMORY, "(12 GB)"),
        ("How fast is a 7B on a GTX 1080?", Topic.SERVING, "not in the table"),
        (
            "7B on an H100 at €2 per hour: what is the price per million tokens?",
            Topic.SERVING,
            "2.3 to 4.6 EUR a million",
        ),
        ("Does a 13B fit on an RTX 4060 Ti 16GB in 8 bits?", Topic.INFERENCE_MEMORY, "(16 GB)"),
        ("how many tokens per second for 7B on 4 H100?", Topic.SERVING, "on 4 × H100 writes"),
        ("How much to train a 1.3B on 26B tokens on 8 H100 at $2/hour?", Topic.TRAINING_COST, "$253 to $650"),
        (
            "How long does it take to fine-tune a pre-trained 8B model on 5,000 examples on one A100?",
            Topic.TRAINING_COST,
            "on 7.5M tokens",
        ),
        (
            "Is fine-tuning an 8B cheaper than training from scratch? How much does it cost on an H100?",
            Topic.TRAINING_COST,
            "on 15M tokens",
        ),
        ("How long to pre-train a 1B on an A100?", Topic.TRAINING_COST, "on 20B tokens"),
        ("KV cache for Llama 3 8B at 128k tokens?", Topic.KV_CACHE, "131,072 tokens take 17 GB"),
        ("KV cache of an 8B at 4k?", Topic.KV_CACHE, "with 4,096 tokens"),
        ("KV cache of Llama 3 8B at 16k for 8 users at once?", Topic.KV_CACHE, "with 16,384 tokens take 17 GB"),
        ("KV cache for Llama 3 8B, 32k, batch 4?", Topic.KV_CACHE, "with 32,768 tokens take 17 GB"),
        ("How much memory for inference of an 8B at 128k tokens?", Topic.INFERENCE_MEMORY, "131,072 tokens of context"),
        ("KV cache of a 7B in fp8 at 8k context?", Topic.KV_CACHE, "1.1 to 4.3 GB"),
        ("int8 KV cache for a 7B at 8k context?", Topic.KV_CACHE, "0.54 to 2.1 GB"),
        ("KV cache in 8 bits for Llama 3 8B at 8k context?", Topic.KV_CACHE, "take 0.54 GB"),
        (
            "How many H100s do I need to train a 7B on 1T tokens in 30 days?",
            Topic.TRAINING_COST,
            "that is 37 to 89 cards for 30 days, or",
        ),
        ("How many GPUs do I need to train a 7B on 1T tokens in 30 days?", Topic.TRAINING_COST, "104 to 233 cards"),
        ("How long on A100 to train a 7B on 1T tokens?", Topic.TRAINING_COST, "GPU-hours on A100 80GB, or"),
        ("How fast is a 70B on 2 H100s?", Topic.SERVING, "in 16 bits on 2 × H100"),
        ("How fast is a 70B on an H100?", Topic.SERVING, "in 4 bits on H100"),
        ("How fast is Qwen3-30B-A3B on an RTX 4090?", Topic.SERVING, "326 to 651 tokens/s"),
        ("How fast is Mixtral 8x7B on 2 H100?", Topic.SERVING, "12.9B of them active"),
        (
            "How long to train a 671B mixture of experts with 37B active on 14.8T tokens on 2048 H800s?",
            Topic.TRAINING_COST,
            "takes 2.05M to 4.78M GPU-hours",
        ),
        ("Does an 8B fit on an RTX 4070 Ti Super?", Topic.INFERENCE_MEMORY, "(16 GB)"),
    ],
)
def test_calculation_questions_are_answered(text, topic, words):
    found = calculate(text)
    assert found is not None and found.topic is topic
    assert words in found.sentence
    assert found.estimates


@pytest.mark.parametrize(
    "text",
    [
        "What does LoRA change?",
        "should I fine-tune a 7B or prompt it?",
        "We have 4,000 labelled X-rays and two A100s. Fine-tune or train?",
        "We have 3,000 tickets, a 7B model and one RTX 4090. It must answer in our tone. Should we fine-tune?",
        "12 million rows and one 3090. A 7B model was tried and failed on the numbers.",
        "Our 7B model runs on a 4090 and makes up part numbers. How do we stop it?",
        "How much data do I need?",
        "How much data do I need to fine-tune a 7B with LoRA?",
        "Is 500 examples enough to fine-tune a 7B on one A100?",
        "What learning rate to fine-tune 7B with LoRA on one A100?",
        "Should we fine-tune a 7B on 50k tickets, and how much would it cost?",
        "How much memory for " + "9" * 310 + "x7B?",
        "",
    ],
)
def test_other_messages_are_no_calculation(text):
    assert calculate(text) is None


def test_a_verdict_on_text_comes_with_memory_and_cost():
    figures = calculator.for_advice(Method.QLORA, "text", "We have 3,000 tickets and one A100 for a 7B model.")
    names = [figure.quantity for figure in figures]
    assert "memory of QLoRA" in names and "rent of the GPUs" in names
    hours = next(figure for figure in figures if figure.unit == "GPU-hours")
    assert hours.low == pytest.approx(6 * 7e9 * 3000 * 500 * 3 / (312e12 * 3600 * 0.5))


def test_the_labelled_examples_are_those_to_tune_on():
    text = "We have 1.2 million support tickets, 3,000 of them labelled, and one A100 for a 7B model."
    hours = next(item for item in calculator.for_advice(Method.QLORA, "text", text) if item.unit == "GPU-hours")
    assert hours.low == pytest.approx(6 * 7e9 * 3000 * 500 * 3 / (312e12 * 3600 * 0.5))


@pytest.mark.parametrize(
    ("method", "size"), [(Method.CONTINUED_PRETRAINING, 8e9), (Method.SELF_SUPERVISED_PRETRAINING, 1e9)]
)
def test_words_are_tokens_of_a_pre_training(method, size):
    figures = calculator.for_advice(method, "text", "We have 6 billion words of legal text and 8 H100.")
    hours = next(item for item in figures if item.unit == "GPU-hours")
    assert hours.low == pytest.approx(6 * size * 8e9 / (989e12 * 3600 * 0.45))


@pytest.mark.parametrize("vendor", ["GPT-3", "GPT-3 (175B)"])
def test_a_vendors_closed_model_is_not_the_one_to_tune(vendor):
    text = f"We now pay for {vendor} prompts and want to tune a small open model on a 3090."
    memory = next(item for item in calculator.for_advice(Method.QLORA, "text", text) if item.unit == "GB")
    assert memory.high < 24
    assert "8B parameters, as none is named" in " ".join(memory.assumptions)


def test_a_size_beside_a_vendors_model_is_that_of_ones_own():
    figures = calculator.for_advice(Method.QLORA, "text", "We want to go from GPT-3 to a 13B on a 3090.")
    assert not any("none is named" in " ".join(item.assumptions) for item in figures)


def test_of_a_mixture_of_experts_memory_holds_all_and_a_token_passes_the_active_ones():
    memory = calculate("How much VRAM to run Qwen3-30B-A3B in 4 bits?")
    assert memory is not None and memory.estimates[0].low == pytest.approx(30 * formulas.NF4_BYTES)
    unsaid = calculate("How fast is a 30B MoE on an H100?")
    assert unsaid is not None and "taken as active" in " ".join(unsaid.estimates[0].assumptions)


def test_hours_of_speech_are_told_only_where_the_text_speaks_of_speech():
    assert calculator.for_advice(Method.FULL, "audio", "We have 4,000 recordings of pump noise.") == ()
    (speech,) = calculator.for_advice(Method.FULL, "audio", "We have 40 hours of transcribed speech.")
    assert speech.unit == "hours of transcribed speech"
    assert formulas.labels_needed("full", "audio") == speech


def test_boxes_need_more_images_than_classes():
    (boxes,) = calculator.for_advice(Method.FULL, "image", "Photos, and we want boxes around the dents.")
    (classes,) = calculator.for_advice(Method.FULL, "image", "Photos of cardboard boxes, sorted by kind.")
    assert boxes.low == 1500 and "F10.15" in boxes.source
    assert classes.low == 10 and "F10.25" in classes.source
    assert formulas.labels_needed("full", "image") == classes


def test_a_price_cites_the_facts_of_its_card_and_no_card_has_one_without():
    assert all((card.price is None) == (card.price_source == "") for card in gpus())
    rents = [formulas.rental(formulas.gpu_hours(7e9, 1e9, gpu(name)), gpu(name)) for name in ("A100", "H100")]
    assert ["F07.28" in rent.source for rent in rents if rent] == [True, False]
    assert gpu("H200").price is None and gpu("A100 40").price is None


def test_peaks_of_geforce_cards_are_those_with_sums_in_32_bits():
    assert [gpu(name).tflops for name in ("3060", "4060", "3090", "4090")] == [25.5, 30, 71, 165]


def test_no_method_no_figures():
    assert calculator.for_advice(None, "text", "We want AI.") == ()


PHRASES = [
    ("7B", Kind.PARAMETERS, 7e9),
    ("7 billion parameters", Kind.PARAMETERS, 7e9),
    ("a 350M-parameter model", Kind.PARAMETERS, 3.5e8),
    ("Qwen2.5-1.5B-Instruct", Kind.PARAMETERS, 1.5e9),
    ("BERT-base", Kind.PARAMETERS, 1.1e8),
    ("4×A100 80GB", Kind.GPUS, 4),
    ("eight H100s", Kind.GPUS, 8),
    ("my RTX 4090 (24GB)", Kind.GPUS, 1),
    ("A100 40GB x 8", Kind.GPUS, 8),
    ("50k rows", Kind.EXAMPLES, 5e4),
    ("1,000,000 labelled images", Kind.EXAMPLES, 1e6),
    ("4.000 Bilder", Kind.EXAMPLES, 4000),
    ("2.5 million documents", Kind.EXAMPLES, 2.5e6),
    ("20 lakh rows", Kind.EXAMPLES, 2e6),
    ("a dozen examples", Kind.EXAMPLES, 12),
    ("15T tokens", Kind.TOKENS, 1.5e13),
    ("half a billion tokens", Kind.TOKENS, 5e8),
    ("llama on 8k context", Kind.CONTEXT, 8192),
    ("context length 4096", Kind.CONTEXT, 4096),
    ("batch size 8", Kind.BATCH, 8),
    ("$50k budget", Kind.MONEY, 5e4),
    ("100k USD", Kind.MONEY, 1e5),
    ("10 hours of speech", Kind.AUDIO, 10),
    ("4-bit", Kind.BITS, 4),
    ("int8", Kind.BITS, 8),
    ("16 GB of VRAM", Kind.MEMORY, 16),
    ("3 epochs", Kind.EPOCHS, 3),
    ("rank 64", Kind.RANK, 64),
    ("3 weeks", Kind.DAYS, 21),
]


@pytest.mark.parametrize(("text", "kind", "number"), PHRASES)
def test_quantities_are_read(text, kind, number):
    found = [quantity for quantity in read(text) if quantity.kind is kind]
    assert [quantity.number for quantity in found] == [pytest.approx(number)]
    assert found[0].text in text


def test_an_article_counts_nothing():
    assert read("a general model labels an image and one user per row") == ()


def test_short_runs_are_counted_in_hours():
    hours = formulas.gpu_hours(7e9, 1e6, gpu("A100"))
    assert formulas.duration(hours, 1).unit == "hours"
    assert formulas.duration(formulas.gpu_hours(7e9, 1e12, gpu("A100")), 8).unit == "days"


@given(st.text(max_size=200))
def test_no_text_upsets_the_reader(text):
    for quantity in read(text):
        assert quantity.number >= 0
        assert text[quantity.start :].strip().startswith(quantity.text[:1])


@given(st.text(alphabet="0123456789.,kKmMbBtTxX× A10H4-bit?howmuch", max_size=80))
def test_no_question_upsets_the_calculator(text):
    try:
        calculate(text)
    except UserError as error:
        assert str(error)
