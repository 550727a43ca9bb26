"""Released prompts: recognised by their paths, read as tensors only, refused with a reason."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file
from transformers import AutoModelForSeq2SeqLM

from core.backbones import load_backbone, shape
from core.backbones.fresh import fresh_roberta, fresh_t5, save_backbone, train_bpe, train_unigram
from core.base.errors import BadInput
from core.base.prompts import SoftPrompt
from core.base.settings import ROOT, Settings
from core.base.specs import Pinned, dumps, key, loads, to_dict
from core.exchange import published, sharing
from core.exchange.published import Claim, import_folder, recognise
from core.exchange.sharing import read_prompt
from core.lab.lab import Lab, open_store
from core.measures.prompts import ImportedPrompt
from core.measures.tuning import TuneSpec
from tests.conftest import corpus, random_vectors

pytestmark = pytest.mark.slow

PROMPTS = ROOT.parent / "shared" / "published" / "prompts"
needs_prompts = pytest.mark.skipif(not PROMPTS.is_dir(), reason="no released prompts here")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Backbones as wide as the base models, and small otherwise: released model -> folder."""
    folder = tmp_path_factory.mktemp("wide")
    roberta = fresh_roberta(
        train_bpe(corpus(), 400), seed=1, hidden_size=768, num_hidden_layers=1,
        num_attention_heads=12, intermediate_size=16, max_position_embeddings=300,
    )  # fmt: skip
    t5 = fresh_t5(
        train_unigram(corpus(), 200), seed=1, d_model=768, d_kv=16, d_ff=16, num_layers=1,
        num_decoder_layers=1, num_heads=2,
    )  # fmt: skip
    save_backbone(roberta, folder / "roberta")
    save_backbone(t5, folder / "t5")
    return {"Roberta": str(folder / "roberta"), "T5": str(folder / "t5")}


def write(folder: Path, place: str, value: object) -> Path:
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)
    return path


# --- what a path says ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "claim"),
    [
        ("p/seed_33/SST2PromptRoberta/task_prompt", Claim(task="sst2", model="Roberta", seed=33)),
        ("seed_33/MNLIPromptT5/task_prompt", Claim(task="mnli_binary", model="T5", seed=33)),
        ("seed_su/MNLIPromptT5/task_prompt", Claim(task="mnli", model="T5", seed=0)),
        ("seed_su/IMDBPromptT5/task_prompt", Claim(task="imdb", model="T5", seed=0)),
        ("movierationalesPromptT5Small/latest.pt",
         Claim(task="movie_rationales", model="T5Small", seed=0)),
        ("seed_36/ethicsjusticePromptRobertaLarge/72_task_prompt.pkl",
         Claim(task="ethics_justice", model="RobertaLarge", seed=36)),
        ("nq_openPromptT5/task_prompt", Claim(task="nq_open", model="T5", seed=0)),
    ],
)  # fmt: skip
def test_a_path_says_task_model_and_seed(path: str, claim: Claim) -> None:
    assert recognise(Path(path)) == claim


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("somewhere/task_prompt", "<Task>Prompt<Model>"),
        ("IMDBPromptRoberta_proj/task_prompt", "'_proj'"),
        ("IMDBPromptGPT/task_prompt", "'GPT'"),
    ],
)
def test_what_a_path_does_not_say_has_a_reason(path: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        recognise(Path(path))


# --- the released files --------------------------------------------------------------------------
@needs_prompts
def test_all_released_prompts_are_imported(lab: Lab, wide: dict[str, str]) -> None:
    outcomes = import_folder(lab, PROMPTS, wide)
    assert [o.why for o in outcomes if o.why] == []
    assert len(outcomes) == 49, "48 prompts and one .pkl"
    assert len({o.key for o in outcomes}) == 48, "the .pkl holds the vectors of its neighbour"
    pickled = next(o for o in outcomes if o.file.endswith(".pkl"))
    neighbour = next(
        o for o in outcomes if o.file == pickled.file.replace("74_", "").replace(".pkl", "")
    )
    assert pickled.key == neighbour.key
    again = import_folder(lab, PROMPTS, wide)
    assert [o.key for o in again] == [o.key for o in outcomes]


@needs_prompts
def test_an_imported_prompt_is_the_file_and_names_it(lab: Lab, wide: dict[str, str]) -> None:
    file = PROMPTS / "seed_33" / "SST2PromptRoberta" / "task_prompt"
    spec = published.import_file(lab, file, recognise(file), wide["Roberta"])
    stored = lab.store.read(spec)
    assert stored is not None
    original = torch.load(file, map_location="cpu", weights_only=True)
    assert torch.equal(stored.vectors, original.detach())
    assert not stored.vectors.requires_grad
    assert (spec.task, spec.seed, spec.layout, spec.prompt_length) == ("sst2", 33, "published", 100)
    assert len(spec.sha256) == 64


# --- refusals ------------------------------------------------------------------------------------
class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('the pickle ran')",))


def test_each_bad_file_is_refused_with_its_reason_and_the_others_come(
    lab: Lab, wide: dict[str, str], tmp_path: Path
) -> None:
    good = torch.randn(5, 768)
    write(tmp_path, "SST2PromptRoberta/task_prompt", good)
    write(tmp_path, "IMDBPromptRoberta/task_prompt", {"model": Bomb()})
    write(tmp_path, "QNLIPromptRoberta/task_prompt", torch.randn(5, 12))
    write(tmp_path, "QQPPromptRoberta/task_prompt", torch.full((5, 768), float("nan")))
    write(tmp_path, "MRPCPromptRoberta/task_prompt", {"optimizer": {}})
    (tmp_path / "MNLIPromptRoberta").mkdir()
    (tmp_path / "MNLIPromptRoberta" / "task_prompt").write_bytes(b"not a torch file")
    write(tmp_path, "elsewhere/task_prompt", good)
    write(tmp_path, "SST2PromptT5Large/task_prompt", good)
    outcomes = {o.file.split("/")[0]: o for o in import_folder(lab, tmp_path, wide)}
    assert outcomes["SST2PromptRoberta"].key
    reasons = {
        "IMDBPromptRoberta": "run code",
        "QNLIPromptRoberta": "width 12",
        "QQPPromptRoberta": "not numbers",
        "MRPCPromptRoberta": "no [token, hidden] tensor",
        "MNLIPromptRoberta": "not a torch file",
        "elsewhere": "<Task>Prompt<Model>",
        "SST2PromptT5Large": "not on this machine",
    }
    for name, why in reasons.items():
        assert why in outcomes[name].why, name
        assert "\n" not in outcomes[name].why
        assert not outcomes[name].key
    assert len(lab.store.frame("SELECT key FROM prompt")) == 1


def test_a_folder_without_prompts(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no file named"):
        import_folder(lab, tmp_path, {})
    with pytest.raises(BadInput, match="no folder"):
        import_folder(lab, tmp_path / "none", {})


def test_a_gradient_and_an_extra_axis_are_taken_off(tmp_path: Path) -> None:
    values = torch.randn(1, 4, 6, requires_grad=True)
    read = published.read_vectors(write(tmp_path, "x/latest.pt", values))
    assert torch.equal(read, values.detach()[0])
    assert not read.requires_grad


# --- sharing -------------------------------------------------------------------------------------
def some_prompt(name: str, vectors: torch.Tensor) -> SoftPrompt:
    spec = ImportedPrompt(
        backbone=Pinned(name=name, fingerprint="f"), sha256="0" * 64, task="sst2", seed=3,
        prompt_length=len(vectors), layout="published",
    )  # fmt: skip
    return SoftPrompt(spec=spec, vectors=vectors, words=("bad", "good"))


def test_shared_files_bring_the_prompt_back(tiny_folder: Path, tmp_path: Path) -> None:
    backbone = load_backbone(tiny_folder, name="tiny")
    prompt = some_prompt("tiny", random_vectors(backbone, 4))
    (tmp_path / "settings").mkdir()
    shutil.copy(tiny_folder / "config.json", tmp_path / "settings")
    files = sharing.share(prompt, shape(tmp_path / "settings"))  # no weights are needed
    assert ("peft/adapter_config.json" in files) == (backbone.family == "t5")
    (tmp_path / "p.safetensors").write_bytes(files["prompt.safetensors"])
    again = read_prompt(tmp_path / "p.safetensors")
    assert again.spec == prompt.spec
    assert torch.equal(again.vectors, prompt.vectors)
    card = files["README.md"].decode()
    assert "sst2" in card
    assert loads(card.split("```json\n")[1].split("\n```")[0]) == prompt.spec


def test_peft_loads_the_adapter_and_gives_the_same_logits(
    tiny_folder: Path, tmp_path: Path
) -> None:
    from peft import PeftModel

    backbone = load_backbone(tiny_folder)
    if backbone.family != "t5":
        with pytest.raises(BadInput, match="no prompt tuning"):
            sharing.adapter(some_prompt("tiny", random_vectors(backbone, 4)), shape(tiny_folder))
        return
    vectors = random_vectors(backbone, 4)
    for name, data in sharing.adapter(some_prompt("tiny", vectors), shape(tiny_folder)).items():
        (tmp_path / name).write_bytes(data)
    stock = AutoModelForSeq2SeqLM.from_pretrained(tiny_folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(stock, tmp_path).eval()
    rows = [backbone.encode("the film was bad"), backbone.encode("we ate a warm meal")]
    for row in rows:
        ids = torch.tensor([row])
        with torch.no_grad():
            theirs = model(
                input_ids=ids, attention_mask=torch.ones_like(ids),
                decoder_input_ids=torch.tensor([[backbone.model.config.decoder_start_token_id]]),
            ).logits[0, 0]  # fmt: skip
            state = backbone.answer_state(vectors, ids, torch.ones_like(ids).bool())
            ours = backbone.logits(state, slice(None))[0]
        assert torch.allclose(ours, theirs, atol=1e-5)
    held = load((tmp_path / "adapter_model.safetensors").read_bytes())
    assert torch.equal(held["prompt_embeddings"], vectors)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["num_virtual_tokens"] == 4


def test_a_released_prompt_runs_in_the_precision_that_is_set(
    tmp_path: Path, wide: dict[str, str]
) -> None:
    file = write(tmp_path, "IMDBPromptRoberta/task_prompt", torch.rand(3, 768))
    found = []
    for precision in ("fp32", "bf16", "bf16"):
        settings = Settings(cache=tmp_path / "cache", precision=precision)
        with open_store(settings) as store:
            asked = Lab(settings, store)
            found.append(published.import_file(asked, file, recognise(file), wide["Roberta"]))
    assert [spec.precision for spec in found] == ["fp32", "bf16", "bf16"]
    assert len({key(spec) for spec in found}) == 2


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(0, 768), torch.zeros(3, 768, dtype=torch.int64), torch.zeros(3, 768).bool(),
        torch.zeros(3, 768, dtype=torch.complex64), torch.zeros(768), torch.zeros(2, 3, 768),
        torch.zeros(3, 768).to_sparse(),
    ],
)  # fmt: skip
def test_a_tensor_that_is_no_prompt_has_a_reason_and_the_others_still_come(
    lab: Lab, wide: dict[str, str], tmp_path: Path, value: torch.Tensor
) -> None:
    write(tmp_path, "a/SST2PromptRoberta/task_prompt", value)
    (tmp_path / "b" / "SST2PromptRoberta").mkdir(parents=True)
    (tmp_path / "b" / "SST2PromptRoberta" / "task_prompt").write_bytes(b"")
    write(tmp_path, "c/SST2PromptRoberta/task_prompt", torch.zeros(1, 2, 768))
    outcomes = import_folder(lab, tmp_path, wide)
    assert [bool(o.key) for o in outcomes] == [False, False, True]
    assert all("torch file" in o.why or "no [token, hidden]" in o.why for o in outcomes[:2])


def test_the_seed_stands_above_the_folder_that_is_given(
    lab: Lab, wide: dict[str, str], tmp_path: Path
) -> None:
    file = write(tmp_path, "seed_33/IMDBPromptRoberta/task_prompt", torch.zeros(3, 768))
    (outcome,) = import_folder(lab, file.parent, wide)
    assert (outcome.task, outcome.seed) == ("imdb", 33)


def test_the_backbones_in_use_are_remembered(
    lab: Lab, wide: dict[str, str], tmp_path: Path
) -> None:
    write(tmp_path, "IMDBPromptRoberta/task_prompt", torch.zeros(3, 768))
    import_folder(lab, tmp_path, wide)
    assert set(wide.values()) <= set(lab.models.names())


def test_prompts_that_were_tuned_on_the_dev_split_are_remarked_on() -> None:
    backbone = Pinned(name="FacebookAI/roberta-base", fingerprint="f")
    spec = ImportedPrompt(
        backbone=backbone, sha256="0", task="sst2", seed=33, prompt_length=100, layout="published"
    )
    assert "tuned on the dev split" in published.remark(spec)
    assert published.remark(replace(spec, task="imdb")) == ""
    assert published.remark(replace(spec, seed=0)) == ""


def test_an_adapter_names_its_revision_apart(lab: Lab, wide: dict[str, str]) -> None:
    spec = ImportedPrompt(
        backbone=Pinned(name="google-t5/t5-base@main", fingerprint="f"), sha256="0", task="sst2",
        seed=0, prompt_length=3, layout="published",
    )  # fmt: skip
    prompt = SoftPrompt(spec=spec, vectors=torch.zeros(3, 768), words=())
    config = json.loads(sharing.adapter(prompt, shape(Path(wide["T5"])))["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("google-t5/t5-base", "main")


@pytest.mark.parametrize("folder", ["/models@lab/mine", r"C:\models@lab\mine"])
def test_what_is_shared_names_no_folder_of_this_machine(wide: dict[str, str], folder: str) -> None:
    task = Pinned(name=f"{folder}/own.toml", fingerprint="t")
    backbone = Pinned(name=folder, fingerprint="f")
    spec = TuneSpec(backbone=backbone, task=task, seed=0, prompt_length=3)
    prompt = SoftPrompt(spec=spec, vectors=torch.zeros(3, 768), words=())
    files = sharing.share(prompt, shape(Path(wide["T5"])))
    assert not [name for name, data in files.items() if b"home" in data]
    config = json.loads(files["peft/adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("mine", None)
    assert f"# Soft prompt {key(spec)}" in files["README.md"].decode()
    assert "- backbone: mine (f)\n- task: own.toml\n" in files["README.md"].decode()


def test_the_folder_of_an_adapter_is_not_cut_at_its_at(wide: dict[str, str]) -> None:
    spec = some_prompt("/models/t5@home", torch.zeros(3, 768))
    config = json.loads(sharing.adapter(spec, shape(Path(wide["T5"])))["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("t5@home", None)


@pytest.mark.parametrize(
    ("shape", "changes", "said"),
    [
        ((4, 768), {"max_length": 0}, "max_length is 0; it must be 1 or more"),
        ((0, 768), {"prompt_length": 0}, "prompt_length is 0; it must be 1 or more"),
        ((0, 768), {}, "holds 0 vectors"),
        ((4,), {}, r"no \[token, hidden\] tensor"),
        ((4, 768, 1), {}, r"no \[token, hidden\] tensor"),
        ((4, 768), {"prompt_length": "many"}, "not a soft prompt written by Skillscope"),
    ],
)
def test_a_file_of_a_prompt_that_cannot_be_is_refused(
    lab: Lab, wide: dict[str, str], tmp_path: Path, shape: tuple[int, ...],
    changes: dict[str, object], said: str,
) -> None:  # fmt: skip
    spec = replace(some_prompt("", torch.zeros(4, 768)).spec, backbone=lab.models.pin(wide["T5"]))
    header = json.dumps({**to_dict(spec), **changes})
    file = tmp_path / "p.safetensors"
    save_file({"vectors": torch.zeros(shape)}, file, metadata={"spec": header, "words": "[]"})
    with pytest.raises(BadInput, match=said):
        lab.adopt(read_prompt(file), "0" * 64)


BROKEN = {
    "no JSON": "{", "deep": "[" * 100_000, "another": dumps(Pinned(name="a", fingerprint="b")),
    "no class": '{"spec": "Gone"}', "no spec": "{}", "a text": '"x"', "null": "null",
    "no row": json.dumps({**to_dict(some_prompt("x", torch.zeros(4, 1)).spec), "prompt_length": 0}),
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_an_imported_prompt_with_a_broken_row_is_passed_over_and_named(
    lab: Lab, wide: dict[str, str], tmp_path: Path, text: str
) -> None:
    for place in ("seed_1", "seed_2"):
        write(tmp_path, f"{place}/IMDBPromptRoberta/task_prompt", torch.rand(3, 768))
    good, bad = import_folder(lab, tmp_path, wide)
    lab.store._cursor().execute("UPDATE prompt SET spec = ? WHERE key = ?", [text, bad.key])
    pin = lab.models.pin(wide["Roberta"])
    assert [key(p) for p in lab.imported(pin, "imdb")] == [good.key]
    assert list(lab.broken_prompts()) == [bad.key]
    said = lab.broken_prompts()[bad.key]
    assert said.startswith(f"The row of prompt {bad.key} in the cache is broken")
    assert "\n" not in said
    with pytest.raises(BadInput, match="in the cache is broken"):
        lab.prompt_named(bad.key)


def test_a_card_shows_answer_words_as_typed() -> None:
    prompt = replace(some_prompt("tiny", torch.zeros(2, 3)), words=("**bad**", "![x](y)"))
    assert r"- answer words: \*\*bad\*\*, !\[x\](y)" in sharing.card(prompt)
