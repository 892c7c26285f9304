"""`python -m hola`: the admin commands, with the environment of the service."""

import os
import sys

from hola.commands import main

sys.exit(main(sys.argv[1:], os.environ))
