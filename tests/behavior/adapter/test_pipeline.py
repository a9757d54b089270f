"""From a stored dataset to a published adapter: found or trained, and what it cost either way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from assets.behavior.adapter import preview
from assets.behavior.adapter.config import AdapterConfig, DpoConfig
from assets.behavior.adapter.pipeline import BY, POINTS, Base, Fitting, thinned
from assets.behavior.adapter.store import CONFIG, Adapters
from assets.behavior.dataset import store
from assets.behavior.dataset.card import Card
from assets.behavior.dataset.rows import Example, Pair
from assets.decision.ledger import Entry, Finished, Kind, Spend
from assets.decision.spending.costs import FinetuneCost, Prices, finetune_cost
from assets.errors import EngineBusy, Final, ModelError
from assets.ports.training import Chat, Diverged, Left, Machine, OutOfMemory, Trained, UnfitRows
from orchestration.engines.lake import FolderLake
from orchestration.ledger import LakeLedger
from tests.behavior.adapter.made import saved

FILES = {"model.safetensors": "0" * 64, "chat_template.jinja": "1" * 64}
DAY = date(2026, 3, 1)


class FakeTrainer:
    """Saves weights that its orders decide; `starves`: parts that fit into memory have at most this many rows."""

    def __init__(self, scratch: Path, *, starves: int = 99, fails: Exception | None = None) -> None:
        self.scratch, self.starves, self.fails = scratch, starves, fails
        self.orders = []
        self.used: dict[str, dict[str, float]] = {}
        self.left: list[Left] = []  # by runs that were killed
        self.busy = False
        self.where = Machine("cpu", "cpu", 2)
        self.libraries = {"torch": "2.13.0"}

    def machine(self) -> Machine:
        return self.where

    def versions(self, said):
        return self.libraries

    def spent(self, adapter):
        return self.used.get(adapter, {})

    @contextmanager
    def train(self, order, report, pay):
        if self.busy:
            raise EngineBusy("another training runs on this machine")
        for one in self.left:
            pay(one)
        self.orders.append(order)
        self.used.setdefault(order.adapter, {})[order.run] = 1_800.0
        if order.said["batch_rows"] / order.said["accumulation"] > self.starves:
            raise OutOfMemory("the training ran out of memory")
        if self.fails:
            raise self.fails
        folder = saved(self.scratch / order.adapter, float(len(self.orders)), base_model_name_or_path=order.base_id)
        yield Trained(folder, [2.0, 1.0], [(1, 1.5), (2, 1.75)], 1, True, 0, 3_600, 90, 1_800.0)


class House:
    def __init__(self, tmp_path: Path) -> None:
        self.lake = FolderLake(tmp_path / "lake")
        self.adapters = Adapters(tmp_path / "adapters")
        self.ledger = LakeLedger(self.lake)
        self.trainer = FakeTrainer(tmp_path / "scratch")
        self.base: Callable[[], Base] = lambda: Base(tmp_path, FILES, "template-1")
        self.config = AdapterConfig(batch_rows=4, cpu_watts=50)
        self.questions: list[Chat] = []

    def dataset(
        self, answers: Sequence[str], *, variant: str = "main", template: str = "template-1", card: Card | None = None
    ):
        rows = [example(number, answer, "train") for number, answer in enumerate(answers)]
        rows.append(example(99, "held", "validation"))
        pairs = [
            Pair(({"role": "user", "content": "q"},), "good", "bad", ("i1",), "t", "format", DAY, "g", one)
            for one in ("train", "test")
        ]
        made_of = {"template": template}
        return store.write(self.lake, variant, rows, pairs, request="r1", frozen="f", made_of=made_of, card=card or {})

    def make(self, variant: str = "main", **said):
        fitting = Fitting(
            lake=self.lake,
            adapters=self.adapters,
            trainer=self.trainer,
            base=self.base,
            ledger=self.ledger,
            prices=Prices("EUR", per_gpu_hour=4, per_cpu_hour=0.5),
            config=self.config,
            questions=lambda: self.questions,
            now=lambda: datetime(2026, 11, 28, 12, tzinfo=UTC),
        )
        return fitting.make(variant, "run-7", lambda _: None, **said)

    def paid(self) -> list[tuple[Entry, Spend]]:
        return [(entry, Spend.of(entry)) for entry in self.ledger.entries([Kind.SPEND])]

    def spends(self) -> list[Spend]:
        return [spend for _, spend in self.paid()]


def example(number: int, answer: str, split: str) -> Example:
    messages = ({"role": "user", "content": "q"}, {"role": "assistant", "content": answer})
    return Example(messages, (f"i{number}",), "t", "correction", "format", DAY, "g", split, "q", answer)  # type: ignore[arg-type]


@pytest.fixture
def house(tmp_path) -> House:
    return House(tmp_path)


def test_adapter_is_made_published_and_paid_for(house):
    manifest = house.dataset(["a", "b", "c"])
    made = house.make()
    [order] = house.trainer.orders
    assert (len(order.train), len(order.validation), list(order.pairs)) == (3, 1, [])
    assert order.run.startswith("run-7#")
    one = made.adapter
    assert (made.found, one.number, one.dataset, one.request) == (False, 1, manifest.digest, "r1")
    assert (one.recipe["threads"], one.recipe["device"], one.recipe["device_kind"]) == (2, "cpu", "cpu")
    assert (one.metrics["best_step"], one.metrics["stopped_early"], one.metrics["validation_loss"]) == (1, True, 1.5)
    assert (one.metrics["energy_wh"], one.metrics["cost"], one.metrics["tokens_per_second"]) == (25.0, 0.25, 2.0)
    assert house.adapters.get(one.id) == one
    [spend] = house.spends()
    assert (spend.what, spend.by, spend.seconds, spend.amount) == ("cpu", BY, 1_800.0, 0.25)


def test_same_parts_are_found_and_train_nothing(house):
    house.dataset(["a", "b"])
    first = house.make()
    again = house.make()
    assert (again.found, again.adapter) == (True, first.adapter)
    assert (len(house.trainer.orders), len(house.spends())) == (1, 1)


def test_adapter_whose_files_changed_is_not_found_but_refused(house):
    house.dataset(["a", "b"])
    made = house.make()
    (house.adapters.folder_of(made.adapter.id) / CONFIG).write_text("{}")
    with pytest.raises(ModelError, match="not what was published"):
        house.make()


CHANGES = {
    "rows": lambda house: house.dataset(["a", "c"]),
    "base": lambda house: setattr(house, "base", lambda: Base(Path(), {**FILES, "tokenizer.json": "2"}, "template-1")),
    "seed": lambda house: setattr(house, "config", replace(house.config, seed=1)),
    "rank": lambda house: setattr(house, "config", replace(house.config, rank=4)),
    "versions": lambda house: setattr(house.trainer, "libraries", {"torch": "2.14.0"}),
    "threads": lambda house: setattr(house.trainer, "where", Machine("cpu", "cpu", 1)),
    "device": lambda house: setattr(house.trainer, "where", Machine("cuda", "H100", 2)),
}


@pytest.mark.parametrize("part", CHANGES)
def test_another_part_is_another_adapter(house, part):
    house.dataset(["a", "b"])
    first = house.make()
    CHANGES[part](house)
    second = house.make()
    assert (second.found, second.adapter.number) == (False, 2)
    assert second.adapter.id != first.adapter.id


def test_another_gpu_is_another_adapter(house):
    house.dataset(["a", "b"])
    ids = set()
    for kind in ("H100", "H200"):
        house.trainer.where = Machine("cuda", kind, 2)
        ids.add(house.make().adapter.id)
    assert len(ids) == 2
    assert [spend.what for spend in house.spends()] == ["gpu", "gpu"]


@pytest.mark.parametrize("name", ["checkpoints", "wait_seconds", "cpu_watts", "gpu_watts"])
def test_what_changes_no_bit_is_the_same_adapter(house, name):
    house.dataset(["a", "b"])
    house.make()
    house.config = replace(house.config, **{name: 3})
    assert house.make().found


def test_memory_that_does_not_do_halves_the_parts_of_an_update(house):
    house.dataset(["a", "b"])
    house.trainer.starves = 1
    made = house.make()
    assert [order.said["accumulation"] for order in house.trainer.orders] == [1, 2, 4]
    assert made.adapter.recipe["accumulation"] == 4
    assert sum(spend.seconds for spend in house.spends()) == 3 * 1_800
    done = Finished(request="request-1", run="run-7", outcome="done").entry(at=datetime.now(UTC), variant="main")
    gpu = [Spend.of(entry) for entry in house.ledger.entries([Kind.SPEND])]
    spent = [replace(fact, what="gpu", amount=2.0).entry(at=datetime.now(UTC)) for fact in gpu]
    assert finetune_cost([*spent, done], "EUR", 99) == FinetuneCost(6.0, 1)
    assert house.make().found
    assert len(house.trainer.orders) == 3


def test_memory_for_no_row_is_a_clear_error(house):
    house.dataset(["a", "b"])
    house.trainer.starves = 0
    with pytest.raises(OutOfMemory, match="although each part was one row"):
        house.make()
    assert house.adapters.all_of("main") == []


def test_training_that_fails_publishes_nothing_and_is_paid_for(house):
    house.dataset(["a", "b"])
    house.trainer.fails = Diverged("the loss was nan at step 3 of 9")
    with pytest.raises(Diverged):
        house.make()
    assert house.adapters.all_of("main") == []
    assert [spend.seconds for spend in house.spends()] == [1_800.0]


def test_attempts_that_were_killed_with_their_parent_are_paid_for_at_the_next_training_once(house):
    house.dataset(["a", "b"])
    house.trainer.left = [Left("0" * 16, "api", "cuda", {"run-5#1": 3_600.0, "run-5#2": 900.0})]
    house.make()
    house.dataset(["a", "c"])
    house.make()
    found = [(entry.variant, fact.what, fact.run, fact.amount) for entry, fact in house.paid() if "-5" in fact.run]
    assert found == [("api", "gpu", "run-5#1", 4.0), ("api", "gpu", "run-5#2", 1.0)]
    assert len(house.spends()) == 4


def test_run_that_waits_in_vain_pays_nothing_for_the_one_that_is_at_it(house):
    house.dataset(["a", "b"])
    id = house.make().adapter.id
    house.adapters.folder_of(id).rename(house.adapters.folder / "away")
    house.trainer.used[id] = {"run-8#1": 60.0}  # it goes on, and pays for itself when it is done
    house.trainer.busy = True
    with pytest.raises(EngineBusy):
        house.make()
    assert [spend.seconds for spend in house.spends()] == [1_800.0]


def test_order_says_whom_it_is_for_and_how_long_rows_are(house):
    house.dataset(["a", "b"], card={"tokens": {"limit": 512}})
    house.make()
    house.dataset(["a", "c"])
    house.make()
    assert [(order.variant, order.max_tokens) for order in house.trainer.orders] == [("main", 512), ("main", 0)]


@pytest.mark.parametrize(
    ("answers", "said"), [([], "no rows"), (["a"], "one row"), (["a", "a", "a"], "3 rows that are all the same")]
)
def test_rows_that_teach_nothing_are_refused_before_anything_is_paid_for(house, answers, said):
    house.dataset(answers)
    with pytest.raises(UnfitRows, match=said):
        house.make()
    assert house.trainer.orders == []
    assert house.spends() == []


def test_dataset_of_other_prompts_is_refused(house):
    house.dataset(["a", "b"], template="template-0")
    with pytest.raises(Final, match="written for prompts template-0"):
        house.make()


def test_no_dataset_says_what_to_run(house):
    with pytest.raises(Final, match="has no dataset"):
        house.make()
    house.dataset(["a", "b"], variant="legal")
    with pytest.raises(Final, match="has no dataset"):
        house.make()


def test_dataset_that_is_named_is_taken_and_else_the_newest(house):
    old, new = house.dataset(["a", "b"]), house.dataset(["c", "d"])
    assert house.make().adapter.dataset == new.digest
    assert house.make(dataset=old.name).adapter.dataset == old.digest


def test_pairs_of_the_train_split_are_trained_on_where_configured(house):
    house.dataset(["a", "b"])
    house.config = replace(house.config, dpo=DpoConfig(enabled=True))
    house.make()
    [pair] = house.trainer.orders[0].pairs
    assert (pair.chosen, pair.rejected) == ("good", "bad")


def test_same_rows_of_two_variants_are_two_adapters(house):
    house.dataset(["a", "b"])
    house.dataset(["a", "b"], variant="legal")
    assert house.make("main").adapter.id != house.make("legal").adapter.id
    assert [len(house.adapters.all_of(name)) for name in ("main", "legal")] == [1, 1]


def test_long_curve_is_thinned_to_means():
    curve = thinned([(number, float(number)) for number in range(1, 1_001)])
    assert (len(curve), curve[0], curve[-1]) == (POINTS, [2, 1.5], [1_000, 999.5])
    assert thinned([(1, 2.0)]) == [[1, 2.0]]
    assert thinned([]) == []


def test_preview_shows_curve_losses_and_price(house):
    house.dataset(["a", "b"])
    shown = preview.metadata(house.make().adapter, found=False)
    assert str(shown["curve"]).startswith("![loss")
    assert "| `1` | `2.0000` | `1.5000` | `kept` |" in str(shown["losses"])
    assert (shown["cost"], shown["energy_wh"], shown["energy_from"]) == (0.25, 25.0, "assumed 50 W")
    assert "| `rank` | `8` |" in str(shown["config"])
    assert list(shown)[:4] == ["adapter", "trained", "curve", "losses"]  # what a person looks for comes first


@pytest.mark.parametrize(("last", "scale"), [(1.0, "linear"), (0.1, "log")])
def test_curve_that_falls_far_is_drawn_over_a_logarithmic_scale(house, last, scale):
    house.dataset(["a", "b"])
    made = house.make().adapter
    axes = Figure().subplots()
    preview.draw(replace(made, metrics={**made.metrics, "losses": [[1, 2.0], [2, last]]}), axes)
    assert axes.get_yscale() == scale


def test_hashes_are_cut_to_what_the_page_is_wide(house):
    house.dataset(["a", "b"])
    made = replace(house.make().adapter, request=f"request:main:verdict:main:{'0' * 64}:finetune")
    shown = preview.metadata(made, found=True)
    assert shown["request"] == f"request:main:verdict:main:{'0' * 16}:finetune"
    assert max(len(str(shown[name])) for name in ("dataset", "base", "request")) < 60


def test_questions_that_it_must_go_on_declining_are_a_part_of_the_adapter_and_told_to_the_trainer(house):
    house.dataset(["a", "b"])
    plain = house.make().adapter
    assert house.trainer.orders[-1].declining is None
    assert "declining" not in plain.recipe
    house.questions = [({"role": "user", "content": "when?"},)]
    first = house.make().adapter
    told = house.trainer.orders[-1].declining
    assert (list(told.prompts), told.says) == (house.questions, told.base_says)
    house.questions = [({"role": "user", "content": "where?"},)]
    assert len({plain.id, first.id, house.make().adapter.id}) == 3
    assert len(house.trainer.orders) == 3
    assert house.make().found
