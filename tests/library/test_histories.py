"""Any history of adding, changing, moving, deleting, removing and reopening ends where a fresh build begins."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sightbook.images.load.pool import digest
from sightbook.images.sources import source_id
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.held import by_key, catalogue_of, finely_held, held
from tests.library.pictures import content, picture, write
from tests.tiny import tiny_described, tiny_model

NAMES = ["a.png", "b.png", "sub/c.png", "sub/ünï code.png", "sub/deep/d.png"]
SEEDS = st.integers(0, 6)  # few contents: equal files, files that come back


class Histories(RuleBasedStateMachine):
    """A folder, a library that follows it, and a dictionary that says what each must hold."""

    model: Model
    make = staticmethod(tiny_model)

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="histories-"))
        kind = type(self)
        if "model" not in vars(kind):
            kind.model = Model.open(kind.make(Path(tempfile.mkdtemp(prefix="model-"))), threads=1)
        self.photos = self.root / "photos"
        write(self.photos / "anchor.png", picture(1000))  # so that the source is never empty
        self.library = Library.open(self.root / "library", create_with=self.model)
        self.clock = 1_700_000_000
        self.ids: dict[int, str] = {}  # every id ever given, with the content it had first
        self.synchronize(prune=False)

    def teardown(self) -> None:
        if hasattr(self, "library"):
            self.library.close()
            shutil.rmtree(self.root)

    def there(self) -> list[str]:
        return [path.relative_to(self.photos).as_posix() for path in sorted(self.photos.rglob("*.png"))]

    @rule(name=st.sampled_from(NAMES), seed=SEEDS)
    def write(self, name: str, seed: int) -> None:
        self.clock += 1
        write(self.photos / name, picture(seed), self.clock)

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def move(self, data: st.DataObject, name: str) -> None:
        old = self.photos / data.draw(st.sampled_from(self.there()))
        (self.photos / name).parent.mkdir(parents=True, exist_ok=True)
        if old.name != "anchor.png":
            old.replace(self.photos / name)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.there()))
        if name != "anchor.png":
            (self.photos / name).unlink()

    @rule(name=st.sampled_from(NAMES))
    def spoil(self, name: str) -> None:
        self.clock += 1
        write(self.photos / name, b"no picture at all", self.clock)

    @rule(prune=st.booleans())
    def synchronize(self, prune: bool) -> None:
        plan = Library.plan(self.root / "library", [self.photos], prune=prune)
        report = self.library.add([self.photos], jobs=1, prune=prune)
        assert len(plan.moved) == report.moved
        assert (len(plan.missing), 0) == ((report.removed, report.missing) if prune else (report.missing, 0))
        wanted = content(self.photos, self.model)
        source = source_id(self.photos)
        found = by_key(self.library)
        assert {path: value for (_, path), value in found.items()} == wanted
        assert {key[0] for key in found} <= {source}
        self.expected = wanted
        if prune:
            assert self.library.status().missing == 0

    @rule()
    def reopen(self) -> None:
        self.library.close()
        self.library = Library.open(self.root / "library")

    @precondition(lambda self: len(self.expected) > 1)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(set(self.expected) - {"anchor.png"})))
        self.library.remove((source_id(self.photos), name))
        self.expected = {path: value for path, value in self.expected.items() if path != name}

    @invariant()
    def the_library_holds_what_was_committed(self) -> None:
        if not hasattr(self, "expected"):
            return
        assert held(self.library) == self.expected and len(self.library) == len(self.expected)

    @invariant()
    def ids_are_never_used_again(self) -> None:
        if not hasattr(self, "library"):
            return
        with catalogue_of(self.library) as catalogue:
            known = {row[0] for row in catalogue.connection.execute("SELECT id FROM pictures")}
        fresh = known - self.ids.keys()
        assert all(id > max(self.ids, default=0) for id in fresh)
        self.ids |= dict.fromkeys(fresh, "")

    @rule()
    def a_fresh_build_answers_alike(self) -> None:
        if not hasattr(self, "expected") or self.expected != content(self.photos, self.model):
            return
        place = self.root / "fresh"
        with Library.open(place, create_with=self.model) as fresh:
            fresh.add([self.photos], jobs=1)
            for name in ("anchor.png", *list(self.expected)[:2]):
                if (self.photos / name).exists():
                    ours, theirs = (
                        sorted((hit.raw, hit.path) for hit in each.search(self.photos / name, 50))
                        for each in (self.library, fresh)
                    )
                    assert ours == theirs
        shutil.rmtree(place)


class FineHistories(Histories):
    """The same with fine codes, which are those of each picture on its own."""

    make = staticmethod(tiny_described)
    fine: ClassVar[
        dict[bytes, bytes]
    ] = {}  # by digest: what was committed may have changed in the folder since

    @invariant()
    def every_picture_has_its_fine_code(self) -> None:
        if not hasattr(self, "expected"):
            return
        if not self.fine:
            for data in map(picture, (*range(7), 1000)):
                self.fine[digest(data)] = self.model.fine(
                    self.model.embed(self.model.prepare(data)[None])
                ).tobytes()
        assert finely_held(self.library) == {
            path: self.fine[found] for path, (found, _) in self.expected.items()
        }


TestHistories = Histories.TestCase
TestFineHistories = FineHistories.TestCase
TestHistories.settings = TestFineHistories.settings = settings(
    max_examples=12,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
