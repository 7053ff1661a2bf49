"""`python -m worker.tests.failing_worker`: a real worker whose network has a layer that raises."""

from typing import Any

import torch
from worker.tests.models import tiny

from msaas.models import FOUR_STEMS
from msaas_worker.__main__ import main
from msaas_worker.separators import Separator
from msaas_worker.separators.bag import Bag
from msaas_worker.separators.engine import BagSeparator, make_runner


class FailingSeparators:
    """Implements `Separators`: the second encoder layer of every model expects another number of channels."""

    def get(self, model: str) -> Separator:
        network: Any = tiny()
        layer = network.encoder[1].conv
        layer.weight = torch.nn.Parameter(layer.weight[:, 1:].contiguous())
        return BagSeparator(
            model=model,
            bag=Bag(FOUR_STEMS, ((1.0,) * len(FOUR_STEMS),)),
            runners=(make_runner(network, None, device="cpu", precision="exact"),),
            weights_sha256="0" * 64,
        )


if __name__ == "__main__":
    main(separators=FailingSeparators())
