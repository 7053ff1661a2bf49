"""`python -m msaas_local [up|demo]`: run the stack in the foreground, or the demo on it."""

import sys
import threading

from msaas.lifecycle import stop_on_signals
from msaas.settings import command_line, settings_or_exit
from msaas_local import demo
from msaas_local.settings import LocalSettings
from msaas_local.stack import running_stack, say, sleep_and_watch
from msaas_local.start_report import StartReport


def main() -> None:
    parser = command_line("msaas_local", "Run MSaaS on this machine.")
    parser.add_argument("command", nargs="?", choices=["up", "demo"], default="up", help="default: up")
    options = parser.parse_args()
    settings = settings_or_exit(LocalSettings, options)
    if options.command == "demo":
        sys.exit(demo.main())
    run(settings, stop_on_signals())


def run(settings: LocalSettings, stopping: threading.Event) -> None:
    """Keep the stack running until `stopping` is set."""
    with running_stack(settings) as stack:
        report = StartReport(stack, say)
        report.begin()
        while not sleep_and_watch(stack, stopping):
            report.update()


if __name__ == "__main__":
    main()
