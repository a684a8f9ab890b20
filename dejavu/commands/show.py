"""`dejavu show EXPERIMENT`: an experiment's configuration, resolved."""

from __future__ import annotations

import argparse

from .common import add_json, add_name, print_json, read_configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's name and `--json`."""
    add_name(parser, "experiment")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Print all that a run of the experiment depends on, as YAML or JSON."""
    import yaml

    params, scale = read_configuration(args)
    values = params.run(args.name, scale).as_dict()
    if args.json:
        print_json(values)
        return
    print(yaml.safe_dump(values, sort_keys=False, default_flow_style=None).rstrip())
