import pytest

from tunewise import dialogue
from tunewise.dialogue import Route


@pytest.mark.parametrize(
    "text",
    [
        "Wir haben 2000 gelabelte Bilder von Schweißnähten und eine GPU.",
        "Nous voulons transcrire des réunions en breton, 20 heures annotées.",
        "我们有一万张带标注的图片和一块显卡",
        "terse: 5M rows, 60 cols, churn flag. boosting or nn",
        "our bot answers from the handbook and makes things up",
        "A museum wants to sort old letters by hand-writing. Nobody labelled any yet.",
        "What does LoRA change?",
        "can whisper do welsh out of the box",
    ],
)
def test_what_is_about_models_is_let_in(advisor, text):
    assert dialogue.route(text, advisor.on_topic(text)) is not Route.OTHER


@pytest.mark.parametrize(
    "text",
    [
        "Which museum in Vienna is best for children?",
        "How do I clean a coffee machine?",
        "Wer hat Faust geschrieben?",
        "Tell me a bedtime story about a dragon.",
        "what's up",
    ],
)
def test_what_is_about_anything_else_is_not(advisor, text):
    assert dialogue.route(text, advisor.on_topic(text)) is Route.OTHER
