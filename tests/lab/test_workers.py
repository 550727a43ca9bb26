"""A job's life: queued, running, done, failed, cancelled; and sweeps that go on where they were."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.base.errors import BadInput
from core.base.progress import Progress, no_progress, part
from core.base.settings import Settings
from core.base.specs import key
from core.lab.lab import Lab, job_name, open_store
from core.lab.workers import InlineWorker, Status, ThreadWorker, Worker
from core.measures.evaluation import EvaluationSpec
from core.measures.predictivity import PredictivitySpec
from core.measures.tuning import TuneSpec
from core.store import Store
from core.tasks import load_task, pin_task

SOON = 10.0


class Gate:
    """A job that says when it has begun and goes on when it is let through."""

    def __init__(self) -> None:
        self.begun, self.go, self.runs = threading.Event(), threading.Event(), 0

    def __call__(self, progress: Progress) -> None:
        self.runs += 1
        progress(0.25, "a quarter")
        self.begun.set()
        assert self.go.wait(SOON)
        progress(0.5, "half")


def ended(worker: Worker, name: str) -> Status:
    """The job's status once it is no longer active."""
    for _ in range(int(SOON * 100)):
        status = worker.status(name)
        if status is not None and not status.active:
            return status
        threading.Event().wait(0.01)
    raise AssertionError(f"{name} did not end")


@pytest.fixture
def single() -> ThreadWorker:
    """One thread: what is submitted second waits."""
    return ThreadWorker(threads=1)


@pytest.fixture(params=["inline", "thread"])
def worker(request: pytest.FixtureRequest) -> Worker:
    return InlineWorker() if request.param == "inline" else ThreadWorker()


def test_a_job_that_returns_is_done(worker: Worker) -> None:
    worker.submit("a", lambda progress: progress(0.5, "half"), "what a computes")
    status = ended(worker, "a")
    assert (status.state, status.done, status.error) == ("done", 1.0, "")
    assert status.label == "what a computes"
    assert status.seconds_left is None


def test_an_unknown_job_has_no_status(worker: Worker) -> None:
    assert worker.status("never") is None
    worker.cancel("never")
    assert worker.jobs() == []


def test_states_and_progress_of_a_running_and_a_waiting_job(single: ThreadWorker) -> None:
    first, second = Gate(), Gate()
    single.submit("first", first)
    single.submit("second", second)
    assert first.begun.wait(SOON)
    running, waiting = single.status("first"), single.status("second")
    assert running is not None
    assert waiting is not None
    assert (running.state, running.done, running.message) == ("running", 0.25, "a quarter")
    assert (waiting.state, waiting.done, waiting.seconds_left) == ("queued", 0.0, None)
    assert [j.name for j in single.jobs()] == ["first", "second"]
    first.go.set()
    second.go.set()
    assert ended(single, "first").state == "done"
    assert ended(single, "second").state == "done"


def test_time_left_goes_by_the_pace_so_far() -> None:
    assert Status(name="a", state="running", done=0.25, seconds=10).seconds_left == 30
    assert Status(name="a", state="running", done=0.0, seconds=10).seconds_left is None
    assert Status(name="a", state="queued", done=0.5, seconds=10).seconds_left is None


def test_the_time_left_begins_with_what_was_expected_and_ends_with_the_pace() -> None:
    def left(done: float, seconds: float) -> float | None:
        return Status(
            name="a", state="running", done=done, seconds=seconds, expected=100
        ).seconds_left

    assert left(0.0, 3) == 100, "there is no pace yet"
    assert left(0.1, 20) == pytest.approx(0.1 * 180 + 0.9 * 90)  # the pace alone says 180
    assert left(0.5, 100) == pytest.approx(0.5 * 100 + 0.5 * 50)
    assert left(0.99, 198) == pytest.approx(2, abs=0.02)
    queued = Status(name="a", state="queued", expected=100)
    assert queued.seconds_left is None


def test_a_running_job_is_cancelled_at_its_next_progress(single: ThreadWorker) -> None:
    job = Gate()
    single.submit("a", job)
    assert job.begun.wait(SOON)
    single.cancel("a")
    job.go.set()
    status = ended(single, "a")
    assert (status.state, status.done, status.error) == ("cancelled", 0.25, "")


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(single: ThreadWorker) -> None:
    first, second, third = Gate(), Gate(), Gate()
    for gate, name in ((first, "first"), (second, "second"), (third, "third")):
        single.submit(name, gate)
    single.cancel("second")
    assert ended(single, "second").state == "cancelled"
    for gate in (first, second, third):
        gate.go.set()
    assert ended(single, "third").state == "done"
    assert second.runs == 0


def test_a_job_submitted_anew_while_its_cancelled_self_still_waits_runs_once(
    single: ThreadWorker,
) -> None:
    first, old, new, last = Gate(), Gate(), Gate(), Gate()
    single.submit("first", first)
    single.submit("a", old)
    single.cancel("a")
    single.submit("a", new)
    single.submit("last", last)
    for gate in (first, old, new, last):
        gate.go.set()
    assert ended(single, "last").state == "done"
    assert ended(single, "a").state == "done"
    assert (old.runs, new.runs) == (0, 1)


def test_cancelling_an_ended_job_changes_nothing(worker: Worker) -> None:
    worker.submit("a", lambda progress: None)
    before = ended(worker, "a")
    worker.cancel("a")
    assert worker.status("a") == before


def test_a_users_error_is_one_plain_sentence(worker: Worker) -> None:
    def job(progress: Progress) -> None:
        raise BadInput("There is no such thing.")

    worker.submit("a", job)
    status = ended(worker, "a")
    assert (status.state, status.error, status.detail) == ("failed", "There is no such thing.", "")


def test_a_bug_keeps_its_traceback(worker: Worker) -> None:
    def job(progress: Progress) -> None:
        raise ZeroDivisionError("by zero")

    worker.submit("a", job)
    status = ended(worker, "a")
    assert status.state == "failed"
    assert "ZeroDivisionError" in status.error
    assert "Traceback" in status.detail
    assert "by zero" in status.detail


class Panic(BaseException):
    """What a bug in a library of another language raises; no Exception, yet no wish to stop."""


@pytest.mark.parametrize("error", [Panic, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_thread_goes_on_whatever_its_job_raises(
    single: ThreadWorker, error: type[BaseException]
) -> None:
    def job(progress: Progress) -> None:
        raise error("odd")

    for name in ("a", "b"):
        single.submit(name, job)
    single.submit("c", lambda progress: None)
    assert ended(single, "c").state == "done"
    for name in ("a", "b"):
        status = ended(single, name)
        assert status.state == "failed"
        assert error.__name__ in status.error
        assert "Traceback" in status.detail


def test_ctrl_c_ends_a_job_in_the_foreground_and_the_program() -> None:
    def job(progress: Progress) -> None:
        raise KeyboardInterrupt

    worker = InlineWorker()
    with pytest.raises(KeyboardInterrupt):
        worker.submit("a", job)
    assert ended(worker, "a").state == "failed"
    worker.submit("b", lambda progress: None)
    assert ended(worker, "b").state == "done"


def test_a_panic_in_the_foreground_is_told_like_any_bug() -> None:
    def job(progress: Progress) -> None:
        raise Panic

    worker = InlineWorker()
    worker.submit("a", job)
    assert "Panic" in ended(worker, "a").error


def test_an_active_name_is_not_started_twice(single: ThreadWorker) -> None:
    job, again = Gate(), Gate()
    single.submit("a", job)
    assert job.begun.wait(SOON)
    single.submit("a", again)
    job.go.set()
    again.go.set()
    assert ended(single, "a").state == "done"
    assert (job.runs, again.runs) == (1, 0)


def test_a_name_can_be_submitted_again_after_its_end(worker: Worker) -> None:
    def broken(progress: Progress) -> None:
        raise BadInput("Not yet.")

    worker.submit("a", broken)
    assert ended(worker, "a").state == "failed"
    worker.submit("a", lambda progress: None)
    status = ended(worker, "a")
    assert (status.state, status.error) == ("done", "")
    assert len(worker.jobs()) == 1


def test_a_cancelled_job_can_be_submitted_again(single: ThreadWorker) -> None:
    job = Gate()
    single.submit("a", job)
    assert job.begun.wait(SOON)
    single.cancel("a")
    job.go.set()
    assert ended(single, "a").state == "cancelled"
    single.submit("a", lambda progress: progress(0.5))
    assert ended(single, "a").state == "done"


def test_one_failed_job_does_not_stop_the_next(single: ThreadWorker) -> None:
    def broken(progress: Progress) -> None:
        raise RuntimeError

    single.submit("a", broken)
    single.submit("b", lambda progress: None)
    assert ended(single, "b").state == "done"


def test_part_runs_from_start_to_end() -> None:
    seen: list[float] = []
    inner = part(lambda done, message="": seen.append(done), 0.5, 0.75)
    for done in (0.0, 0.5, 1.0):
        inner(done)
    assert seen == [0.5, 0.625, 0.75]
    no_progress(0.5, "nobody hears")


# --- sweeps --------------------------------------------------------------------------------------
@pytest.fixture
def sweep(lab: Lab, tiny_roberta: Path, toy_task: Path) -> tuple[EvaluationSpec, ...]:
    task = pin_task(load_task(str(toy_task)), "roberta")
    prompt = TuneSpec(
        backbone=lab.models.pin(str(tiny_roberta)), task=task, seed=0, prompt_length=2, steps=1,
        selection=10,
    )  # fmt: skip
    return tuple(EvaluationSpec(prompt=prompt, task=task, limit=n) for n in (5, 6, 7, 8))


class StopsAfter(InlineWorker):
    """A worker whose user cancels once so many points are in the store."""

    def __init__(self, store: Store, specs: tuple[EvaluationSpec, ...], points: int) -> None:
        super().__init__()
        self.store, self.keys, self.points = store, [key(s) for s in specs], points

    def _change(self, name: str, mine: threading.Event, **changes: object) -> None:
        super()._change(name, mine, **changes)
        if len(self.store.known(self.keys)) >= self.points:
            self.cancel(name)


def test_a_cancelled_sweep_goes_on_where_it_stopped(
    lab: Lab, sweep: tuple[EvaluationSpec, ...]
) -> None:
    lab.worker = StopsAfter(lab.store, sweep, points=2)
    lab.submit(sweep)
    stopped = lab.status(sweep)
    assert stopped is not None
    assert stopped.state == "cancelled"
    assert lab.missing(sweep) == sweep[2:]
    before = lab.store.frame("SELECT * FROM run ORDER BY key")

    lab.worker = InlineWorker()
    lab.submit(sweep)
    finished = lab.status(sweep)
    assert finished is not None
    assert finished.state == "done"
    assert lab.missing(sweep) == ()
    after = lab.store.frame("SELECT * FROM run ORDER BY key")
    assert len(after) == len(before) + 2
    kept = after[after["key"].isin(before["key"])].reset_index(drop=True)
    assert kept.equals(before)


def test_a_finished_sweep_computes_nothing(lab: Lab, sweep: tuple[EvaluationSpec, ...]) -> None:
    lab.submit(sweep)
    before = lab.store.frame("SELECT * FROM run ORDER BY key")
    lab.submit(sweep)
    assert lab.store.frame("SELECT * FROM run ORDER BY key").equals(before)


def test_no_questions_are_answered_at_once(lab: Lab) -> None:
    assert lab.missing(()) == ()
    lab.submit(())
    status = lab.status(())
    assert status is not None
    assert status.state == "done"


def test_a_sweep_tells_how_far_it_is(lab: Lab, sweep: tuple[EvaluationSpec, ...]) -> None:
    seen: list[tuple[float, str]] = []

    class Listens(InlineWorker):
        def _change(self, name: str, mine: threading.Event, **changes: object) -> None:
            super()._change(name, mine, **changes)
            status = self.status(name)
            assert status is not None
            seen.append((status.done, status.message))

    lab.worker = Listens()
    lab.submit(sweep)
    shares = [done for done, _ in seen]
    assert shares == sorted(shares)
    assert any(message.startswith("4 of 4") for _, message in seen)


@pytest.fixture
def threaded(tmp_path: Path) -> Iterator[Lab]:
    settings = Settings(cache=tmp_path / "threaded", threads=1)
    with open_store(settings) as store:
        yield Lab(settings, store, ThreadWorker())


def test_two_sweeps_at_once_in_threads(threaded: Lab, sweep: tuple[EvaluationSpec, ...]) -> None:
    measured = PredictivitySpec(prompt=sweep[0].prompt, task=sweep[0].task, permutations=2)
    for specs in (sweep, (measured,)):
        threaded.submit(specs)
    for specs in (sweep, (measured,)):
        status = ended(threaded.worker, job_name(specs))
        assert (status.state, status.detail) == ("done", "")
    assert threaded.missing((*sweep, measured)) == ()


def test_a_changed_backbone_is_told_in_a_sentence(
    lab: Lab, sweep: tuple[EvaluationSpec, ...]
) -> None:
    other = replace(sweep[0].prompt.backbone, fingerprint="other")
    stale = replace(sweep[0], prompt=replace(sweep[0].prompt, backbone=other))
    with pytest.raises(BadInput, match="changed since"):
        lab.ask(stale)
    lab.submit((stale,))
    status = lab.status((stale,))
    assert status is not None
    assert "choose the backbone again" in status.error


def test_a_new_submission_takes_over_from_one_that_was_cancelled_and_has_not_noticed() -> None:
    """Its last follower left, and the next visitor wants it again."""
    worker, held, ran = ThreadWorker(threads=2), threading.Event(), list[str]()

    def slow(progress: Progress) -> None:
        held.wait(10)
        ran.append("first")
        progress(0.5)

    worker.submit("a", slow)
    while (status := worker.status("a")) is None or status.state != "running":
        time.sleep(0.01)
    worker.cancel("a")
    worker.submit("a", lambda progress: ran.append("second"))
    assert ended(worker, "a").state == "done"
    held.set()
    while ran != ["second", "first"]:
        time.sleep(0.01)
    time.sleep(0.05)
    assert worker.status("a").state == "done", "what the first one says no longer counts"
