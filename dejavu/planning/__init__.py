"""Costs of trainings before they start: operations, memory, disk and hours.

- `step_cost`: one step of the real training, counted on the meta device without computation
- `data`: number of images, and their size on disk
- `speed`: real steps, timed on the current device and stored in results/<scale>/speed.json
- `power`: seeds that an interval of a given width takes, from the spread of finished seeds
- `plan`: plans for the rows of params.yaml from these counts and times
"""

from __future__ import annotations
