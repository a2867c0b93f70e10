#!/usr/bin/env python3
"""Questions per second of a batch with a table, against `vlmscope ask` in a loop and against transformers with eager attention.

    python benches/python/batch.py --program target/release/vlmscope --scenes FOLDER \\
        [--model BUNDLE] [--checkpoint onnx/tiny/checkpoint] > batch.json

FOLDER has q.jsonl and its pictures, as scripts/score_tables.py writes them. All three answer the same questions with the same model on all
cores, and know share, entropy and focus of every head at every answer token in the end: vlmscope in a table, transformers as arrays in
memory. Rounds are interleaved so that a busy machine hits all alike; medians over the rounds. The costs of a question are those of a run
with all questions less those of a run with one; CPU time is user and system time of the process and its children.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
NEW_TOKENS = 48


def head_numbers(attentions, patches, layers: int, heads: int):
    """Share, entropy and focus of every head at every answer token: [tokens, layers, heads] each."""
    import torch

    rows = torch.stack([torch.stack([layer[0, :, -1, patches] for layer in step]) for step in attentions])
    share = rows.sum(-1)
    scaled = rows / share.clamp_min(1e-12)[..., None]
    entropy = torch.special.entr(scaled).sum(-1)
    focus = share * (1 - entropy / torch.log(torch.tensor(float(rows.shape[-1]))))
    assert share.shape[1:] == (layers, heads)
    return share, entropy, focus


def transformers_answers(checkpoint: Path, folder: Path, count: int) -> dict:
    """Answers of transformers' eager `generate` with the numbers of every head."""
    import torch
    from PIL import Image
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    processor = AutoProcessor.from_pretrained(checkpoint)
    model = LlavaForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    layers, heads = model.config.text_config.num_hidden_layers, model.config.text_config.num_attention_heads
    answers, kept = [], []
    for line in (folder / "q.jsonl").read_text().splitlines()[:count]:
        row = json.loads(line)
        with Image.open(folder / row["picture"]) as picture:
            content = [{"type": "image"}, {"type": "text", "text": row["question"]}]
            text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
            inputs = processor(images=picture.convert("RGB"), text=text, return_tensors="pt")
        with torch.no_grad():
            out = model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False, return_dict_in_generate=True, output_attentions=True)
        ids = inputs["input_ids"][0]
        patches = (ids == model.config.image_token_id).nonzero()[:, 0]
        kept.append(head_numbers(out.attentions, patches, layers, heads))
        answers.append(processor.tokenizer.decode(out.sequences[0][len(ids) :], skip_special_tokens=True).strip())
    return {"answers": answers}


def timed(work: Callable[[int], None], count: int) -> dict:
    """The costs of `count` questions."""

    def children() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before, started = children(), time.monotonic()
    work(count)
    return {"wall_s": time.monotonic() - started, "cpu_s": children() - before}


def run(*command: str | Path, folder: Path) -> str:
    # On a busy machine, torch's threads would otherwise spend most of their time waiting for each other.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr}")
    return done.stdout


def first_lines(folder: Path, work: Path, count: int) -> Path:
    """The first questions with the pictures' own paths."""
    rows = [json.loads(line) for line in (folder / "q.jsonl").read_text().splitlines()[:count]]
    path = work / f"q{count}.jsonl"
    path.write_text("\n".join(json.dumps(row | {"picture": str(folder / row["picture"])}) for row in rows))
    return path


class Contest:
    """The three ways to answer the first `count` questions, in a working folder."""

    def __init__(self, args: argparse.Namespace, folder: Path, work: Path) -> None:
        self.args, self.folder, self.work = args, folder, work
        self.program = args.program.resolve()
        self.model = ["--model", args.model.resolve()] if args.model else []
        self.answers: dict[str, list[str]] = {}

    def batch(self, count: int) -> None:
        questions = first_lines(self.folder, self.work, count)
        for old in [*self.work.glob("t*.parquet"), *self.work.glob("t*.parts/*")]:
            old.unlink()
        command = [self.program, "ask", "--batch", questions, "--table", "t.parquet", "--json", *self.model]
        lines = run(*command, folder=self.work)
        self.answers["batch"] = [json.loads(line)["answer"] for line in lines.splitlines()]

    def loop(self, count: int) -> None:
        for line in first_lines(self.folder, self.work, count).read_text().splitlines():
            row = json.loads(line)
            ask = [self.program, "ask", row["picture"], row["question"], "--out", "one.vlmtrace", "--no-overlay"]
            run(*ask, *self.model, folder=self.work)

    def transformers(self, count: int) -> None:
        options = ["--program", self.program, "--scenes", self.folder, "--checkpoint", self.args.checkpoint.resolve()]
        said = run(sys.executable, __file__, *options, "--child", str(count), folder=self.work)
        self.answers["transformers"] = json.loads(said.splitlines()[-1])["answers"]

    def same_answers(self) -> int:
        plain = {
            kind: [re.sub(r"\s+", " ", answer).strip() for answer in of] for kind, of in self.answers.items()
        }
        return sum(a == b for a, b in zip(plain["batch"], plain.get("transformers", []), strict=False))


def measure(contest: Contest, args: argparse.Namespace) -> dict[str, dict]:
    """Medians over the rounds of what a question costs, and of the first one with the start."""
    kinds = {"batch": (contest.batch, args.questions), "loop": (contest.loop, args.looped)}
    if args.checkpoint:
        kinds["transformers"] = (contest.transformers, args.questions)
    rounds: dict[str, list[dict]] = {kind: [] for kind in kinds}
    for _ in range(args.rounds):
        for kind, (answer, count) in kinds.items():
            one, all_of_them = timed(answer, 1), timed(answer, count)
            of_one = {f"question_{key}": (all_of_them[key] - one[key]) / (count - 1) for key in one}
            rounds[kind].append(of_one | {f"first_{key}": one[key] for key in one})
    results = {kind: {key: statistics.median(one[key] for one in of) for key in of[0]} for kind, of in rounds.items()}
    for result in results.values():
        result["questions_per_s"] = 1 / result["question_wall_s"]
        for key in ("cpu_s", "wall_s"):
            result[f"{key}_of_batch"] = result[f"question_{key}"] / results["batch"][f"question_{key}"]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="bundle [default: the built-in model]")
    parser.add_argument("--checkpoint", type=Path, help="the same model for transformers [default: it is not measured]")
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--looped", type=int, default=20, help="questions of the loop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = args.scenes.resolve()
    if args.child is not None:
        print(json.dumps(transformers_answers(args.checkpoint, folder, args.child)))
        return
    with tempfile.TemporaryDirectory() as work:
        contest = Contest(args, folder, Path(work))
        results = measure(contest, args)
    same = contest.same_answers()
    print(json.dumps({"cores": os.cpu_count(), "questions": args.questions, "same_answers": same, "results": results}, indent=1))


if __name__ == "__main__":
    main()
