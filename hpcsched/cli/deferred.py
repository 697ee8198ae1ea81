"""Modules whose bodies run when something of them is used, not when they are imported.

A command that makes one call needs a tenth of what ``import grpc`` and ``import
google.protobuf`` import. Who uses any of it gets it, at the first name that is looked
up: nothing else changes.
"""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from importlib.machinery import ModuleSpec

#: What is imported on a cold command's way and used beside it. None of them changes
#: anything by being imported: that would be missed.
DEFERRED: Final = frozenset(
    {
        "asyncio",
        "concurrent.futures",
        "google.protobuf.internal.python_message",
        "google.protobuf.text_format",
        "grpc.aio",
        "inspect",
        "socket",
        "ssl",
        "traceback",
    }
)


class _Deferred(ModuleType):
    """A module whose body has not run yet."""

    def __getattr__(self, name: str) -> Any:
        return _look(self, name)


class _Running(ModuleType):
    """A module whose body runs."""

    def __getattr__(self, name: str) -> Any:
        return _look(self, name)


#: Held while a body runs: other threads wait for its end.
_lock = threading.RLock()


def _look(module: ModuleType, name: str) -> Any:
    with _lock:
        if type(module) is _Running:  # In this thread: its body is not there yet.
            raise AttributeError(f"{module.__name__!r} has no {name!r} yet")
        if type(module) is _Deferred:
            _run(module)
    return getattr(module, name)


def _run(module: ModuleType) -> None:
    spec = module.__spec__
    if spec is None or spec.loader is None:
        raise ImportError(f"nobody loads {module.__name__}", name=module.__name__)
    module.__class__ = _Running
    try:
        spec.loader.exec_module(module)
    except BaseException:
        module.__class__ = _Deferred
        raise
    module.__class__ = ModuleType


class _Loader:
    """Loads a module except for its body, and leaves that to the module."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        module.__class__ = _Deferred


class _Finder:
    """Finds the modules that are deferred, each one once."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = set(names)

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if name not in self._names:
            package = sys.modules.get(name.rpartition(".")[0])
            if type(package) is _Deferred:
                package.__getattr__("__name__")  # Its body runs before its modules'.
            return None
        self._names.discard(name)
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


def install(names: Collection[str] = DEFERRED) -> None:
    """Defer modules that this process has not imported yet."""
    sys.meta_path.insert(0, _Finder(names))
