"""The service without its routes: requests to answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request

from strhub.inference.reading import Reading
from strhub.serving.answers import BLANK, page_to_dict, reading_to_dict
from strhub.serving.batching import Dispatcher, Queue
from strhub.serving.bodies import Memory, read_body
from strhub.serving.guard import LOGGED
from strhub.serving.inputs import Job, parse
from strhub.serving.metrics import Metrics
from strhub.serving.options import ServeOptions
from strhub.serving.reading import ServedModel, served_models
from strhub.serving.refusals import Refusal
from strhub.spotting.page import Page

__all__ = ["Service"]

_PARSERS = 4  # threads that take bodies apart
_FETCHERS = 8  # threads that fetch addresses, which take their time
T = TypeVar("T")


class Service:
    """Models, queues and limits; `strhub.serving.app.create_app` puts it on the web.

    models: by their names, those of the options by default.

    Raises:
        ValueError: if a model cannot be loaded.
    """

    def __init__(
        self, options: ServeOptions, models: Mapping[str, ServedModel] | None = None
    ) -> None:
        self.options = options
        self.models = dict(models if models is not None else served_models(options))
        self.default = next(iter(self.models))
        self.metrics = Metrics(lambda: self.dispatcher.waiting)
        self.dispatcher = Dispatcher(options.processors, options.wait_ms / 1000, self.metrics)
        self.memory = Memory(options.max_held_bytes)
        threads = _FETCHERS if options.allow_urls else _PARSERS
        self._parsers = ThreadPoolExecutor(threads, thread_name_prefix="strhub-parse")
        self.ready = False

    async def start(self) -> None:
        """Read something with every model, so that the first request does not wait for that."""
        if not self.ready:
            await self._in_thread(self._warm_up)
            self.ready = True

    def stop(self) -> None:
        """Say that it is not ready any more, so that nobody sends anything new."""
        self.ready = False

    def close(self) -> None:
        """End the threads, after what they have begun."""
        self.stop()
        self.dispatcher.close()
        self._parsers.shutdown(wait=True, cancel_futures=True)

    async def read(self, request: Request) -> dict[str, Any]:
        """Return the answer to a request of words; `Refusal` if there is none."""
        with self.memory.reservation() as held:
            job = await self._job(
                request, await read_body(request, self.options, held), photos=False
            )
            model = self._model(job)
            decoding = "default" if job.decoding is None else job.decoding
            queue = await self._in_thread(model.reading_queue, decoding)
            readings: Sequence[Reading] = await self._results(request, queue, job)
        results = [
            reading_to_dict(index, source.name, reading)
            for index, (source, reading) in enumerate(zip(job.sources, readings, strict=True))
        ]
        self._count(request, "read", results, sum(bool(reading.text) for reading in readings))
        return {"model": model.name, "decoding": decoding, "results": results}

    async def spot(self, request: Request) -> dict[str, Any]:
        """Return the answer to a request of photographs; `Refusal` if there is none."""
        with self.memory.reservation() as held:
            job = await self._job(
                request, await read_body(request, self.options, held), photos=True
            )
            model = self._model(job)
            if job.decoding not in (None, "default"):
                raise Refusal(
                    422, "unknown_decoding", "photographs are read in one way: leave decoding out"
                )
            queue = await self._in_thread(model.spotting_queue)
            pages: Sequence[Page] = await self._results(request, queue, job)
        results = [
            page_to_dict(index, source.name, page)
            for index, (source, page) in enumerate(zip(job.sources, pages, strict=True))
        ]
        self._count(request, "spot", results, sum(len(page.words) for page in pages))
        return {"model": model.name, "results": results}

    async def results(self, request: Request, queue: Queue) -> list[Any]:
        """Return what a queue makes of the images of a request; `Refusal` if there is nothing."""
        with self.memory.reservation() as held:
            job = await self._job(
                request, await read_body(request, self.options, held), photos=False
            )
            return await self._results(request, queue, job)

    def list_models(self) -> dict[str, Any]:
        """Return the models, the default one first."""
        return {
            "models": [
                {"name": model.name, "decodings": list(model.decodings)}
                for model in self.models.values()
            ]
        }

    async def _job(self, request: Request, body: bytes, *, photos: bool) -> Job:
        return await self._in_thread(
            parse,
            body,
            request.headers.get("content-type", ""),
            request.query_params,
            self.options,
            photos=photos,
        )

    def _model(self, job: Job) -> ServedModel:
        name = self.default if job.model is None else job.model
        if name not in self.models:
            known = ", ".join(self.models)
            raise Refusal(422, "unknown_model", f"there is no such model here; known: {known}")
        return self.models[name]

    async def _results(self, request: Request, queue: Queue, job: Job) -> list[Any]:
        """Return what is read in a job's images; `Refusal` 503 if that takes too long."""
        futures = self.dispatcher.submit(queue, [source.content for source in job.sources])
        everything = asyncio.gather(*futures)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            done, _ = await asyncio.wait(
                (everything, gone),
                timeout=self.options.timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if everything in done:
                return everything.result()
            if gone in done:
                raise Refusal(499, "gone", "the client has hung up")
            raise Refusal(
                503,
                "too_long",
                f"there is no answer after {self.options.timeout:g} seconds",
                retry_after=queue.retry_after(),
            )
        finally:
            gone.cancel()
            everything.cancel()  # and so what nobody waits for any more

    async def _in_thread(self, call: Callable[..., T], *args: Any, **options: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._parsers, partial(call, *args, **options))

    def _warm_up(self) -> None:
        for model in self.models.values():
            for queue in (model.reading_queue("default"), model.spotting_queue()):
                queue.run([BLANK])

    def _count(
        self, request: Request, kind: str, results: Sequence[Mapping[str, Any]], words: int
    ) -> None:
        failed = sum(result["error"] is not None for result in results)
        self.metrics.images(kind, read=len(results) - failed, failed=failed, words=words)
        request.scope[LOGGED] = {"images": len(results), "failed": failed, "words": words}


async def _disconnected(request: Request) -> None:
    """Return once the client has hung up, its body being read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
