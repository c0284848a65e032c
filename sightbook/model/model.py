"""A trained model as everything but training uses it: pictures → embeddings → codes, without torch.

Data flow: bytes → `prepare` (decode + one fixed view, uint8) → `embed` (encoder.onnx; scaling to mean and deviation is
inside the graph) → x (N, D) float32 → `assign` (the best codewords) → codes (N, M) uint8 → `pack`.
A described model has two steps in `embed`: encoder.onnx → features (N, F) → `describe` → x. One of vectors begins
there.
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightbook.arguments import count, finite, optional, path_like, takes
from sightbook.codes import fine as fine_codes
from sightbook.codes import pack as packing
from sightbook.codes.tables import Codebooks, reconstruct
from sightbook.describe.description import Description
from sightbook.describe.vectors import checked, halved
from sightbook.errors import ModelError
from sightbook.images.load.apart import frame_apart
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.picture import Picture
from sightbook.model import arrays, released
from sightbook.model.config import ModelConfig
from sightbook.model.folder import check_contents, check_sizes, copy_files, read_codebooks, read_description
from sightbook.model.graph import Graph

if TYPE_CHECKING:
    from sightbook.describe.learn import Strength  # learning is not what searching waits for


class Model:
    """A MODEL folder, opened; `folder` as it was given, `place` absolute. Safe to share between threads. The encoder
    itself is loaded at its first use."""

    def __init__(
        self, folder: Path, config: ModelConfig, codebooks: NDArray[np.float32], threads: int | None = None
    ) -> None:
        self.folder, self.config, self.codebooks = folder, config, codebooks
        self.place = folder.absolute()  # where that is wherever the process goes
        self.threads = threads
        self.graph = Graph(self.place / "encoder.onnx", threads)
        self._whole: Model = self
        self._description: Description | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its folder, threads and length of code: whoever unpickles it opens the folder there."""
        return _reopen, (str(self.place.resolve()), self.threads, self.bits, self.fingerprint)

    @classmethod
    @takes(folder=path_like, threads=optional(count))
    def open(cls, folder: str | os.PathLike[str], *, threads: int | None = None) -> Model:
        """Opens the folder that `sightbook train` wrote, or a released model by its name (`released.names`).

        threads: for the encoder, default all cores that this process may use (`sightbook.cores`).
        Raises ModelError when the folder holds no model, a damaged one, or
        one of a newer format.
        """
        path = released.find(Path(folder))
        config = ModelConfig.read(path)
        check_sizes(path, config)
        return cls(path, config, read_codebooks(path, config), threads)

    @classmethod
    @takes(out=path_like, bits=count)
    def fit(
        cls,
        vectors: Any,
        out: str | os.PathLike[str],
        *,
        bits: int = 64,
        strength: Strength | None = None,
    ) -> Model:
        """Learns codes of `bits` bits (a multiple of 8, 16 to 128) for vectors (N, F) of any origin, writes the model
        to the new folder `out` and opens it: `describe` and `assign` then code any vector of that kind.

        vectors: an array, or the path of a `.npy`, a Parquet file with a column of vectors, or a glob of those. No
        labels, no torch; seconds for some thousand vectors. A mapped array is read as far as it is needed, a file
        whole. strength: by default chosen by the vectors themselves (`sightbook.describe.learn`). ConfigError for
        vectors that are not finite or of no length, and for a folder that is not empty; SourceError for a path without
        vectors.
        """
        from sightbook import __version__
        from sightbook.images.vectors import read_vectors
        from sightbook.model.fit import fit_vectors, strength_like

        strength = strength_like(strength, "strength")
        if isinstance(vectors, str | os.PathLike):
            vectors = read_vectors(path_like(vectors, "vectors"))
        return cls.open(fit_vectors(vectors, Path(out), bits, __version__, strength=strength))

    @takes(bits=count)
    def prefix(self, bits: int) -> Model:
        """The same model with codes of their first `bits` bits only, to evaluate or to search with.

        Raises ModelError for a length that was not learned as a code by itself (`config.nested`).
        """
        if bits == self.bits:
            return self
        if bits not in self.config.nested:
            known = ", ".join(map(str, (*self.config.nested, self.bits)))
            raise ModelError(
                f"{self.folder} has no {bits}-bit codes inside its own (it has {known}): "
                "train it with --nested, or another one with --bits"
            )
        M = bits // (self.bits // self.M)
        shorter = [length for length in self.config.nested if length < bits]
        D = self.D if self.config.shared else M * self.d
        config = replace(self.config, M=M, D=D, nested=tuple(shorter), fine=None)
        model = Model(self.folder, config, np.ascontiguousarray(self.codebooks[:M]), self.threads)
        model._whole, model.graph, model.place = self._whole, self.graph, self.place
        return model

    @property
    def is_whole(self) -> bool:
        """Whether this is a model of its own, not the `prefix` of one."""
        return self._whole is self

    @property
    def M(self) -> int:
        """Codebooks in a code."""
        return self.config.M

    @property
    def K(self) -> int:
        """Codewords in a codebook."""
        return self.config.K

    @property
    def D(self) -> int:
        """Length of an embedding."""
        return self.config.D

    @property
    def d(self) -> int:
        """Length of a sub-vector."""
        return self.config.d

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return self.config.bits

    @property
    def fine_bytes(self) -> int:
        """Bytes of a fine code, one for each number of an embedding; 0: the model has none."""
        return 0 if self.config.fine is None else self.D

    @property
    def takes_vectors(self) -> bool:
        """Whether it was learned from vectors, and takes such instead of pictures."""
        return self.config.frame is None

    @property
    def frame(self) -> Frame:
        """The one fixed view the encoder sees. ModelError when the model takes vectors."""
        if self.config.frame is None:
            raise ModelError(
                f"{self.folder} was learned from vectors of {self.config.features} numbers and takes no pictures: give "
                "it vectors (a .npy file; in Python Model.describe, Library.search_vectors)"
            )
        return self.config.frame

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that decides a picture's code; codes of different fingerprints never mix."""
        return self.config.fingerprint

    def prepare(self, picture: Picture) -> NDArray[np.uint8]:
        """A picture (a path, a file's bytes, an open file, an RGB array, a Pillow picture) → (S, S, 3) uint8, what
        `embed` takes. PictureError when it cannot be read."""
        return frame_apart(picture, self.frame)[0]

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pixels (N, S, S, 3) uint8 → embeddings (N, D) float32; metric inner: of unit sub-vectors."""
        pixels = arrays.pixels(pixels, self.frame.size)
        if not len(pixels):
            return np.empty((0, self.D), np.float32)
        if self.config.described:
            return self.embed_with_features(pixels)[0]
        (x,) = self.graph.run(["x"], pixels)
        return x if self.is_whole else np.ascontiguousarray(x[:, : self.D])

    def embed_with_features(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`embed`, and the backbone's features (N, F) float32 before the head. ModelError when the encoder is an older
        one that does not give them."""
        if not self.config.features:
            raise ModelError(
                f"{self.folder} does not give its backbone's features: train it again with this version"
            )
        pixels = arrays.pixels(pixels, self.frame.size)
        if self.config.described:
            (features,) = self.graph.run(["features"], pixels)
            features = halved(features)
            return self.describe(features), features
        x, features = self.graph.run(["x", "features"], pixels)
        return x[:, : self.D], features

    def describe(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Features, or the vectors of a model that takes such, (N, F) → embeddings (N, D) float32.

        ModelError when the model's embeddings are not made of features; ConfigError for vectors of another length or
        that are not finite.
        """
        return self.description.apply(checked(features))

    def assign(self, x: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Embeddings (N, D) → codes (N, M) uint8, the nearest codeword of each codebook."""
        return self._lookup.assign(arrays.embeddings(x, self.D))

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pixels (N, S, S, 3) uint8 → codes (N, M) uint8."""
        return self.assign(self.embed(pixels))

    def fine(self, x: NDArray[np.float32]) -> NDArray[np.int8]:
        """Embeddings (N, D) → fine codes (N, D) int8, of stored pictures and of queries alike (`codes.fine`).

        ModelError when the model has none.
        """
        limit = self._fine_constant("limit")
        return fine_codes.quantize(arrays.embeddings(x, self.D) + self.description.middle, limit)

    @property
    def fine_gain(self) -> np.float32:
        """What the product of two fine codes weighs beside a code score. ModelError when the model has none."""
        return fine_codes.gain(self._fine_constant("weight"), self._fine_constant("limit"))

    def tables(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Query embeddings (Q, D) → look-up tables (Q, M, K): the asymmetric score is their sum over a code."""
        return self._lookup.tables(finite(arrays.embeddings(x, self.D), "x"))

    def symmetric_tables(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Query codes (Q, M) → look-up tables (Q, M, K): the query is quantized, too."""
        return self._lookup.tables(reconstruct(arrays.codes(codes, self.M, self.K), self.codebooks))

    def pack(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Codes (N, M) → (N, bytes) uint8."""
        return packing.pack(arrays.codes(codes, self.M, self.K), self.K)

    def unpack(self, packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The inverse of `pack`."""
        found = arrays.small(packed, "packed", packing.code_bytes(self.M, self.K))
        return packing.unpack(found, self.M, self.K)

    @takes(folder=path_like)
    def copy_to(self, folder: Path) -> Model:
        """Copies what encoding a query needs (not the weights for further training) and opens the copy."""
        if not self.is_whole:
            raise ModelError(
                f"a library keeps the whole codes of {self.folder}: give the model itself, and ask the library with "
                "scan_bits"
            )
        self.check()
        folder = Path(folder)
        copy_files(self.config, self.place, folder)
        return Model.open(folder, threads=self.threads)

    def check(self) -> None:
        """ModelError when a file is not, byte for byte, what was written: opening looks at sizes alone."""
        check_contents(self.place, self.config)

    @cached_property
    def _lookup(self) -> Codebooks:
        return Codebooks(self.codebooks, self.config.metric)

    def _fine_constant(self, name: str) -> float:
        if self.config.fine is None:
            raise ModelError(
                f"{self.folder} has no fine codes: only described models have (config.json, `described`); fit or train "
                "such a one"
            )
        return self.config.fine[name]

    @property
    def description(self) -> Description:
        """What makes embeddings of features, loaded at first use. ModelError when they are not made of such."""
        if not self.config.described:
            raise ModelError(
                f"the embeddings of {self.folder} come from its encoder as they are: use Model.embed"
            )
        if not self.is_whole:
            return self._whole.description
        with self._lock:
            if self._description is None:
                self._description = read_description(self.place)
            return self._description


def _reopen(folder: str, threads: int | None, bits: int, fingerprint: str) -> Model:
    """What a pickled model stands for. ModelError when the folder holds another one by now."""
    model = Model.open(folder, threads=threads)
    if model.fingerprint != fingerprint:
        raise ModelError(f"{folder} holds another model than the one that was pickled: pickle it again")
    return model.prefix(bits)
