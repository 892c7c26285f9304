# hola's image: one stage installs and compiles, the other gets the result, root-owned and read-only.
# Both stages name the base literally, so that an update bot changes tag and digest in both.

FROM python:3.13-slim-trixie AS build

# Packages before sources, so that a change of code does not install them again.
COPY requirements.txt /
# Bytecode is made here, since nothing can be written at run time; unchecked hashes hold no time, so the layer repeats.
RUN pip install --root-user-action=ignore --no-cache-dir --no-compile --require-hashes --only-binary=:all: \
        --prefix=/install -r /requirements.txt \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /install -p /usr/local /install/lib

# gunicorn.conf.py stays uncompiled: one mounted over it must win, and unchecked bytecode would hide it.
COPY hola/ /app/hola/
COPY gunicorn.conf.py /app/
RUN python -m compileall -q --invalidation-mode unchecked-hash /app/hola \
    && chmod -R a=rX /app

FROM python:3.13-slim-trixie AS runtime

# Ahead of RUN, the one step whose cache buildah 1.28 ties to them: further down, a cached build names a past commit.
ARG REVISION=unknown
ARG VERSION=unknown
ARG CREATED=unknown

# No program of the base may gain rights. The mount points exist, empty: no document yet, rather than no directory.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && mkdir /opt/hola /opt/hola-secrets

# /usr/local is where this Python looks, so there is no virtual environment to activate.
COPY --from=build /install /usr/local
COPY --from=build /app /app
COPY --chmod=0555 entrypoint.sh /app/
WORKDIR /app

# HOME, because an arbitrary uid has none, and /tmp is the one place where it may write.
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp

# Numbers, because kubelet cannot prove of a name that it is not root.
USER 10001:10001
EXPOSE 5000
STOPSIGNAL SIGTERM

# checkov:skip=CKV_DOCKER_2:no HEALTHCHECK, since kubelet ignores it and probes /livez and /readyz itself
ENTRYPOINT ["/app/entrypoint.sh"]
CMD ["serve"]

# The two that GET /version shows, then what a registry shows.
ENV HOLA_COMMIT=$REVISION \
    HOLA_BUILD_TIME=$CREATED
LABEL org.opencontainers.image.title="hola" \
    org.opencontainers.image.description="A twelve-factor reference service" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.created="$CREATED" \
    org.opencontainers.image.base.name="python:3.13-slim-trixie"
