# One image for worker, coordinator and operator: they differ in the command alone.
#
#   script/image                                            builds limnad:VERSION with Docker, Podman or Buildah
#   docker build --build-arg BASE=registry/python:3.12 .    on a base of your own: it needs python3 with venv, nothing else
#
# It holds no compiler, no pip and no shell script of ours, and needs nothing writable but /tmp: run it as
#   docker run --read-only --tmpfs /tmp --cap-drop ALL limnad:VERSION worker --help
# Written without what only BuildKit knows, so every builder can make it. Probes belong to who runs it: no HEALTHCHECK.
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS build
WORKDIR /build
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/limnad
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
# What is pinned comes first: while no lock changes, a change of the code leaves these layers as they are.
COPY requirements/ requirements/
RUN tools/bin/pip install --quiet --require-hashes --only-binary :all: --requirement requirements/build.lock \
 && tools/bin/pip --python /opt/limnad/bin/python install --quiet --require-hashes --only-binary :all: --no-deps \
    --requirement requirements/runtime.lock
COPY . .
RUN tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels . \
 && tools/bin/pip --python /opt/limnad/bin/python install --quiet --no-index --no-deps wheels/*.whl \
 # Other packages' tests and C headers are a tenth of what they install.
 && find /opt/limnad \( -name tests -o -name include \) -type d -path '*/site-packages/*' -prune -exec rm -rf {} +

FROM ${BASE}
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="limnad" \
      org.opencontainers.image.description="Timely dataflow for Python: worker, coordinator and operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/limnad /opt/limnad
# The root file system is read-only: no byte code is written (it is compiled already), and a home has to be somewhere.
ENV PATH=/opt/limnad/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number, because Kubernetes cannot tell that a name is not root's.
USER 10001:10001
WORKDIR /tmp
EXPOSE 7700 7701 8265 9404
ENTRYPOINT ["limnad"]
CMD ["--help"]
