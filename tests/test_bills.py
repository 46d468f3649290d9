"""Bills by the figures that a question gives."""

import pytest

from tunewise.estimation.bills import bill
from tunewise.estimation.calculator import calculate
from tunewise.estimation.quantities import read
from tunewise.estimation.questions import Topic


@pytest.mark.parametrize(
    ("text", "topic", "value", "unit"),
    [
        ("64 H100 for 21 days at $1.99 an hour, what does that cost?", Topic.RENT, 64 * 21 * 24 * 1.99, "USD"),
        ("150 gpu-days on V100, if AWS is $3.06/h is that really 11k?", Topic.RENT, 150 * 24 * 3.06, "USD"),
        ("8 A100 for two weeks at 1,80 € per hour, what's the bill?", Topic.RENT, 8 * 14 * 24 * 1.8, "EUR"),
        ("how many hours can I afford with $75 on a rented 4090 at 0.34/hr?", Topic.RENT, 75 / 0.34, "hours"),
        (
            "What would half a million tweets cost at 60 tokens each and $2.50 per million tokens?",
            Topic.TOKEN_BILL, 5e5 * 60 / 1e6 * 2.5, "USD",
        ),
        (
            "5,000 requests a day, 1,500 tokens in, 300 tokens out, at $3 and $15 per million tokens, what's the cost?",
            Topic.TOKEN_BILL, 5000 * 30 * (1500 * 3 + 300 * 15) / 1e6, "USD/month",
        ),
        (
            "10k examples of 500 tokens each for 3 epochs at $25 per million tokens, what does it cost?",
            Topic.TOKEN_BILL, 375, "USD",
        ),
        (
            "2,000 requests a day, prompts of 1,500 tokens, $0.60 per million tokens: what will it cost?",
            Topic.TOKEN_BILL, 2000 * 30 * 1500 / 1e6 * 0.6, "USD/month",
        ),
        (
            "Cost of 2M input tokens at $3 and 500k output tokens at $15 per million?", Topic.TOKEN_BILL, 13.5, "USD",
        ),
        ("What do 4M tokens at $3 per million and 1M tokens at $15 cost?", Topic.TOKEN_BILL, 27, "USD"),
        (
            "We pay $1,200 a month; how much is 5,000 calls a day with 1k tokens in and 200 tokens out "
            "at $0.15 and $0.60 per million?", Topic.TOKEN_BILL, 40.5, "USD/month",
        ),
        (
            "We have $500. What do 10,000 requests a day with 1k tokens each cost at $2 per million tokens?",
            Topic.TOKEN_BILL, 600, "USD/month",
        ),
        (
            "8 H100 for 3 days at $2 an hour for one H100; we own no GPU, what do all 8 GPUs cost?",
            Topic.RENT, 1152, "USD",
        ),
        (
            "We have 1,000 users asking 5 questions a day with 2k tokens each; what would it cost at $3 per million?",
            Topic.TOKEN_BILL, 900, "USD/month",
        ),
        (
            "500 users, 10 chats a day each, 1,500 tokens per chat, $0.60 per million: what does it cost?",
            Topic.TOKEN_BILL, 135, "USD/month",
        ),
        (
            "1,000 users, 5 questions per user per day, 2k tokens each, what does it cost at $3 per million tokens?",
            Topic.TOKEN_BILL, 900, "USD/month",
        ),
        (
            "1,000 users make 5,000 requests a day in total, 2k tokens each, what is the cost at $3 per million?",
            Topic.TOKEN_BILL, 900, "USD/month",
        ),
        (
            "5,000 users a day with 1k tokens each at $2 per million tokens, what does it cost?",
            Topic.TOKEN_BILL, 300, "USD/month",
        ),
        ("Labels cost 8 cents apiece, I have 45,000 receipts, what's the total?", Topic.ITEM_BILL, 3600, "USD"),
    ],
)  # fmt: skip
def test_what_is_given_is_multiplied(text, topic, value, unit):
    found = calculate(text)
    assert found is not None and found.topic is topic
    (estimate,) = found.estimates
    assert estimate.low == pytest.approx(value)
    assert estimate.high == pytest.approx(value)
    assert estimate.unit == unit and estimate.formula and found.sentence.endswith(".")


@pytest.mark.parametrize(
    "text",
    [
        "12 agents handle 200 tickets a day with 1,000 tokens each, what does it cost at $3 per million tokens?",
        "12 people send 300 requests a day with 1k tokens each, at $2 per million, what's the bill?",
        "What do 200 users cost a month at 2k tokens each and $3 per million tokens?",
        "We pay $2 an hour for 8 A100 and have three weeks.",
        "How many MI300X do I need for a 405B in fp8 and what does half a day at 3 USD/h cost?",
        "5 annotators for 2 weeks at $25 an hour, what does it cost?",
        "An 8×H100 node at $24 per hour for 3 days, what does it cost?",
        "One A100 8 hours a day for 30 days at $1.5 per hour, what does it cost?",
        "We have 2 months of logs and rent 8 H100 for 3 days at $2 an hour, what's the bill?",
        "10,000 images, 4 annotators at $500 per person, what does it cost?",
        "500k emails at $0.50 per thousand, what is the bill?",
        "20,000 images at $0.04 per image and 5,000 videos at $1 per video, what is the total?",
        "What do 8 H100 at $2 an hour and 2 A100 at $1 an hour for 3 days cost?",
        "What do 8 H100 and 8 A100 for 3 days at $2 an hour cost?",
        "8 H100 for 3 days at $2 an hour, or at $3 an hour, what's the bill?",
        "10M tokens at $3 instead of today's $15 per million, what does it cost?",
        "1k tokens in and 500 tokens out, 1,000 requests a day, at $3 per million in and $15 out, what's the bill?",
        "2M input tokens at $3 and 500k output tokens at €15 per million, what's the bill?",
        "0 H100 for 3 days at $2 an hour, what is the cost?",
        "The bill was 900 dollars, is that much?",
        "An API at $0.60 per million tokens: what would it cost?",
        "",
    ],
)
def test_without_a_question_or_a_figure_there_is_no_bill(text):
    assert bill(text, read(text)) is None
