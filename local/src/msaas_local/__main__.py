"""`python -m msaas_local [demo]`: the stack in the foreground, or the demo on it."""

import sys

from msaas.lifecycle import stop_on_signals
from msaas.settings import load_or_exit
from msaas_local import demo, stack
from msaas_local.settings import LocalSettings

if __name__ == "__main__":
    settings = load_or_exit(LocalSettings)
    if "demo" in sys.argv[1:]:
        sys.exit(demo.main())
    stack.run(settings, stop_on_signals())
