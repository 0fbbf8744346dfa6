"""Examples/s of the same LSTM in PyTorch, second epoch; bench-train runs it in .venv-torch, which has no TensorFlow.

B examples, T tokens, V words, L labels. `padded`: every utterance has max_tokens, as `fit` has it. `packed`: the same,
but PyTorch's packed sequences spare the LSTM the padding. `bucketed`: Parley's batches. More than one process are
started by Spark's TorchDistributor, and DistributedDataParallel sums their gradients over Gloo.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from corpus import BATCH, CORES, EPOCHS, SEED
from torch import distributed, nn
from torch.nn.functional import cross_entropy, dropout

from preprocessing.manifest import DataFile, read_manifest
from training.schedule import RankSchedule, epoch_steps, files_of_rank

WIDTH, DROPOUT = 128, 0.3  # of Parley's default model


class Lstm(nn.Module):
    """ids [B, T] -> logits [B, L], of the state behind the last word."""

    def __init__(self, vocabulary_size: int, num_labels: int, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.embedding = nn.Embedding(vocabulary_size, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH)
        self.intent = nn.Linear(WIDTH, num_labels)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        lengths = (ids != 0).sum(1)
        words = self.embedding(ids.T)  # [T, B, WIDTH], which PyTorch's LSTM likes better than [B, T, WIDTH]
        words = words * dropout(torch.ones(1, len(ids), WIDTH), DROPOUT, self.training)  # as SpatialDropout1D
        if self.packed:
            words = nn.utils.rnn.pack_padded_sequence(words, lengths, enforce_sorted=False)
            last = self.lstm(words)[1][0][0]
        else:
            last = self.lstm(words)[0][lengths - 1, torch.arange(len(ids))]
        return self.intent(dropout(last, DROPOUT, self.training))


def read(dataset: Path, files: Sequence[DataFile], buckets: Sequence[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """By bucket ids [N, T] and labels [N], in the order in which RankSchedule numbers them."""
    table = pq.read_table([dataset / file.path for file in files], columns=["input_ids", "length", "label_id"])
    ids = np.stack(table["input_ids"].to_numpy()).astype(np.int32)
    bucket_of = np.searchsorted(buckets, table["length"].to_numpy())
    labels = table["label_id"].to_numpy().astype(np.int64)
    return [
        (torch.from_numpy(ids[bucket_of == bucket, :width]), torch.from_numpy(labels[bucket_of == bucket]))
        for bucket, width in enumerate(buckets)
    ]


def train(dataset: str, batches: str, processes: int) -> float:
    """Examples/s of all processes; runs in each of them."""
    torch.set_num_threads(CORES // processes)
    torch.manual_seed(SEED)
    rank = 0
    if processes > 1:
        distributed.init_process_group("gloo")
        rank = distributed.get_rank()
    manifest = read_manifest(f"file://{dataset}")
    files, buckets = manifest.splits["train"], manifest.buckets
    if batches != "bucketed":  # all lengths in one bucket
        files, buckets = tuple(DataFile(file.path, (file.rows,)) for file in files), (manifest.max_tokens,)
    blocks = read(Path(dataset), [files[number] for number in files_of_rank(len(files), rank, processes)], buckets)
    network = Lstm(manifest.vocabulary_size, manifest.num_labels, batches == "packed")
    model = nn.parallel.DistributedDataParallel(network) if processes > 1 else network
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    schedule, rates = RankSchedule(files, rank, processes, SEED), []
    for epoch in range(EPOCHS):
        order, own = epoch_steps(files, BATCH, SEED, epoch), schedule.epoch_rows(epoch)
        began, examples, losses = time.monotonic(), 0, 0.0
        for place in order:
            ids, labels = blocks[place.bucket]
            chosen = schedule.rows_of(place, own)
            total = place.stop - place.start
            # a rank without a row of this step takes one that counts nothing, since every rank must take part
            rows, counts = (chosen, processes / total) if len(chosen) else (np.zeros(1, np.int64), 0.0)
            optimizer.zero_grad()
            loss = cross_entropy(model(ids[rows]), labels[rows], reduction="sum") * counts  # the mean over the ranks
            loss.backward()
            optimizer.step()
            examples, losses = examples + total, losses + loss.item()
        rates.append(examples / (time.monotonic() - began))
    print(f"rank {rank}: {examples} examples, loss {losses / len(order):.3f}")
    return max(rates[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("batches", choices=["padded", "packed", "bucketed"])
    parser.add_argument("processes", type=int)
    options = parser.parse_args()
    work = (options.dataset, options.batches, options.processes)
    if options.processes == 1:
        print(train(*work))
        return
    from pyspark.ml.torch.distributor import TorchDistributor
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    distributor = TorchDistributor(options.processes, local_mode=True, use_gpu=False)
    rate = distributor.run(train, *work)
    spark.stop()
    print(rate)


if __name__ == "__main__":
    main()
