"""gunicorn's settings, each with its reason, and its hooks, one line each.

The hooks are gunicorn's own (https://docs.gunicorn.org/en/stable/settings.html#server-hooks);
what they do is in hola/server/lifecycle.py, in the order of a service's life.
"""

import math
import os

from hola.server import lifecycle

settings = lifecycle.begin(os.environ)  # wrong settings end the process here, with exit 78

# Where it listens: the port of the environment, on every address of the pod.
bind = [f"0.0.0.0:{port}" for port in (settings.port, settings.metrics_port) if port is not None]

# Concurrency. Threads share a worker's memory and answer while others wait for I/O;
# processes use the processors that one interpreter's lock would leave idle.
worker_class = "hola.server.worker.Worker"
workers = settings.workers
threads = settings.threads

# Loading after the fork: a reload takes on new code, and nothing that starts threads is inherited.
preload_app = False

# A worker whose main loop is silent for so long is killed. Handlers have their own, shorter limit.
timeout = 30

# After this the master kills: the workers' own time for requests in flight, and for their last spans.
graceful_timeout = math.ceil(settings.graceful_seconds + lifecycle.FLUSH_SECONDS)

# Longer than the idle timeout of usual balancers (60 s), so that it is they who close idle
# connections: a server that closes first races with the balancer's next request (a 502).
keepalive = 75

# A worker heartbeats through a file; on a slow disk that would block it. Memory never does.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108

# On by default since 25.1: a socket through which any process of this user may stop the service.
control_socket_disable = True

# Who may say that a request came by TLS; and no header may move the application (SCRIPT_NAME).
forwarded_allow_ips = settings.forwarded_allow_ips
forwarder_headers = ""

# One line a request comes from hola's own middleware, which knows route and trace.
accesslog = None
logger_class = "hola.server.logger.GunicornLogger"
loglevel = "warning"  # the hooks below tell the same story as events

# prometheus-client reads it from the environment when it is first imported.
raw_env = [f"PROMETHEUS_MULTIPROC_DIR={lifecycle.metrics_path()}"]


# The master, from start to end


def on_starting(server):
    lifecycle.on_starting(server)


def nworkers_changed(server, new_value, old_value):
    lifecycle.nworkers_changed(new_value)


def pre_fork(server, worker):
    lifecycle.pre_fork(server, worker)


def child_exit(server, worker):
    lifecycle.child_exit(worker)


def on_reload(server):
    lifecycle.on_reload()


def pre_exec(server):
    lifecycle.pre_exec(server)


def on_exit(server):
    lifecycle.on_exit(server)


# A worker, from start to end


def post_fork(server, worker):
    lifecycle.post_fork(worker)


def post_worker_init(worker):
    lifecycle.post_worker_init(worker)


def pre_request(worker, req):
    lifecycle.pre_request(req)


def worker_exit(server, worker):
    lifecycle.worker_exit(worker)
