# strhub-serve in a container: slim, without root, on a read-only file system. docs/serve.md shows how to run it.
FROM python:3.12-slim AS build
WORKDIR /build
RUN python -m venv /opt/strhub
COPY requirements/read.txt requirements/serve.txt requirements/
RUN /opt/strhub/bin/pip install --no-cache-dir --requirement requirements/serve.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY strhub strhub
RUN /opt/strhub/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin strhub
COPY --from=build /opt/strhub /opt/strhub
# Nothing is written: no byte code, no home directory; `docker run --read-only` enforces it.
ENV PATH=/opt/strhub/bin:$PATH HOME=/nonexistent PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["strhub-serve", "--host", "0.0.0.0"]
