# syntax=docker/dockerfile:1
# Millwright's four images, of one file:
#   docker build --target operator .     turns resources into Jobs: no torch, no object store
#   docker build --target preflight .    looks at a job on a CPU before an accelerator is asked for: no torch
#   docker build --target azure .        the same with Azure's SDKs; submits jobs to Azure ML and follows them
#   docker build --target runner .       everything; also what `docker run … run job.yaml` starts
# podman and buildah (--isolation chroot too) build the same. Dependencies lie in a layer of their own per image, from
# requirements/*.lock with hashes; the code is the last layer, so a change of it is one layer of kilobytes.
# The labels have VERSION and REVISION, the source's commit. buildah 1.28 does not look at them for its cache: for code that it
# has built already, the labels are of that build.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS base
ENV PATH=/opt/millwright/bin:$PATH \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_PROGRESS_BAR=off
RUN echo 'millwright:x:65532:' >>/etc/group \
 && echo 'millwright:x:65532:65532:Millwright:/home/millwright:/usr/sbin/nologin' >>/etc/passwd \
 && install -d -o 65532 -g 65532 /home/millwright

# Of kubernetes only its asynchronous half is used, and nothing in that imports the other; kopf takes the other where it finds it,
# into memory too. optuna is asked by studies in memory: SQLAlchemy and alembic are of those that it keeps in databases. What goes is
# 70 MB, and as much again of bytecode.
FROM base AS operator-dependencies
ARG PIP_CERT
COPY requirements/operator.lock /opt/requirements.lock
RUN python -m venv --without-pip /opt/millwright \
 && pip --python /opt/millwright/bin/python install --require-hashes -r /opt/requirements.lock \
 && cd /opt/millwright/lib/python3.11/site-packages \
 && sed -i '/^from \. import /d' kubernetes/__init__.py \
 && (cd kubernetes && rm -r client config dynamic informer leaderelection stream utils watch) \
 && rm -r sqlalchemy alembic \
 && find numpy -type d -name tests -prune -exec rm -r {} +

# Parquet is read here, and no more of Arrow: what serves, fetches from S3 by itself, tests and compiles it is a third of it.
FROM base AS preflight-dependencies
ARG PIP_CERT
COPY requirements/preflight.lock /opt/requirements.lock
RUN python -m venv --without-pip /opt/millwright \
 && pip --python /opt/millwright/bin/python install --require-hashes -r /opt/requirements.lock \
 && cd /opt/millwright/lib/python3.11/site-packages/pyarrow \
 && rm -r include src tests libarrow_flight.* libarrow_python_flight.* _flight.* libarrow_s3.* _s3fs.*

# The preflight's layer is below it, and only what Azure needs on top.
FROM preflight-dependencies AS azure-dependencies
ARG PIP_CERT
COPY requirements/azure.lock /opt/requirements.lock
RUN pip --python /opt/millwright/bin/python install --require-hashes -r /opt/requirements.lock

FROM base AS runner-dependencies
ARG PIP_CERT
COPY requirements/runner.lock /opt/requirements.lock
RUN python -m venv --without-pip /opt/millwright \
 && pip --python /opt/millwright/bin/python install --require-hashes -r /opt/requirements.lock

# The code, laid out under /code as the images have it under /opt/millwright.
FROM base AS code
ARG PIP_CERT
RUN python -m venv /opt/millwright && /opt/millwright/bin/pip install hatchling==1.33.0
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY operator operator
COPY runner runner
COPY search search
RUN pip install --no-index --no-deps --no-build-isolation --prefix /code . \
 && mkdir /operator \
 && cd /code/lib/python3.11/site-packages \
 && cp -a millwright_api millwright_operator millwright_search millwright-*.dist-info /operator

FROM operator-dependencies AS operator
WORKDIR /home/millwright
USER 65532:65532
ENTRYPOINT ["python", "-m", "millwright_operator"]
COPY --from=code /operator/ /opt/millwright/lib/python3.11/site-packages/
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Millwright operator" \
      org.opencontainers.image.description="Turns OptimizationJobs into Jobs and their status" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM preflight-dependencies AS preflight
WORKDIR /home/millwright
USER 65532:65532
ENTRYPOINT ["python", "-m", "millwright_runner.pod"]
CMD ["preflight"]
COPY --from=code /code/ /opt/millwright/
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Millwright preflight" \
      org.opencontainers.image.description="Looks at an OptimizationJob on a CPU before an accelerator is asked for" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM azure-dependencies AS azure
WORKDIR /home/millwright
USER 65532:65532
ENTRYPOINT ["python", "-m", "millwright_runner.pod"]
CMD ["preflight"]
COPY --from=code /code/ /opt/millwright/
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Millwright azure" \
      org.opencontainers.image.description="Looks at OptimizationJobs in Azure, submits them to Azure ML and follows them" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM runner-dependencies AS runner
WORKDIR /home/millwright
USER 65532:65532
ENTRYPOINT ["millwright"]
CMD ["--help"]
COPY --from=code /code/ /opt/millwright/
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Millwright runner" \
      org.opencontainers.image.description="Tunes, compresses and verifies small language models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
