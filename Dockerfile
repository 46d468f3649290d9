# A CPU server with the chat page and its HTTP endpoints.
#
# Written for Docker or Podman, and NOT tried: no container engine was at hand. Its steps are those of the README.
#
#     docker build -t tunewise .
#     docker run --rm -p 127.0.0.1:7860:7860 -v tunewise:/var/lib/tunewise tunewise
#
# The volume keeps the model (1.1 GB, fetched at the first start), the prefix cache and the index. The page has no
# login: publish it on loopback as above, or behind a proxy that asks who is there.

FROM python:3.12-slim AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential cmake git \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# llama.cpp first: it takes minutes and changes rarely. It is compiled for the processor that builds the image;
# for an image that runs on any x86-64 with AVX2 add: ENV CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON"
RUN python -m venv /opt/tunewise && /opt/tunewise/bin/pip install --no-cache-dir "llama-cpp-python>=0.3.36"
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY knowledge knowledge
COPY prompts prompts
RUN /opt/tunewise/bin/pip install --no-cache-dir ".[documents]"

FROM python:3.12-slim
# libgomp: llama.cpp's threads.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --create-home --home-dir /var/lib/tunewise tunewise
COPY --from=build /opt/tunewise /opt/tunewise
ENV PATH=/opt/tunewise/bin:$PATH \
    TUNEWISE_CACHE=/var/lib/tunewise/cache \
    PYTHONUNBUFFERED=1
USER tunewise
WORKDIR /var/lib/tunewise
VOLUME /var/lib/tunewise
EXPOSE 7860
# The first process of a container ignores SIGTERM, and would be killed after ten seconds.
STOPSIGNAL SIGINT
HEALTHCHECK --start-period=10m CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/', timeout=5)"
CMD ["tunewise", "ui", "--host", "0.0.0.0", "--port", "7860", "--no-browser"]
