# One image, every process: the compose file names the verb.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# What builds the package stays in this stage; what runs it has neither a compiler nor pip.
COPY requirements-build.lock requirements-run.lock ./
RUN python -m venv build-tools \
 && build-tools/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock
RUN python -m venv --without-pip /opt/cm-streams \
 && build-tools/bin/pip --python /opt/cm-streams/bin/python install --no-cache-dir --require-hashes -r requirements-run.lock
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY schemas schemas
COPY connectors connectors
COPY streams streams
RUN build-tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
 && build-tools/bin/pip --python /opt/cm-streams/bin/python install --no-cache-dir --no-deps wheels/*.whl
# What is in the image, by name, version and license, for scanners: /opt/cm-streams/sbom.cdx.json.
RUN build-tools/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
    --output-file /opt/cm-streams/sbom.cdx.json /opt/cm-streams/bin/python

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 streams && mkdir /data && chown streams /data
COPY --from=build /opt/cm-streams /opt/cm-streams
ENV PATH=/opt/cm-streams/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STREAMS_DATA_DIR=/data \
    STREAMS_LOG_FORMAT=json \
    STREAMS_HEALTH_HOST=0.0.0.0 \
    STREAMS_HEALTH_PORT=9100
# By number: Kubernetes can then see that it is not root (runAsNonRoot).
USER 10001
VOLUME /data
EXPOSE 9100
# A process answers on its health port within 40 s of its start; a worker that restores a large table takes longer and
# says so in /ready, while /live answers.
HEALTHCHECK --interval=10s --timeout=3s --start-period=40s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9100/live', timeout=2)"]
ENTRYPOINT ["cm-streams"]
CMD ["--help"]
