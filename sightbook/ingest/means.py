"""With what entries are encoded: by this process and its own, or by whatever fulfils `Encoder` elsewhere."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightbook.arguments import described
from sightbook.errors import ConfigError
from sightbook.images.entry import Entry
from sightbook.images.pixels.about import About
from sightbook.progress import Listener, silent

if TYPE_CHECKING:
    from sightbook.model.encode import Encoded, Encoder, Failed
    from sightbook.model.model import Model
    from sightbook.model.seen import Seen


@dataclass(frozen=True, slots=True)
class Means:
    """encode: None: `model.encode.encode`, in this process, with `jobs` decoding processes and what was `seen` before;
    listener: told of its progress."""

    encode: Encoder | None = None
    jobs: int | None = None
    seen: Seen | None = None
    listener: Listener = silent

    def results(
        self, entries: Sequence[Entry], model: Model
    ) -> Generator[tuple[Entry, Encoded | Failed], None, None]:
        """Each entry with its result, in the order of the entries. Close it, or exhaust it.

        ConfigError where an encoder gives another result than the one that is due, or ends too early: what it gave
        before was good. Whatever the encoder raises passes on.
        """
        from sightbook.model.encode import Encoded, Failed, encode

        own = self.encode is None
        results: Iterable[Encoded | Failed] = (
            encode(entries, model, jobs=self.jobs, listener=self.listener, total=len(entries), seen=self.seen)
            if self.encode is None
            else self.encode(entries, model)
        )
        try:
            left = iter(results)
            for entry in entries:
                result = next(left, None)
                if not isinstance(result, Encoded | Failed) or result.entry.key != entry.key:
                    raise _wrong(entry, _name(result))
                if not own and isinstance(result, Encoded):
                    _check(entry, result, model)
                yield entry, result
            if (more := next(left, None)) is not None:
                raise _wrong(None, _name(more))
        finally:
            if close := getattr(results, "close", None):
                close()


def _check(entry: Entry, result: Encoded, model: Model) -> None:
    codes, x, digest, about = result.codes, result.x, result.digest, result.about
    sound = isinstance(digest, bytes) and len(digest) == 16 and isinstance(about, About)
    sound = sound and getattr(codes, "shape", None) == (model.M,) and codes.dtype == "u1"
    if not sound or getattr(x, "shape", None) != (model.D,) or x.dtype.kind != "f":
        told = f"digest {described(digest)}, about {described(about)}, codes {described(codes)}, x {described(x)}"
        raise _wrong(entry, told)


def _name(result: object) -> str:
    entry = getattr(result, "entry", None)
    if isinstance(entry, Entry):
        return f"the result of {entry.locator}"
    return "nothing more" if result is None else f"a {type(result).__name__}"


def _wrong(due: Entry | None, given: str) -> ConfigError:
    where = "after the last one" if due is None else f"where the result of {due.locator} was due"
    return ConfigError(
        f"the encoder gave {given} {where}: it must give one Encoded or Failed for each entry, in their order, with "
        "the digest (16 bytes), About, x (D,) and codes (M,) uint8 that the model makes; what came before is kept"
    )


def seen_like(value: Any, name: str) -> Any:
    """A `Seen`. ConfigError for anything else."""
    from sightbook.model.seen import Seen

    if not isinstance(value, Seen):
        raise ConfigError(
            f"{name} is {described(value)}: give what learning returned (sightbook.model.seen.Seen)"
        )
    return value


def encoder_like(value: Any, name: str) -> Any:
    """A function that may be an `Encoder`. ConfigError for what cannot be called."""
    if not callable(value):
        raise ConfigError(
            f"{name} is {described(value)}: give a function of entries and a model (sightbook.model.encode.Encoder)"
        )
    return value
