"""The real hub client against a hub on loopback: downloads, refusals, offline, and loading."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from safetensors.torch import load_file, save_file

from core import backbones
from core.backbones import FAMILIES, family_of, hub, load_backbone
from core.backbones.identity import fingerprint
from core.base.errors import BadInput, Cancelled, NotDownloaded
from core.lab.lab import Lab
from tests.backbones.hub import Hub, Repo
from tests.backbones.hub import hub as running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with running() as one:
        yield one


@pytest.fixture
def here(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub, and an empty cache of its client."""
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # tiny files, many pieces
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    server.repos.clear()
    server.asked.clear()
    return server


@pytest.fixture
def model(here: Hub, tiny_folder: Path, tmp_path: Path) -> Repo:
    """A repository with one of the tiny models, as `someone/tiny`."""
    folder = tmp_path / "repo"
    shutil.copytree(tiny_folder, folder)
    (folder / "README.md").write_text("# A card\n" * 200)
    (folder / "flax_model.msgpack").write_bytes(b"0" * 5000)
    here.repos["someone/tiny"] = Repo(folder)
    return here.repos["someone/tiny"]


def got(server: Hub, name: str) -> int:
    """How often a file was sent."""
    return sum(verb == "GET" and path.endswith("/" + name) for verb, path, _ in server.asked)


def tiny(revision: str | None = None) -> hub.Reference:
    return hub.Reference(repo="someone/tiny", revision=revision)


# --- names ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "repo", "revision"),
    [
        ("FacebookAI/roberta-base", "FacebookAI/roberta-base", None),
        ("roberta-base", "FacebookAI/roberta-base", None),
        ("t5-base@v1", "google-t5/t5-base", "v1"),
        ("a/b@refs/pr/3", "a/b", "refs/pr/3"),
    ],
)
def test_a_name_is_an_id_or_a_short_one(name: str, repo: str, revision: str | None) -> None:
    assert hub.reference(name) == hub.Reference(repo=repo, revision=revision)


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "a", "a/b/c", "../x", "a/../b", "a/b@", "a b/c", "./a/b", "a--b/c"]
)
def test_what_is_no_id_is_none(name: str) -> None:
    ref = hub.reference(name)
    assert ref is None or name == "a/b@"


# --- downloads -----------------------------------------------------------------------------------
def test_a_downloaded_model_is_the_model(here: Hub, model: Repo, tiny_folder: Path) -> None:
    folder = hub.download(tiny(), tuple(FAMILIES))
    ours, theirs = load_backbone(folder), load_backbone(tiny_folder)
    for name, weight in ours.model.state_dict().items():
        assert torch.equal(weight, theirs.model.state_dict()[name])
    assert ours.token_ids("the film") == theirs.token_ids("the film")


def test_only_settings_tokenizer_and_weights_are_fetched(here: Hub, model: Repo) -> None:
    folder = hub.download(tiny(), tuple(FAMILIES))
    assert {f.suffix for f in folder.iterdir()} <= {".json", ".safetensors", ".txt", ".model"}
    assert got(here, "flax_model.msgpack") == got(here, "README.md") == 0


def test_a_second_download_sends_no_file_again(here: Hub, model: Repo) -> None:
    first = hub.download(tiny(), tuple(FAMILIES))
    sent = got(here, "model.safetensors")
    assert hub.download(tiny(), tuple(FAMILIES)) == first
    assert got(here, "model.safetensors") == sent == 1


def test_an_interrupted_download_goes_on_where_it_broke_off(here: Hub, model: Repo) -> None:
    big = model.folder / "model.safetensors"
    half = big.stat().st_size // 2000 * 1000
    model.cut["model.safetensors"] = half
    seen: list[float] = []
    folder = hub.download(tiny(), tuple(FAMILIES), lambda done, _="": seen.append(done))
    ranges = [r for verb, path, r in here.asked if verb == "GET" and "safetensors" in path]
    assert ranges[0] is None
    assert ranges[1] == f"bytes={half}-"
    assert (folder / "model.safetensors").read_bytes() == big.read_bytes()
    assert seen == sorted(seen), "progress never goes back"
    assert 0 < seen[-1] <= 1


def test_a_download_can_be_cancelled_and_goes_on_later(here: Hub, model: Repo) -> None:
    def stop(done: float, message: str = "") -> None:
        if "MB" in message:
            raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        hub.download(tiny(), tuple(FAMILIES), stop)
    assert hub.cached(tiny()) is None
    assert hub.download(tiny(), tuple(FAMILIES)).is_dir()


def test_a_revision_is_taken_by_its_commit(here: Hub, model: Repo) -> None:
    commit = model.commit()
    assert hub.download(tiny(commit), tuple(FAMILIES)).name == commit
    assert hub.commit(hub.download(tiny("main"), tuple(FAMILIES))) == commit


def test_weights_in_an_old_file_are_read_as_tensors_only(here: Hub, model: Repo) -> None:
    family = family_of(model.folder)
    loaded = load_backbone(model.folder)
    torch.save(loaded.model.state_dict(), model.folder / "pytorch_model.bin")
    (model.folder / "model.safetensors").unlink()
    folder = hub.download(tiny(), tuple(FAMILIES))
    again = load_backbone(folder)
    assert again.family == family
    assert torch.equal(again.word_vectors(), loaded.word_vectors())


def test_safetensors_are_preferred_to_an_old_file(here: Hub, model: Repo) -> None:
    (model.folder / "pytorch_model.bin").write_bytes(b"not even a torch file")
    load_backbone(hub.download(tiny(), tuple(FAMILIES)))
    assert got(here, "pytorch_model.bin") == 0


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('the pickle ran')",))


def test_an_old_file_with_a_pickle_inside_is_refused(here: Hub, model: Repo) -> None:
    torch.save({"weight": Bomb()}, model.folder / "pytorch_model.bin")
    (model.folder / "model.safetensors").unlink()
    folder = hub.download(tiny(), tuple(FAMILIES))
    with pytest.raises(BadInput, match="more than tensors"):
        load_backbone(folder)


# --- refusals, one sentence each -----------------------------------------------------------------
def refused(ref: hub.Reference) -> str:
    with pytest.raises(BadInput) as error:
        hub.download(ref, tuple(FAMILIES))
    said = str(error.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


def test_a_missing_model(here: Hub) -> None:
    assert "has no model no/body" in refused(hub.Reference(repo="no/body"))


def test_a_wrong_revision(here: Hub, model: Repo) -> None:
    assert "no revision 'v9'" in refused(tiny("v9"))


def test_a_gated_model_without_and_with_a_token(
    here: Hub, model: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.gated = "hf_right"
    said = refused(tiny())
    assert "gated" in said
    assert "HF_TOKEN" in said
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "gated" in refused(tiny())
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert hub.download(tiny(), tuple(FAMILIES)).is_dir()


def test_another_family_before_its_weights_are_fetched(here: Hub, model: Repo) -> None:
    (model.folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert "'gpt2'" in refused(tiny())
    assert got(here, "model.safetensors") == 0


def test_a_repository_without_config_or_weights(here: Hub, model: Repo) -> None:
    (model.folder / "model.safetensors").unlink()
    assert "neither model.safetensors" in refused(tiny())
    (model.folder / "config.json").unlink()
    assert "no config.json" in refused(tiny())


def test_a_truncated_file_is_not_taken_for_whole(
    here: Hub, model: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between attempts
    weights = model.folder / "model.safetensors"
    model.lies["model.safetensors"] = weights.stat().st_size + 1000
    assert "was interrupted" in refused(tiny())
    assert hub.cached(tiny()) is None


def test_no_network(here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = "http://127.0.0.1:9"
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between attempts
    monkeypatch.setattr(constants, "ENDPOINT", nobody)
    template = nobody + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    said = refused(tiny())
    assert "not on this machine" in said
    assert nobody in said


def test_offline_with_a_warm_and_with_a_cold_cache(
    here: Hub, model: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub.download(tiny(), tuple(FAMILIES))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(here.asked)
    assert hub.cached(tiny()) == folder
    assert "HF_HUB_OFFLINE" in refused(hub.Reference(repo="some/other"))
    assert len(here.asked) == asked


def test_too_little_memory_is_said_before_anything_is_read(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbones, "_free_bytes", lambda device: 1000)
    with pytest.raises(BadInput, match=r"needs about .* GB in fp32.*bf16"):
        load_backbone(tiny_folder)


# --- through the lab -----------------------------------------------------------------------------
def test_the_lab_pins_a_model_by_its_content_and_remembers_it(
    here: Hub, model: Repo, lab: Lab
) -> None:
    with pytest.raises(NotDownloaded, match="fetch someone/tiny"):
        lab.models.pin("someone/tiny")
    assert lab.models.obtain("someone/tiny") == "someone/tiny"
    pin = lab.models.pin("someone/tiny")
    assert pin.name == "someone/tiny"
    assert pin.fingerprint == fingerprint(lab.models.folder("someone/tiny"))
    assert "someone/tiny" in lab.models.names()
    assert lab.models.load("someone/tiny").family == lab.models.family("someone/tiny")


def test_names_of_one_commit_and_copies_of_it_are_one_model(
    here: Hub, model: Repo, lab: Lab, tmp_path: Path
) -> None:
    """What a GPU box computed under another name is found on a laptop."""
    pins = [lab.models.pin(lab.models.obtain(n)) for n in ("someone/tiny", "someone/tiny@main")]
    for place in ("here", "there"):
        copy = shutil.copytree(lab.models.folder("someone/tiny"), tmp_path / place)
        (copy / "trainer_state.json").write_text(f'{{"log": "{place}"}}')
        pins.append(lab.models.pin(str(copy)))
    assert len({pin.name for pin in pins}) == 4
    assert len(set(pins)) == 1
    (copy / "config.json").write_text(
        (copy / "config.json").read_text().replace("{", '{"some_setting": 7,', 1)
    )
    assert lab.models.pin(str(copy)) != pins[0]


def test_a_model_whose_files_are_gone_is_no_longer_offered(
    here: Hub, model: Repo, lab: Lab, tmp_path: Path
) -> None:
    lab.models.obtain("someone/tiny")
    shutil.rmtree(tmp_path / "hub")
    assert "someone/tiny" not in lab.models.names()


# --- what is not whole ---------------------------------------------------------------------------
def test_a_model_without_all_its_weights_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    shutil.copytree(tiny_folder, folder)
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in sorted(weights) if "layer" in name or "block" in name)
    save_file({k: v for k, v in weights.items() if k != lost}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    with pytest.raises(BadInput, match="is not a whole language model: 1 weights are missing"):
        load_backbone(folder)


def test_a_model_without_a_tokenizer_is_refused(here: Hub, model: Repo) -> None:
    for file in model.folder.iterdir():
        if file.name.startswith(("tokenizer", "vocab", "merges", "spiece", "special")):
            file.unlink()
    with pytest.raises(BadInput, match="no tokenizer files"):
        hub.download(tiny(), tuple(FAMILIES))


def test_a_cache_without_the_tokenizer_is_completed(here: Hub, model: Repo) -> None:
    folder = hub.download(tiny(), tuple(FAMILIES))
    for file in [f for f in folder.iterdir() if f.name.startswith("tokenizer")]:
        file.unlink()
    assert hub.cached(tiny()) is None
    assert load_backbone(hub.download(tiny(), tuple(FAMILIES))).token_ids("the film")


def test_a_broken_index_is_one_sentence(here: Hub, model: Repo) -> None:
    (model.folder / "model.safetensors").rename(model.folder / "model-00001-of-00001.safetensors")
    (model.folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(BadInput, match="is not an index of weights"):
        hub.download(tiny(), tuple(FAMILIES))


@pytest.mark.parametrize(
    "name",
    [
        "FacebookAI/roberta-base.git",
        "a/b.",
        "a/b-",
        "a-/b",
        "-a/b",
        "a/" + "b" * 97,
        "caf\xe9/b",
        "a/b\n",
    ],
)
def test_names_that_the_hub_forbids_are_no_ids(name: str) -> None:
    assert hub.reference(name) is None
    with pytest.raises(HFValidationError):
        validate_repo_id(name)


@pytest.mark.parametrize("name", ["a/b", "a.b-c/d_e.f", "_a/b_", "a/" + "b" * 96])
def test_names_that_the_hub_allows_are_ids(name: str) -> None:
    assert hub.reference(name) == hub.Reference(repo=name)
    validate_repo_id(name)
