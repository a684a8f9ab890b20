"""What trainings will cost, before anyone starts them: work, memory, disk and hours.

- `work`: one step of the real training, counted on the meta device, where nothing is computed
- `data`: how many images there are, and what they take on disk
- `speed`: real steps, timed on the device at hand and kept in results/<scale>/speed.json
- `plan`: both together for the rows of params.yaml
"""

from __future__ import annotations
