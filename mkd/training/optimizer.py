"""Parameter groups by their settings instead of one a parameter, as the optimizer likes them."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor with groups of equal settings merged.

    With one group a parameter, as the stock constructor leaves them, a fused optimizer and the
    learning rate's schedulers make hundreds of small steps. The update is the same bit for bit.
    """

    def add_params(
        self, params: list[dict[str, Any]], module: nn.Module, prefix: str = "", **kwargs: Any
    ) -> None:
        """Add the parameters of ``module`` and its children to ``params``."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix:
            # A child: its parent still looks for duplicates in what has been gathered.
            return
        merged: dict[tuple[Any, ...], dict[str, Any]] = {}
        for group in params:
            settings = {key: value for key, value in group.items() if key != "params"}
            into = merged.setdefault(tuple(sorted(settings.items())), {**settings, "params": []})
            into["params"] += group["params"]
        params[:] = merged.values()
