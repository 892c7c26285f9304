"""What gunicorn loads in each worker: the only import with a side effect."""

from hola.app import create_app
from hola.server import lifecycle

app = create_app(*lifecycle.place())
