#!/usr/bin/env python3
"""Measure the service under load on loopback, against the readers by themselves, on the same
images.

python benchmarks/serving.py --seconds 60
python benchmarks/serving.py --seconds 20 --kill --photos ../shared/photos

Clients send single words, several words and photographs, and compare every answer with what the
readers return by themselves. In each round the readers first work alone in this process, then the
service under load, so that other work on the machine affects both alike. Prints words per second of
both; the fraction of the readers' speed that the service reaches, in wall and in processor time
(the clients' own time left out); seconds to an answer; and the service's memory. --kill: kill the
service with SIGKILL in the middle of each round and start it again; the clients retry.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from strhub import Recognizer, Spotter
from strhub.data.synth import RenderedWords
from strhub.images.find import find_images
from strhub.text import CHARSET_62

STREET = Path(__file__).resolve().parents[1] / "docs" / "figures" / "street.jpg"
TICKS = os.sysconf("SC_CLK_TCK")
WORDS_EACH = (1, 1, 1, 1, 1, 8, 8, 8, 8)  # of requests, in turn at random; and one photograph


@dataclass
class Work:
    """A request as bytes, the path it goes to, what its answer must say, and how many words."""

    path: str
    content: bytes
    texts: list[str]
    words: int


@dataclass
class Outcome:
    """What came of a load."""

    words: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    latencies: dict[str, list[float]] = field(default_factory=lambda: {"/read": [], "/spot": []})
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    retries: int = 0
    memory: list[float] = field(default_factory=list)


class Server:
    """`strhub-serve` in a process of its own."""

    def __init__(self, model: str, *options: str) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self._command = [sys.executable, "-m", "strhub", "serve", model, "--port", str(self.port)]
        self._command += options
        self.start()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while not asyncio.run(self.is_ready()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the service does not start")
            time.sleep(0.1)

    async def is_ready(self) -> bool:
        """Return whether it answers that it is."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 20)
            writer.close()
            return answer.startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def kill(self) -> None:
        """End it without warning."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it in order; return its status."""
        self.process.terminate()
        return self.process.wait(60)

    @property
    def memory(self) -> float:
        """Return the MiB that it holds."""
        return resident(self.process.pid)

    @property
    def cpu(self) -> float:
        """Return the processor seconds that it has used."""
        fields = (
            Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / TICKS


def resident(process: int) -> float:
    """Return the MiB that a process holds (Linux)."""
    pages = Path(f"/proc/{process}/statm").read_text("ascii").split()[1]
    return int(pages) * 4096 / 2**20


def form(contents: list[bytes], path: str) -> bytes:
    """Return a whole request with images."""
    boundary = b"strhub-serving-benchmark"
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="images"; filename="%d"\r\n\r\n%s\r\n'
        % (boundary, number, content)
        for number, content in enumerate(contents)
    ]
    body = b"".join(parts) + b"--%s--\r\n" % boundary
    head = (
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=%s"
        b"\r\nContent-Length: %d\r\n\r\n" % (path.encode(), boundary, len(body))
    )
    return head + body


class Bare:
    """The readers by themselves, on images in memory."""

    def __init__(self, model: str, crops: list[bytes], photos: list[bytes]) -> None:
        self.recognizer, self.spotter = Recognizer(model), Spotter(reader=model, keep_images=False)
        self.crops, self.photos = crops, photos
        self.texts = [reading.text for reading in self.recognizer(crops)]
        self.pages = list(self.spotter.read(photos))

    def run(self, seconds: float) -> Outcome:
        """Read what clients send, in the same proportions, for so long."""
        outcome = Outcome()
        crops_per_photo = sum(WORDS_EACH)  # crops to a photograph
        cpu, began = time.process_time(), time.perf_counter()
        number = 0
        while time.perf_counter() - began < seconds:
            size = 4 * crops_per_photo
            crops = [self.crops[(number * size + n) % len(self.crops)] for n in range(size)]
            photos = [self.photos[(4 * number + n) % len(self.photos)] for n in range(4)]
            outcome.words += sum(1 for _ in self.recognizer.read(crops))
            outcome.words += sum(len(page.words) for page in self.spotter.read(photos))
            number += 1
        outcome.seconds = time.perf_counter() - began
        outcome.cpu = time.process_time() - cpu
        return outcome

    def work(self, generator: random.Random) -> Work:
        """Return a request of a client."""
        size = generator.choice((*WORDS_EACH, 0))
        if not size:
            index = generator.randrange(len(self.photos))
            page = self.pages[index]
            content = form([self.photos[index]], "/spot")
            return Work("/spot", content, [page.text], len(page.words))
        indices = [generator.randrange(len(self.crops)) for _ in range(size)]
        content = form([self.crops[index] for index in indices], "/read")
        return Work("/read", content, [self.texts[index] for index in indices], size)


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return (
        int(head[0].split()[1]),
        headers,
        await reader.readexactly(int(headers["content-length"])),
    )


async def client(
    port: int, bare: Bare, seed: int, end: float, outcome: Outcome, *, patient: bool
) -> None:
    """Send requests until the time is over, each again until it is answered."""
    generator = random.Random(seed)
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while time.monotonic() < end:
        work = bare.work(generator)
        while True:
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", port)
                began = time.monotonic()
                connection[1].write(work.content)
                await connection[1].drain()
                status, headers, body = await answer_of(connection[0])
            except (OSError, asyncio.IncompleteReadError):
                if connection is not None:
                    connection[1].close()
                connection = None
                outcome.retries += 1
                if not patient:
                    raise
                await asyncio.sleep(0.2)
                continue
            outcome.statuses[status] += 1
            if status == 200:
                break
            connection[1].close()  # it may be closed while this waits
            connection = None
            await asyncio.sleep(float(headers.get("retry-after", 1)) * generator.random())
        outcome.latencies[work.path].append(time.monotonic() - began)
        results = json.loads(body)["results"]
        texts = [result["text"] for result in results]
        named = [result["name"] for result in results] == [str(n) for n in range(len(results))]
        outcome.wrong += sum(a != b for a, b in zip(texts, work.texts, strict=True)) + (not named)
        outcome.words += work.words
    if connection is not None:
        connection[1].close()


async def load(server: Server, bare: Bare, args: argparse.Namespace, outcome: Outcome) -> None:
    """Put the service under load for a round."""
    began, cpu = time.monotonic(), server.cpu
    end = began + args.seconds / args.rounds
    clients = [
        asyncio.create_task(
            client(server.port, bare, random.randrange(1 << 30), end, outcome, patient=args.kill)
        )
        for _ in range(args.clients)
    ]
    killed = not args.kill
    while any(not one.done() for one in clients):
        await asyncio.sleep(0.5)
        outcome.memory.append(server.memory)
        if not killed and time.monotonic() - began > args.seconds / args.rounds / 2:
            killed, cpu = True, 0.0
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
    await asyncio.gather(*clients)
    outcome.seconds += time.monotonic() - began
    outcome.cpu += server.cpu - cpu


def percentile(values: list[float], fraction: float) -> float:
    """Return the value below which so many are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else float("nan")


def images(args: argparse.Namespace) -> tuple[list[bytes], list[bytes]]:
    """Return the files of words and of photographs."""
    if args.crops:
        crops = [path.read_bytes() for path in find_images(args.crops)]
    else:
        rendered = RenderedWords(charset=CHARSET_62, max_length=12, seed=5, difficulty=0.5)
        crops = [rendered.render_encoded(index)[0] for index in range(args.count)]
    photos = [path.read_bytes() for path in find_images(args.photos)][: args.count]
    return crops, photos


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="strhub-small")
    parser.add_argument(
        "--crops", nargs="*", help="folder of word images; by default rendered words"
    )
    parser.add_argument("--photos", nargs="*", default=[str(STREET)], help="folder of photographs")
    parser.add_argument(
        "--count", type=int, default=300, help="number of words, and of photographs at most"
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument(
        "--seconds", type=float, default=60, help="seconds of load, in all rounds together"
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    bare = Bare(args.model, *images(args))
    alone, served = Outcome(), Outcome()
    server = Server(args.model)
    own = 0.0
    try:
        for _ in range(args.rounds):
            part = bare.run(max(2.0, args.seconds / args.rounds / 3))
            alone.words, alone.seconds = alone.words + part.words, alone.seconds + part.seconds
            alone.cpu += part.cpu
            alone.memory.append(resident(os.getpid()))
            before = time.process_time()
            asyncio.run(load(server, bare, args, served))
            own += time.process_time() - before
    finally:
        status = server.stop()
    numbers = summary(alone, served)
    numbers |= {"exit_status": status, "clients_cpu_seconds": round(own, 1)}
    for name, value in numbers.items():
        print(f"{name.replace('_', ' '):<32}{value}")
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=2) + "\n", "utf-8")


def summary(alone: Outcome, served: Outcome) -> dict[str, Any]:
    """Return the numbers that are printed."""
    rates = [one.words / one.seconds for one in (alone, served)]
    costs = [1000 * one.cpu / max(one.words, 1) for one in (alone, served)]
    memory = served.memory[len(served.memory) // 8 :] or [0.0]  # once it has warmed up
    return {
        "words_a_second_alone": round(rates[0], 1),
        "words_a_second_served": round(rates[1], 1),
        "share_kept": round(rates[1] / rates[0], 3),
        "processor_ms_a_word_alone": round(costs[0], 2),
        "processor_ms_a_word_served": round(costs[1], 2),
        "answers": sum(served.statuses.values()),
        "statuses": dict(served.statuses),
        "wrong_answers": served.wrong,
        "tried_again": served.retries,
        **{
            f"{path.strip('/')}_seconds_p{round(100 * fraction)}": round(
                percentile(values, fraction), 3
            )
            for path, values in served.latencies.items()
            for fraction in (0.5, 0.99)
        },
        "memory_mib_first_and_last_fifth": [
            round(mean(memory[: len(memory) // 5 + 1])),
            round(mean(memory[-(len(memory) // 5 + 1) :])),
        ],
        "memory_mib_at_most": round(max(memory)),
        "memory_mib_of_the_readers_alone": round(max(alone.memory)),
    }


if __name__ == "__main__":
    main()
