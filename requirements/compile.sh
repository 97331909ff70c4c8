#!/usr/bin/env bash
# Pin every layer anew, each constrained by those before it: requirements/<layer>.in + pyproject.toml -> requirements/<layer>.txt
# Usage: requirements/compile.sh UV [further options of uv, such as --upgrade]      (`make requirements` calls it)
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$1
shift

for layer in read serve core train test dev export bench clip tune docs; do
    extra=(--extra "$layer")
    case $layer in
        read) extra=() ;; # of pyproject.toml's own dependencies
        core) extra=(--extra torch) ;;
    esac
    pins=requirements/$layer.txt
    # Written next to the pins and moved when complete. uv prefers the pins that are there already.
    partial=requirements/$layer.partial.txt
    trap 'rm -f "$partial"' EXIT
    if [ -f "$pins" ]; then cp "$pins" "$partial"; fi
    UV_PYTHON_DOWNLOADS=never "$uv" pip compile --quiet --universal --python-version 3.10 \
        --no-emit-index-url --no-emit-find-links --custom-compile-command 'make requirements' \
        ${extra[@]+"${extra[@]}"} "$@" --output-file "$partial" pyproject.toml "requirements/$layer.in" >/dev/null
    # A CUDA build of torch installs its own dependencies; other builds have none of them.
    awk '/^[A-Za-z0-9]/ { keep = !/^(nvidia-|cuda-|triton|pytorch-triton)/ } /^#/ { keep = 1 } keep' "$partial" >"$partial.awk"
    mv "$partial.awk" "$partial"
    if grep -nE '://|@ |^-|find-links' "$partial"; then
        echo "requirements/$layer: the lines above are not plain pins" >&2
        exit 1
    fi
    mv "$partial" "$pins"
    echo "$pins"
done
