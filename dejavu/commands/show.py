"""`dejavu show EXPERIMENT`: an experiment's configuration, resolved."""

from __future__ import annotations

import argparse

from .common import add_name, read_configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the experiment's name."""
    add_name(parser, "experiment")


def run(args: argparse.Namespace) -> None:
    """Print all that a run of the experiment depends on, as YAML."""
    import yaml

    params, scale = read_configuration(args)
    values = params.run(args.name, scale).as_dict()
    print(yaml.safe_dump(values, sort_keys=False, default_flow_style=None).rstrip())
