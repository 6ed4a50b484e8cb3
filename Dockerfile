# sensord in a container. The state (database, logs of runs, the supervisor's journal) lives in /var/lib/sensord,
# the configuration in /etc/sensord/sensord.yaml, and files that are sensed in /watched.
FROM python:3.12-slim

RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/sensord sensord \
    && mkdir -p /etc/sensord /watched \
    && chown sensord:sensord /var/lib/sensord /watched

WORKDIR /opt/sensord
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY rules rules
COPY notifiers notifiers
COPY sensord sensord
RUN pip install --no-cache-dir -c constraints.txt ".[checks,postgresql]"

USER sensord
WORKDIR /var/lib/sensord
ENV SENSORD_CONFIG=/etc/sensord/sensord.yaml PYTHONUNBUFFERED=1
VOLUME ["/var/lib/sensord", "/watched"]
EXPOSE 8300
# The probe asks from inside by a name that the daemon always accepts; /readyz says when and why it is not ready.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8300/readyz', timeout=4)"]
ENTRYPOINT ["sensord"]
CMD ["run"]
