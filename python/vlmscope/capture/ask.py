"""`capture`: from pictures and a question to a trace."""

from __future__ import annotations

import inspect
import time

import torch

from ..errors import CaptureError
from ..families import family_of
from ..relevancy import add_relevancy, check_kinds
from ..trace import Trace
from .arguments import call_of, check_generate_options, check_parts, check_prompt, check_sampling, check_videos
from .media import frame_sampler, load_picture, load_video
from .refuse import check_generation, check_inputs
from .session import Context, Options, Recording


def start_recording(model, processor, *, images, videos, question, processor_options, **options) -> Recording:
    """See `vlmscope.recording`."""
    check_parts(model, processor)
    check_videos(family_of(model), model, videos is not None and len(_listed(videos)))
    if not isinstance(question, str):
        raise CaptureError(f"question= is a text, not {type(question).__name__}.")
    pictures = None if images is None else [load_picture(image) for image in _listed(images)]
    given = processor_options or {}
    films = None if videos is None else [load_video(video, frame_sampler(processor, given)) for video in _listed(videos)]
    call = {"is_recorded": True} | call_of(None, None, given, {})
    context = Context(
        question=question, pictures=pictures, videos=films, processor_options=given, provenance={"call": call}, is_recorded=True
    )
    return Recording(model, processor, Options(**options), context)


def capture(
    model,
    processor,
    *,
    images,
    videos,
    question,
    prompt,
    messages,
    answer,
    rows,
    vision,
    head_mean,
    last_layer,
    max_new_tokens,
    temperature,
    top_p,
    seed,
    topk,
    relevancy,
    blank,
    check,
    progress,
    processor_options,
    generate_options,
) -> Trace:
    """See `vlmscope.capture`."""
    check_parts(model, processor)
    check_prompt(question, prompt, messages, answer)
    check_sampling(max_new_tokens, temperature, top_p, seed, topk)
    check_generate_options(generate_options)
    check_generation(model, generate_options)
    relevancy = tuple(_listed(relevancy))
    check_kinds(relevancy)
    family = family_of(model)
    check_videos(family, model, len(_listed(videos)))
    call = call_of(prompt, messages, processor_options or {}, generate_options)
    started = time.perf_counter()
    pictures = [load_picture(image) for image in _listed(images)]
    given = processor_options or {}
    films = [load_video(video, frame_sampler(processor, given)) for video in _listed(videos)]
    if blank:
        if not pictures and not films:
            raise CaptureError("blank=True needs a picture or a video to blank.")
        pictures, films = [picture.blank() for picture in pictures], [film.blank() for film in films]
    messages, text = _text(family, processor, question, prompt, messages, pictures, films)
    inputs = _inputs(model, processor, text, pictures, films, given)
    check_inputs(inputs)
    sampling = {
        "temperature": float(temperature),
        "top_p": float(top_p),
        "max_new_tokens": int(max_new_tokens),
        "seed": int(seed),
        "forced": answer is not None,
    }
    context = Context(
        provenance=_position_check(model, processor, check, progress) | {"call": call} | ({"request": {"is_altered": True}} if blank else {}),
        question=question if question is not None else _last_question(prompt, messages),
        text=text,
        messages=messages,
        pictures=pictures,
        videos=films,
        processor_options=given,
        sampling=sampling,
        timings={"preprocess": time.perf_counter() - started},
    )
    options = Options(rows, vision, head_mean, last_layer, topk, progress)
    with Recording(model, processor, options, context) as rec, torch.no_grad():
        if answer is not None:
            _score(rec, family, inputs, text, answer)
        else:
            torch.manual_seed(int(seed))
            _generate(rec.model, {**inputs, **_generation(sampling), **generate_options})
    trace = rec.trace
    if relevancy:
        add_relevancy(model, rec, inputs, trace, relevancy, progress)
    return trace


def _position_check(model, processor, check, progress) -> dict:
    from ..check import store
    from ..check.painting import Report, run

    if check is False:
        return {}
    if check is True:
        check = run(model, processor, progress=progress)
        store.save(model, processor, check)
    if check is not None and not isinstance(check, Report):
        raise CaptureError(f"check= is True, False, None or a Report of vlmscope.check, not {type(check).__name__}.")
    found = store.load(model, processor) if check is None else check.to_json()
    return {} if found is None else {"position_check": found}


def _listed(given) -> list:
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _generate(model, arguments: dict) -> None:
    try:
        model.generate(**arguments)
    except (ValueError, TypeError, ImportError, NotImplementedError) as error:
        raise CaptureError(f"{type(model).__name__} could not generate with these options: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _generation(sampling: dict) -> dict:
    greedy = sampling["temperature"] <= 0.001
    options = {"max_new_tokens": sampling["max_new_tokens"], "do_sample": not greedy}
    if greedy:
        # A model's own sampling defaults would only cause warnings.
        return {**options, "temperature": None, "top_p": None, "top_k": None}
    return {**options, "temperature": sampling["temperature"], "top_p": sampling["top_p"]}


def _text(family, processor, question, prompt, messages, pictures, videos):
    """Messages (None for a whole prompt) and the prompt's text."""
    if prompt is not None:
        return None, prompt
    if messages is None:
        content = [{"type": "image"} for _ in pictures] + [{"type": "video"} for _ in videos]
        messages = [{"role": "user", "content": [*content, {"type": "text", "text": question}]}]
    template = getattr(processor, "chat_template", None) or getattr(processor.tokenizer, "chat_template", None)
    if template is None:
        if question is None:
            raise CaptureError(f"{type(processor).__name__} has no chat template; give the whole prompt with prompt=.")
        return None, family.prompt(processor, question, len(pictures), len(videos))
    try:
        return messages, processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    except Exception as error:  # templates raise what they like
        raise CaptureError(f"the chat template of {type(processor).__name__} refused the messages: {_first_line(error)}") from error


def _inputs(model, processor, text: str, pictures, videos, options: dict) -> dict:
    arguments = {"text": [text], "return_tensors": "pt", **options}
    if pictures:
        arguments["images"] = [[picture.image for picture in pictures]]
    if videos:
        arguments["videos"] = [video.source for video in videos]
        metadata = [video.metadata for video in videos]
        if all(one is not None for one in metadata):
            arguments["video_metadata"] = metadata
            arguments.setdefault("do_sample_frames", False)
    bos = getattr(processor.tokenizer, "bos_token", None)
    if bos and text.startswith(bos):
        arguments["add_special_tokens"] = False  # the template wrote it
    try:
        found = processor(**arguments)
    except Exception as error:  # processors raise what they like
        raise CaptureError(f"{type(processor).__name__} refused the pictures, the text or the options: {error}") from error
    found = found.to(model.device)
    dtype = model.dtype
    return {
        name: value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for name, value in found.items()
        if name != "labels"  # PaliGemma's processor adds them; nobody trains here
    }


def _score(rec: Recording, family, inputs: dict, text: str, answer: str) -> None:
    """One forward pass over the prompt and all ids of the answer but the last."""
    prompt_len = inputs["input_ids"].shape[1]
    ids = answer_ids(rec.processor.tokenizer, text, answer)
    stop = _stop_id(rec.model)
    if stop is not None and (not ids or ids[-1] != stop):
        ids = [*ids, stop]
    if not ids:
        raise CaptureError("the answer is empty.")
    whole = family.extend(inputs, ids[:-1], rec.model)
    rec.begin(whole, prompt_len)
    rec._generating = True  # ids are known: nothing is to be read from the passes
    try:
        rec._run.take_all(ids)
        keep = {"logits_to_keep": len(ids)} if "logits_to_keep" in inspect.signature(rec.model.forward).parameters else {}
        rec.model(**whole, use_cache=True, **keep)
    finally:
        rec._generating = False
    rec.end(ids)


def _stop_id(model) -> int | None:
    stop = getattr(model.generation_config, "eos_token_id", None)
    return stop[0] if isinstance(stop, (list, tuple)) else stop


def answer_ids(tokenizer, text: str, answer: str) -> list[int]:
    """The ids of an answer as the model would have generated them behind the prompt's text."""
    def encode(whole: str) -> list[int]:
        return tokenizer(whole, add_special_tokens=False)["input_ids"]

    before = encode(text)
    for space in ([""] if not text or text[-1].isspace() else [" ", ""]):
        whole = encode(text + space + answer)
        if whole[: len(before)] == before:
            return whole[len(before) :]
    return encode(answer)


def _last_question(prompt: str | None, messages: list | None) -> str:
    if prompt is not None:
        return prompt
    from .tokens import _text_of

    spoken = [_text_of(message) for message in messages if message.get("role") == "user"]
    return spoken[-1] if spoken else ""
