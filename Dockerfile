# The dispatcher; and as a second target, a plugin of contrib_plugins/:
#   docker build --tag azul-dispatcher .
#   docker build --target plugin --build-arg PLUGIN=unpack_zip --tag azul-unpack-zip .

# libmagic-wheel, the newest libmagic that comes as a package, needs Python 3.13.
FROM python:3.13-slim-trixie AS python

FROM python AS build
# py-tlsh is published as source only; its compiler stays in this stage.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY constraints.txt ./
# The second one is for what packages are built with.
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_BUILD_CONSTRAINT=/src/constraints.txt
RUN python -m venv --without-pip /opt/azul
COPY sdk sdk

FROM build AS build-dispatcher
COPY pyproject.toml README.md LICENSE ./
COPY dispatcher dispatcher
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/azul/bin/python install ./sdk '.[tlsh]' libmagic-wheel
# Wheels bring 40 MB of debugging symbols.
RUN find /opt/azul -name '*.so' -exec strip --strip-debug {} +

FROM build AS build-plugin
ARG PLUGIN=url_finder
COPY contrib_plugins contrib_plugins
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/azul/bin/python install ./sdk ./contrib_plugins/${PLUGIN}

FROM python AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin azul
ENV PATH=/opt/azul/bin:$PATH PYTHONUNBUFFERED=1

# docker run --init --stop-timeout 45 azul-unpack-zip unpack_zip --server http://dispatcher:8111
FROM runtime AS plugin
COPY --from=build-plugin /opt/azul /opt/azul
USER 10001:10001
ENTRYPOINT ["dispatcher-sdk", "serve"]

# docker run --init --stop-timeout 30 --volume azul:/data --publish 127.0.0.1:8111:8111 azul-dispatcher
FROM runtime AS dispatcher
# A new volume that is mounted there takes over owner and mode.
RUN install --directory --owner 10001 --group 10001 --mode 700 /data
COPY --from=build-dispatcher /opt/azul /opt/azul
ENV DISPATCHER_LISTEN=0.0.0.0:8111 \
    DISPATCHER_DATA_DIR=/data \
    LD_LIBRARY_PATH=/opt/azul/lib/python3.13/site-packages/libmagic/data \
    MAGIC=/opt/azul/lib/python3.13/site-packages/libmagic/data/default.mgc
EXPOSE 8111
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-I", "-c", "import http.client, os; server = http.client.HTTPConnection('127.0.0.1', int(os.environ['DISPATCHER_LISTEN'].rpartition(':')[2]), timeout=4); server.request('GET', '/'); raise SystemExit(server.getresponse().status != 200)"]
# Numbers: Kubernetes cannot tell from a name that it is not root.
USER 10001:10001
ENTRYPOINT ["dispatcher"]
CMD ["serve"]
