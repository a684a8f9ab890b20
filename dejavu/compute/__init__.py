"""One training by several processes, each on a GPU of its own, which share every batch.

Each process has its share of the batch that one process would have whole: the same images, crops, colours and
redactions, since all random numbers are drawn for the whole batch (`rows` in random.py). Losses are
divided by what the whole batch has to learn from (`across`), gradients are averaged (torch's
DistributedDataParallel), and the main process (rank 0) alone measures, saves and writes. So N processes
learn what one learns, up to rounding, where the network has no statistics of its batch or has them of all of
it (sync_norm.py), and no dropout.

What has no sum over images stays each process' own, as in the published recipes: the hardest pixels that
OHEM keeps at least.
"""
