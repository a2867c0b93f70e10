"""A processor small enough to build on the spot, and the random models of the fixtures, so that the tests need no checkpoint."""

import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "onnx"), str(REPOSITORY / "scripts")]

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper + ': ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% elif message['role'] == 'assistant' %}"
    "{%- generation -%}{{ part['text'] + ' ' }}{%- endgeneration -%}{% else %}{{ part['text'] + ' ' }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


@pytest.fixture(scope="session")
def processor_folder(tmp_path_factory):
    """A folder with a LlavaProcessor over a word-level tokenizer of 400 words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import LlavaProcessor, PreTrainedTokenizerFast
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    special = ["<unk>", "<s>", "</s>", "<image>", "<pad>"]
    words = special + ["USER", "ASSISTANT", ":", "?", "What", "is", "this"] + [f"word{i}" for i in range(400)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(),
        tokenizer=fast,
        patch_size=14,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
    )
    folder = tmp_path_factory.mktemp("processor")
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint(processor_folder, tmp_path_factory):
    """A whole folder as save_pretrained leaves it: the small GQA model and its processor."""
    from fixtures.models import gqa

    model, processor = gqa(processor_folder)
    folder = tmp_path_factory.mktemp("models") / "small-gqa"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gqa_bundle(checkpoint, tmp_path_factory):
    import export

    out = tmp_path_factory.mktemp("bundles") / "gqa"
    assert export.main(["--model", str(checkpoint), "--out", str(out)]) == 0
    return out
