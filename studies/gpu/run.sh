#!/usr/bin/env bash
# Train the pairs of params.yaml side by side on one device, seed by seed, until the time is over, and make tables of the
# seeds that are there. A later call goes on where this one stopped. MINUTES, PARALLEL and SCALE are read from the
# environment (`make evidence-gpu MINUTES=12`).
set -euo pipefail
cd "$(dirname "$0")"
minutes=${MINUTES:-12} parallel=${PARALLEL:-10} scale=${SCALE:-gpu}
# The tables take a minute at the end.
deadline=$(($(date +%s) + 60 * minutes - 60))
export deadline scale
mkdir -p logs

train() {  # ROW SEED
  local left=$((deadline - $(date +%s)))
  if ((left < 5)); then return; fi
  timeout --signal=TERM --kill-after=20 "$left" dejavu train "$1" --scale "$scale" --seed "$2" \
    > "logs/$1-$2.log" 2>&1 && echo "$1 seed $2: done" || echo "$1 seed $2: stopped, see logs/$1-$2.log"
}
export -f train

dejavu download camvid --scale "$scale"
dejavu prepare camvid --scale "$scale"
seeds=$(python -c "import yaml; print(*yaml.safe_load(open('params.yaml'))['scales']['$scale']['seeds'])")
for pair in hrnet18 fpn_lite0; do
  for seed in $seeds; do printf '%s %s\n' "$pair" "$seed" "${pair}_dejavu" "$seed"; done
done | xargs -P "$parallel" -L 1 bash -c 'train "$0" "$1"'

for row in hrnet18 hrnet18_dejavu fpn_lite0 fpn_lite0_dejavu; do
  dejavu evaluate "$row" --scale "$scale" || true
done
dejavu tables pairs --scale "$scale" --partial
dejavu verdicts --scale "$scale"
