"""`dejavu show EXPERIMENT`: an experiment's configuration, resolved."""

from __future__ import annotations

import argparse
import json

from .common import add_name, read_configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's name and `--json`."""
    add_name(parser, "experiment")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    """Print all that a run of the experiment depends on, as YAML or JSON."""
    import yaml

    params, scale = read_configuration(args)
    values = params.run(args.name, scale).as_dict()
    if args.json:
        print(json.dumps(values, indent=1))
        return
    print(yaml.safe_dump(values, sort_keys=False, default_flow_style=None).rstrip())
