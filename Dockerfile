# The image of both `courtyard gateway` and `courtyard services`. No compiler, no root, no shell needed at run time.
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
# urllib3-future replaces urllib3 for the whole environment unless it is built with this switch (docs/decisions/0001).
ENV URLLIB3_NO_OVERRIDE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1
RUN python -m pip install --no-cache-dir --disable-pip-version-check uv==0.13.9 && python -m venv --without-pip /opt/courtyard
WORKDIR /source
COPY requirements.lock ./
RUN uv pip install --python /opt/courtyard/bin/python --require-hashes --no-binary urllib3-future -r requirements.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY device_profiles ./device_profiles
COPY gateway ./gateway
COPY services ./services
COPY dashboards ./dashboards
RUN uv pip install --python /opt/courtyard/bin/python --no-deps . \
 && ! find /opt/courtyard -name urllib3_future.pth | grep . \
 && /opt/courtyard/bin/courtyard sbom --lock requirements.lock --to /opt/courtyard/sbom.json

FROM python:${PYTHON}
LABEL org.opencontainers.image.title=Courtyard \
      org.opencontainers.image.licenses=Apache-2.0
RUN groupadd --gid 10001 courtyard \
 && useradd --system --uid 10001 --gid 10001 --home-dir /data --shell /usr/sbin/nologin courtyard \
 && install -d -o courtyard -g courtyard -m 700 /data
COPY --from=build /opt/courtyard /opt/courtyard
ENV PATH=/opt/courtyard/bin:$PATH PYTHONUNBUFFERED=1 COURTYARD_DATA_DIR=/data
USER 10001
# A named volume takes over the owner of this folder, so the data can be written without root.
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["courtyard"]
CMD ["--help"]
