"""The decoder's contract beyond the self-check: exact zeros, row sums, defaults, rows, determinism."""

import filecmp

import numpy as np
import onnx
import pytest

from vlmscope_export.selfcheck import BundleRunner


@pytest.fixture(scope="module")
def runner(gqa_bundle):
    return BundleRunner(gqa_bundle, threads=1)


@pytest.fixture(scope="module")
def embeds(runner):
    hidden = runner.manifest["text"]["hidden"]
    return np.random.default_rng(3).standard_normal((1, 14, hidden)).astype(np.float32)


def test_rows_sum_to_one_and_the_future_is_zero(runner, embeds):
    out, _ = runner.decode(embeds)
    attention = runner.attention(out)
    assert np.abs(attention.sum(-1) - 1).max() < 2e-3
    assert (attention[..., *np.triu_indices(14, 1)] == 0).all()
    assert (attention[..., *np.tril_indices(14)] > 0).all()


def test_rows_come_in_the_order_asked_for(runner, embeds):
    everything, _ = runner.decode(embeds)
    some, _ = runner.decode(
        embeds, rows=[9, 2, 9], logit_rows=[13, 0], mean_rows=np.array([5]), last_rows=np.array([4, 3])
    )
    assert (runner.attention(some) == runner.attention(everything)[..., [9, 2, 9], :]).all()
    np.testing.assert_allclose(some["logits"], everything["logits"][:, [13, 0]], atol=1e-5)
    mean = runner.attention(everything)[:, :, :, 5].mean(2)
    np.testing.assert_allclose(runner.attention(some, "head_mean")[:, :, 0], mean, rtol=1e-3, atol=1e-6)
    last = runner.manifest["text"]["layers"] - 1
    assert (some["last_layer"] == everything[f"attn_{last}"][:, :, [4, 3]]).all()


def test_no_rows_are_empty_outputs(runner, embeds):
    out, _ = runner.decode(embeds, rows=[], logit_rows=[])
    heads = runner.manifest["text"]["heads"]
    assert out["logits"].shape == (1, 0, runner.manifest["text"]["vocab"])
    assert out["attn_0"].shape == (1, heads, 0, 14)
    assert out["head_mean_0"].shape == (1, 0, 14)
    assert out["last_layer"].shape == (1, heads, 0, 14)


@pytest.mark.parametrize("cached", [0, 9])
def test_neutral_inputs_change_no_bit(runner, embeds, cached):
    text = runner.manifest["text"]
    cache = runner.decode(embeds[:, :cached])[1] if cached else None
    absent, _ = runner.decode(embeds[:, cached:], cache)
    neutral, _ = runner.decode(
        embeds[:, cached:],
        cache,
        head_scale=np.ones((text["layers"], text["heads"]), np.float32),
        knock_layers=np.ones(text["layers"], np.float32),
        knock_query=np.zeros(14 - cached, np.float32),
        knock_key=np.ones(14, np.float32),
    )
    for name, value in absent.items():
        assert np.array_equal(value.view(np.uint8), neutral[name].view(np.uint8)), name


def test_knocked_out_pairs_are_zero_and_the_diagonal_stays(runner, embeds):
    layers = runner.manifest["text"]["layers"]
    query, key = np.zeros(14, np.float32), np.ones(14, np.float32)
    query[[0, 7]] = 1
    only_first = np.eye(layers, dtype=np.float32)[0]
    out, _ = runner.decode(embeds, knock_layers=only_first, knock_query=query, knock_key=key)
    attention = runner.attention(out)
    for row in (0, 7):
        assert (attention[0, :, :, row] == np.eye(14)[row]).all()
        assert row == 0 or (attention[1, :, :, row, :7] > 0).all()


def test_an_ablated_head_no_longer_matters(runner, embeds):
    """With every head of a layer ablated, what its queries and keys are does not reach the logits."""
    text = runner.manifest["text"]
    scale = np.ones((text["layers"], text["heads"]), np.float32)
    scale[-1] = 0
    knock = np.zeros(text["layers"], np.float32)
    knock[-1] = 1
    ones = np.ones(14, np.float32)
    plain, _ = runner.decode(embeds, head_scale=scale)
    knocked, _ = runner.decode(embeds, head_scale=scale, knock_layers=knock, knock_query=ones, knock_key=ones)
    assert np.array_equal(plain["logits"], knocked["logits"])
    assert not np.array_equal(plain["logits"], runner.decode(embeds)[0]["logits"])


def test_attention_leaves_stand_last_the_first_layer_at_the_end(gqa_bundle):
    """ONNX Runtime frees a layer's attention early only in this order."""
    graph = onnx.load(str(gqa_bundle / "decoder.onnx"), load_external_data=False).graph
    attention = [n.output[0] for n in graph.node if n.output[0].startswith("attn_")]
    assert attention == ["attn_2", "attn_1", "attn_0"]
    assert graph.node[-1].output[0] == "attn_0"
    last_other = max(i for i, n in enumerate(graph.node) if n.output[0] == "logits")
    first_leaf = min(
        i
        for i, n in enumerate(graph.node)
        if "_leaf" in n.name or n.output[0].startswith(("attn_", "head_mean_", "last_layer"))
    )
    assert last_other < first_leaf


def test_exports_are_the_same_bytes_twice(checkpoint, gqa_bundle, tmp_path):
    import export

    again = tmp_path / "again"
    assert export.main(["--model", str(checkpoint), "--out", str(again), "--skip-self-check"]) == 0
    names = sorted(p.name for p in gqa_bundle.iterdir())
    assert names == sorted(p.name for p in again.iterdir())
    assert filecmp.cmpfiles(gqa_bundle, again, names, shallow=False)[0] == names
