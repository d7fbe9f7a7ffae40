"""What `GET /metrics` says, in Prometheus' format: gathered when somebody asks, from counts that exist.

Labels take their values from the configuration (apps), from the protocol (codes) or from a fixed list, so
that no client can make the page grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from agentbus.hub.server.shell import HubShell
from agentbus.hub.server.traffic import Tally

CONTENT_TYPE = CONTENT_TYPE_LATEST
PREFIX = "agentbus_hub_"

Samples = Iterable[tuple[tuple[str, ...], float]]
Reading = Callable[[Tally], int]

CARRIED: tuple[tuple[str, str, Reading], ...] = (
    ("frames_received", "Messages read from connections.", lambda tally: tally.frames_in),
    ("frames_written", "Pieces written to connections.", lambda tally: tally.frames_out),
    ("bytes_received", "Bytes read from connections.", lambda tally: tally.bytes_in),
    ("bytes_written", "Bytes written to connections.", lambda tally: tally.bytes_out),
)


class HubMetrics(Collector):
    """Reads one hub's counts.

    Args:
        shell: of the hub; read on its loop.
        is_ready: whether it takes clients.
    """

    def __init__(self, shell: HubShell, is_ready: Callable[[], bool]) -> None:
        self._shell = shell
        self._is_ready = is_ready
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._registry.register(self)

    def page(self) -> bytes:
        """Write the page."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Name the metrics without gathering them, for the registry's check of doubles."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Gather everything."""
        yield from self._about_the_hub()
        yield from self._about_apps()
        yield from self._about_connections()
        yield from self._about_messages()
        yield from self._about_what_connections_carry()

    # -- families, by what they are about ------------------------------------------------------------------

    def _about_the_hub(self) -> Iterator[Metric]:
        info = InfoMetricFamily(PREFIX.rstrip("_"), "The hub.")
        info.add_metric((), {"version": version("agentbus")})
        yield info
        yield _gauge("ready", "Whether it takes clients.", float(self._is_ready()))
        cluster = self._shell.hub.cluster
        carries = cluster is None or cluster.reachable
        yield _gauge("backplane_up", "Whether no other hub is out of reach.", float(carries))
        hubs = 1 if cluster is None else 1 + len(cluster.links)
        yield _gauge("cluster_hubs", "Hubs that are one, this one included.", float(hubs))

    def _about_apps(self) -> Iterator[Metric]:
        apps = self._shell.hub.apps()
        yield _gauges("connections", "Open connections.", (((app.id,), app.meter.concurrent) for app in apps))
        yield _gauges(
            "max_connections",
            "Connections that the app may have.",
            (((app.id,), app.config.max_connections) for app in apps),
        )
        yield _gauges("peers", "Peers with a connection.", (((app.id,), len(app.peers)) for app in apps))
        yield _gauges(
            "channels", "Channels with a subscriber.", (((app.id,), len(app.channels)) for app in apps)
        )
        yield _gauges(
            "period_messages",
            "Publishes and sends accepted this month, of which a quota counts.",
            (((app.id,), app.meter.messages) for app in apps),
        )
        yield _gauges(
            "period_message_quota",
            "Publishes and sends per month that the app may make; 0 is no quota.",
            (((app.id,), app.config.max_messages_per_period) for app in apps),
        )

    def _about_connections(self) -> Iterator[Metric]:
        shell, traffic = self._shell, self._shell.traffic
        yield _counters(
            "connections_accepted",
            "Connections that got a welcome.",
            ("app",),
            (((app.id,), traffic.of(app.id).accepted) for app in shell.hub.apps()),
        )
        yield _counters(
            "connections_refused",
            "Connections that did not, by close code, HTTP status or other reason.",
            ("reason",),
            (((reason,), count) for reason, count in sorted(traffic.refused.items())),
        )
        yield _counters(
            "connections_closed",
            "Connections that ended, by close code and who ended them.",
            ("code", "by"),
            sorted(traffic.closes.items()),
        )
        yield _counter("slow_consumers", "Connections closed with 1013.", shell.slow_consumers)
        yield _gauge(
            "unauthenticated_connections",
            "Sockets that have shown no accepted credential.",
            len(shell.entrance.waiting),
        )

    def _about_messages(self) -> Iterator[Metric]:
        statistics, handover = self._shell.hub.statistics, self._shell.handover
        yield _counter("published", "Publishes accepted.", statistics.published)
        yield _counter("sent", "Direct sends accepted.", statistics.sent)
        yield _counter(
            "delivered", "Messages handed to connections: one for each receiver.", statistics.delivered
        )
        yield _counters(
            "errors",
            "Requests answered with an error, by code.",
            ("code",),
            (((str(code),), count) for code, count in sorted(statistics.errors.items())),
        )
        histogram = HistogramMetricFamily(
            f"{PREFIX}handover_seconds",
            "From the arrival of frames to the hand-over of what they caused to the network; sampled.",
        )
        histogram.add_metric((), handover.buckets(), handover.total)
        yield histogram

    def _about_what_connections_carry(self) -> Iterator[Metric]:
        tallies, backlog, largest = self._survey()
        for name, help_text, of in CARRIED:
            samples = [((app,), float(of(tally))) for app, tally in tallies.items()]
            yield _counters(name, help_text, ("app",), samples)
        yield _gauge("backlog_bytes", "Bytes that the network has not taken yet.", backlog)
        yield _gauge("largest_backlog_bytes", "The same, of the connection with the most.", largest)

    def _survey(self) -> tuple[dict[str, Tally], int, int]:
        """Add up what has ended and what is open."""
        traffic, backlog, largest = self._shell.traffic, 0, 0
        tallies = {app.id: Tally() for app in self._shell.hub.apps()}
        for app, tally in tallies.items():
            tally.add(traffic.of(app).ended)
        for handler in self._shell.handlers:
            live = handler.live()
            if live is None:
                continue
            app, connection, carried = live
            tallies.setdefault(app, Tally()).add(carried)  # an app may be gone before its connections
            waiting = connection.backlog_bytes
            backlog += waiting
            largest = max(largest, waiting)
        return tallies, backlog, largest


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}{name}", help_text, value=value)


def _gauges(name: str, help_text: str, samples: Samples) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}{name}", help_text, labels=("app",))
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{PREFIX}{name}", help_text, value=value)


def _counters(name: str, help_text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = CounterMetricFamily(f"{PREFIX}{name}", help_text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
