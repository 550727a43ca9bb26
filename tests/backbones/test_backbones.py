"""The contract that every family keeps, and what loading refuses."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core import backbones
from core.backbones import Backbone, family_of, load_backbone
from core.backbones.base import Template
from core.backbones.batches import Encoded
from core.backbones.fresh import save_backbone
from core.base.errors import BadInput
from core.lab.lab import Lab
from core.lab.workers import ThreadWorker
from tests.conftest import TINY, random_vectors
from tests.lab.test_workers import ended

TEXTS = ["the film was bad.", "we", "a warm and very cold meal was not dull but fine and good."]
SPELT = ["</s>", "<s>", "<pad>", "<unk>", "<mask>", "<extra_id_0>", "[SEP]", "[MASK]"]
LONG = "the film was very good and we ate a warm meal but " * 40
WORDS = torch.tensor([5, 40, 7])


@pytest.fixture(scope="module")
def backbone(tiny_folder: Path) -> Backbone:
    return load_backbone(tiny_folder, precision="fp64")


@pytest.fixture(scope="module")
def roberta(tiny_roberta: Path) -> Backbone:
    return load_backbone(tiny_roberta, precision="fp64")


def end(b: Backbone) -> int:
    """The token that ends a text."""
    return int(b.tokenizer.sep_token_id if b.family == "bert" else b.tokenizer.eos_token_id)


@torch.no_grad()
def answer(b: Backbone, vectors: Tensor, rows: list[list[int]], width: int = 0) -> Tensor:
    """Logits of WORDS for some encoded texts, padded at least to `width`."""
    width = max([width, *map(len, rows)])
    ids = torch.tensor([r + [b.pad_id] * (width - len(r)) for r in rows])
    mask = torch.tensor([[True] * len(r) + [False] * (width - len(r)) for r in rows])
    return b.logits(b.answer_state(vectors.to(b.dtype), ids, mask), WORDS)


@torch.no_grad()
def stock(b: Backbone, vectors: Tensor, row: list[int]) -> Tensor:
    """All logits of the plain Hugging Face model on the same input, by its own forward."""
    text = b.word_vectors()[torch.tensor([row])]
    prompt = vectors.to(b.dtype)[None]
    if b.family == "t5":
        start = torch.tensor([[b.model.config.decoder_start_token_id]])
        joined = torch.cat([prompt, text], dim=1)
        return b.model(inputs_embeds=joined, decoder_input_ids=start).logits[0, 0]
    slot = b.word_vectors()[b.tokenizer.mask_token_id][None, None]
    prefix = torch.cat([slot, prompt], dim=1)
    count = prefix.shape[1]
    first = {"roberta": 2, "bert": 0}[b.family]
    embeddings = b.model.base_model.embeddings
    own = embeddings.position_embeddings.weight[first : first + count]
    joined = torch.cat([prefix - own, text], dim=1)
    positions = torch.arange(first, first + joined.shape[1])[None]
    seps, segments = 0, [0] * count
    for token in row:
        segments.append(int(b.family == "bert" and seps == 1))
        seps += token == b.tokenizer.sep_token_id
    return b.model(
        inputs_embeds=joined, position_ids=positions, token_type_ids=torch.tensor([segments])
    ).logits[0, 0]


def test_logits_of_words_are_the_stock_models(backbone: Backbone) -> None:
    vectors = random_vectors(backbone, 4)
    for row in [backbone.encode(t) for t in TEXTS] + [backbone.encode(*TEXTS[:2])]:
        ours = answer(backbone, vectors, [row])[0]
        assert torch.allclose(ours, stock(backbone, vectors, row)[WORDS], atol=1e-12)


def test_double_precision_is_double_everywhere(backbone: Backbone) -> None:
    """A step somewhere in single precision would drown so small a change in its rounding."""
    vectors, row = random_vectors(backbone, 4).double(), backbone.encode(TEXTS[2])
    turn = random_vectors(backbone, 4, seed=1).double()

    def slope(h: float) -> Tensor:
        ends = [answer(backbone, vectors + side * h * turn, [row])[0] for side in (1, -1)]
        return (ends[0] - ends[1]) / (2 * h)

    assert torch.allclose(slope(1e-6), slope(1e-4), rtol=1e-3, atol=1e-6)


def test_double_precision_agrees_with_the_weights_as_they_come(tiny_folder: Path) -> None:
    single, double = (load_backbone(tiny_folder, precision=p) for p in ("fp32", "fp64"))
    vectors, row = random_vectors(single, 4), single.encode(TEXTS[0])
    assert torch.allclose(
        answer(double, vectors, [row]).float(), answer(single, vectors, [row]), atol=1e-4
    )


def test_logits_of_a_slice_are_all_logits(backbone: Backbone) -> None:
    state = torch.randn(2, backbone.hidden_size, dtype=torch.float64)
    everything = backbone.logits(state, slice(None))
    assert everything.shape == (2, len(backbone.word_vectors()))
    assert torch.allclose(everything[:, WORDS], backbone.logits(state, WORDS), atol=1e-14)


def test_batch_composition_and_padding_change_nothing(backbone: Backbone) -> None:
    vectors, rows = random_vectors(backbone, 4), [backbone.encode(t) for t in TEXTS]
    together = answer(backbone, vectors, rows)
    for i, row in enumerate(rows):
        assert torch.allclose(answer(backbone, vectors, [row])[0], together[i], atol=1e-12)
        assert torch.allclose(answer(backbone, vectors, [row], 50)[0], together[i], atol=1e-12)
    turned = answer(backbone, vectors, rows[::-1])
    assert torch.allclose(turned.flip(0), together, atol=1e-12)


def test_by_length_gives_each_row_once(backbone: Backbone) -> None:
    rows = Encoded(ids=[backbone.encode(t) for t in TEXTS * 5], labels=[0, 1, 0] * 5)
    batches = list(rows.by_length(backbone, 4))
    assert sorted(r for b in batches for r in b.rows) == list(range(15))
    for batch in batches:
        for ids, mask, row in zip(batch.ids, batch.mask, batch.rows, strict=True):
            assert ids[mask].tolist() == rows.ids[row]


def test_one_prompt_per_example_is_possible(backbone: Backbone) -> None:
    rows = [backbone.encode(t) for t in TEXTS]
    each = torch.stack([random_vectors(backbone, 4, seed=i) for i in range(3)])
    together = answer(backbone, each, rows)
    for i, row in enumerate(rows):
        assert torch.allclose(answer(backbone, each[i], [row])[0], together[i], atol=1e-12)


def test_the_prompt_matters(backbone: Backbone) -> None:
    row = backbone.encode(TEXTS[0])
    one, other = (answer(backbone, random_vectors(backbone, 4, s), [row]) for s in (0, 1))
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("spelt", SPELT)
def test_special_tokens_in_a_text_are_plain_characters(backbone: Backbone, spelt: str) -> None:
    ids = backbone.encode(f"the{spelt}film {spelt}", f"{spelt} was bad")
    frame = backbone.encode("the film", "was bad")
    special = set(backbone.tokenizer.all_special_ids) - {backbone.tokenizer.unk_token_id}
    assert [i for i in ids if i in special] == [i for i in frame if i in special]


def test_special_tokens_in_a_template_are_special(backbone: Backbone) -> None:
    mark = backbone.tokenizer.convert_ids_to_tokens(end(backbone))
    template = Template(single=f"{mark}{{a}}{mark}", pair=f"{{a}}{mark}{{b}}")
    ids = backbone.encode("film", template=template)
    assert ids.count(end(backbone)) == 2


def test_braces_in_a_text_are_no_fields(backbone: Backbone) -> None:
    plain = backbone.token_ids("{b} {a}")
    ids = backbone.encode("{b} {a}", "film")
    assert any(ids[i : i + len(plain)] == plain for i in range(len(ids)))


@pytest.mark.parametrize("layout", ["mask_first", "published"])
@pytest.mark.parametrize("pair", [None, "a book"], ids=["single", "pair"])
def test_layout_shows_what_encode_gives(backbone: Backbone, pair: str | None, layout: str) -> None:
    slots = backbone.layout(5, "the film", pair, layout=layout)
    prefix = backbone.prefix_length(5, layout)
    ids = backbone.encode("the film", pair)
    assert [s.position for s in slots] == list(range(prefix + len(ids)))
    assert backbone.tokenizer.convert_tokens_to_ids([s.token for s in slots[prefix:]]) == ids
    assert {s.kind for s in slots[:prefix]} <= {"mask", "prompt"}
    kinds = {"special", "text_a"} | ({"text_b"} if pair else set())
    assert {s.kind for s in slots[prefix:]} == kinds


@pytest.mark.parametrize("layout", ["mask_first", "published"])
def test_roberta_position_ids_are_those_the_model_gets(roberta: Backbone, layout: str) -> None:
    slots = roberta.layout(5, "the film", layout=layout)
    prefix = roberta.prefix_length(5, layout)
    assert [s.position_id for s in slots[:prefix]] == [None] * prefix
    assert slots[prefix].token == "<s>"
    assert slots[prefix].position_id == prefix + 2
    seen: list[Tensor] = []
    table = roberta.model.roberta.embeddings.position_embeddings
    handle = table.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    ids = torch.tensor([roberta.encode("the film")])
    vectors = random_vectors(roberta, 5).double()
    roberta.answer_state(vectors, ids, torch.ones_like(ids).bool(), layout)
    handle.remove()
    assert seen[0][0, prefix:].tolist() == [s.position_id for s in slots[prefix:]]


def test_t5_has_no_position_ids(backbone: Backbone) -> None:
    shown = {s.position_id is None for s in backbone.layout(3, "the film")}
    assert shown == ({True} if backbone.family == "t5" else {True, False})


def test_published_layout_ignores_the_dead_row(backbone: Backbone) -> None:
    ids = torch.tensor([backbone.encode(TEXTS[0])])
    vectors = random_vectors(backbone, 5).double()
    other = vectors.clone()
    other[0] += 1
    mask = torch.ones_like(ids).bool()
    a, b = (backbone.answer_state(v, ids, mask, "published") for v in (vectors, other))
    assert torch.equal(a, b) == (backbone.family != "t5")


def test_published_layout_is_the_own_layout_without_row_0(roberta: Backbone) -> None:
    ids = torch.tensor([roberta.encode(TEXTS[0])])
    vectors, mask = random_vectors(roberta, 5).double(), torch.ones_like(ids).bool()
    published = roberta.answer_state(vectors, ids, mask, "published")
    assert torch.equal(published, roberta.answer_state(vectors[1:], ids, mask))


def test_long_texts_are_cut_and_keep_their_last_id(backbone: Backbone) -> None:
    whole = backbone.encode(LONG, max_length=10_000)
    cut = backbone.encode(LONG, max_length=32)
    assert len(whole) > len(cut) == 32
    assert cut == [*whole[:31], whole[-1]]
    assert cut[-1] == end(backbone)


def test_a_text_that_just_fits_is_left_whole(backbone: Backbone) -> None:
    whole = backbone.encode(TEXTS[2])
    assert backbone.encode(TEXTS[2], max_length=len(whole)) == whole


def test_loaded_weights_are_frozen_and_in_the_asked_precision(tiny_folder: Path) -> None:
    for precision, dtype in (("fp32", torch.float32), ("fp64", torch.float64)):
        loaded = load_backbone(tiny_folder, precision=precision)
        assert loaded.dtype == dtype
        assert not loaded.model.training
        assert not any(p.requires_grad for p in loaded.model.parameters())


def test_threads_that_load_at_once_get_the_same_backbone(tiny_folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(load_backbone, [tiny_folder] * 4))
    expected = load_backbone(tiny_folder).model.state_dict()
    for backbone in loaded:
        for name, weight in backbone.model.state_dict().items():
            assert torch.equal(weight, expected[name])


# --- what loading refuses ------------------------------------------------------------------------
def refused(folder: Path) -> str:
    with pytest.raises(BadInput) as error:
        load_backbone(folder)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    assert "config.json" in refused(tmp_path)
    assert "config.json" in refused(tmp_path / "nowhere")


def test_another_family_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    said = refused(tmp_path)
    assert "gpt2" in said
    assert "bert, roberta, t5" in said


@pytest.mark.parametrize("content", ["{", "[1]", "", "\x00"])
def test_a_broken_config_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert "JSON" in refused(tmp_path)


@pytest.mark.parametrize("gone", ["model.safetensors", "tokenizer.json"])
def test_a_missing_part_is_refused(tiny_folder: Path, tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "part"
    shutil.copytree(tiny_folder, folder)
    (folder / gone).unlink()
    refused(folder)


@pytest.mark.parametrize("broken", ["model.safetensors", "tokenizer.json"])
def test_a_broken_part_is_refused(tiny_folder: Path, tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny_folder, folder)
    (folder / broken).write_bytes(b"not what it says")
    refused(folder)


def test_family_is_read_from_the_config(tiny_folder: Path) -> None:
    assert family_of(tiny_folder) == tiny_folder.name.split("-")[1]


# --- settings that no model can have, and settings that must be without effect -------------------
def edited(folder: Path, to: Path, **changes: object) -> Path:
    """A copy whose config.json says something else; None takes an entry out."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    config = {k: v for k, v in {**config, **changes}.items() if v is not None}
    (to / "config.json").write_text(json.dumps(config))
    return to


@pytest.mark.parametrize("value", ["many", 0, -1, 2.5, True, [3], 10**9, None])
def test_sizes_that_are_no_whole_numbers_are_refused_before_loading(
    tiny_folder: Path, tmp_path: Path, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    t5 = family_of(tiny_folder) == "t5"
    name = "num_layers" if t5 else "num_hidden_layers"
    folder = edited(tiny_folder, tmp_path / "m", **{name: value})
    monkeypatch.setattr(backbones, "_check_memory", None)  # nothing later may be reached
    said = re.escape(f"says {name} = {json.dumps(value)}; it must be a whole number from 1 to")
    for use in (load_backbone, backbones.describe):
        with pytest.raises(BadInput, match=said):
            use(folder)


@pytest.mark.parametrize("name", ["num_attention_heads", "vocab_size", "intermediate_size"])
def test_other_sizes_are_checked_as_well(tiny_roberta: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=f"says {name} = 0;"):
        load_backbone(edited(tiny_roberta, tmp_path / "m", **{name: 0}))


def test_a_refused_model_is_not_remembered(lab: Lab, tiny_roberta: Path, tmp_path: Path) -> None:
    folder = edited(tiny_roberta, tmp_path / "m", num_hidden_layers="many")
    with pytest.raises(BadInput, match="num_hidden_layers"):
        lab.models.obtain(str(folder))
    assert lab.store.backbones() == ()


@pytest.mark.parametrize(
    "entry",
    ["_attn_implementation", "attn_implementation", "_experts_implementation",
     "experts_implementation", "_attn_implementation_internal", "transformers_weights"],
)  # fmt: skip
def test_a_config_cannot_choose_what_transformers_loads(
    tiny_folder: Path, tmp_path: Path, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With such an entry, a kernel of anybody's repository would be fetched and run."""
    monkeypatch.setattr(
        "transformers.modeling_utils.lazy_import_flash_attention",
        lambda *_, **__: pytest.fail("the kernels loader was reached"),
    )
    usual = load_backbone(tiny_folder)
    odd = load_backbone(edited(tiny_folder, tmp_path / "m", **{entry: "someone/kernel"}))
    assert odd.model.config._attn_implementation == "sdpa"
    said, without = odd.model.config.to_dict(), usual.model.config.to_dict()
    assert {**said, "_name_or_path": ""} == {**without, "_name_or_path": ""}
    for name, weight in usual.model.state_dict().items():
        assert torch.equal(weight, odd.model.state_dict()[name])


def test_quantised_weights_are_refused(tiny_roberta: Path, tmp_path: Path) -> None:
    how = {"quant_method": "fp8"}
    with pytest.raises(BadInput, match="quantised weights"):
        load_backbone(edited(tiny_roberta, tmp_path / "m", quantization_config=how))


@pytest.mark.parametrize("content", ["[1]", "3", '{"model_type": ["t5"]}', "[" * 100_000])
def test_a_config_that_is_no_object_is_one_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(BadInput, match=r"not valid JSON|of type"):
        family_of(tmp_path)


# --- a tokenizer that panics ---------------------------------------------------------------------
def panicking(folder: Path, to: Path, charsmap: str) -> Path:
    """A copy of a T5 folder whose tokenizer panics in Rust: when read, or at the first text."""
    shutil.copytree(folder, to)
    tokenizer = json.loads((to / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    (to / "tokenizer.json").write_text(json.dumps(tokenizer))
    return to


READ, TEXT = "/////w==", "BAAAAP////8="


@pytest.fixture(scope="module")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-t5"
    save_backbone(TINY["t5"](), folder)
    return folder


def test_a_tokenizer_that_panics_when_read_is_one_sentence(tiny_t5: Path, tmp_path: Path) -> None:
    folder = panicking(tiny_t5, tmp_path / "m", READ)
    with pytest.raises(BadInput, match=r"cannot be loaded: .*charsmap"):
        load_backbone(folder)
    with pytest.raises(BadInput, match=r"The tokenizer in .* cannot be used: .*charsmap"):
        backbones.pieces(folder, ["good"])


def test_a_tokenizer_that_panics_at_a_text_is_one_sentence(tiny_t5: Path, tmp_path: Path) -> None:
    folder = panicking(tiny_t5, tmp_path / "m", TEXT)
    with pytest.raises(BadInput, match=r"cannot be used: .*index out of bounds"):
        backbones.pieces(folder, ["good"])
    backbone = load_backbone(folder, name="odd")
    with pytest.raises(BadInput, match="The tokenizer of odd broke: index out of bounds"):
        backbone.encode("we ate")


def test_both_workers_go_on_after_panics(tiny_t5: Path, tmp_path: Path) -> None:
    folder = panicking(tiny_t5, tmp_path / "m", READ)
    worker, names = ThreadWorker(threads=1), ("a", "b", "c")
    for name in names:
        worker.submit(name, lambda progress: load_backbone(folder) and None)
    worker.submit("last", lambda progress: None)
    assert ended(worker, "last").state == "done"
    for name in names:
        assert (ended(worker, name).state, "charsmap" in ended(worker, name).error) == (
            "failed", True,
        )  # fmt: skip
