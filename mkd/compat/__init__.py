"""Makes mmdet, mmrazor and mmyolo import on current torch, without a compiled mmcv.

Import this module before any of the three; doing so is all there is to it. Two modules
that cannot be had are put in ``sys.modules`` before somebody asks for them:

- ``mmcv._ext``, the compiled half of mmcv: the operators the suite's detectors need are
  backed by torchvision's kernels (see :mod:`mkd.compat.ops`). A compiled mmcv wins where
  there is one.
- ``mmrazor.structures.quantization``: it imports torch internals that are gone. Distillation
  never touches it; a name taken from the stand-in fails with one sentence when it is used.
"""

import importlib.util
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_QUANTIZATION = "mmrazor.structures.quantization"


class _Missing(type):
    """Metaclass of the placeholders: subclassing works at import, use does not."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"{cls.__qualname__} belongs to mmrazor's quantization package, which does not "
            "import on this torch: use a torch release that mmrazor 1.0.0 supports"
        )


class _QuantizationStandIn(ModuleType):
    """A package that answers every import of a name with a placeholder class."""

    __path__ = ()  # type: ignore[assignment]
    __all__ = ()

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(name, (), {})


def _activate() -> None:
    # The stack is pinned: its deprecation notices are noise no user can act on.
    for module in ("mmcv", "mmengine", "mmdet", "mmrazor", "mmyolo", "torch", "pkg_resources"):
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", category=category, module=module)
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

    if "mmcv._ext" not in sys.modules and importlib.util.find_spec("mmcv._ext") is None:
        from mkd.compat.ops import extension_module

        sys.modules["mmcv._ext"] = extension_module()
    if _QUANTIZATION not in sys.modules:
        for name in (_QUANTIZATION, f"{_QUANTIZATION}.backend_config"):
            stand_in = _QuantizationStandIn(name)
            stand_in.__spec__ = ModuleSpec(name, loader=None, is_package=True)
            sys.modules[name] = stand_in


_activate()
