#!/bin/sh
# The container's entry point. Every branch ends in exec: the process that serves, or runs an admin
# command, takes this shell's place, so that it is PID 1 and gets the signals itself.
set -eu

here=$(dirname "$(readlink -f "$0")")
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
if [ -d "$here/.venv/bin" ]; then # a checkout that `make` has set up
  export PATH="$here/.venv/bin:$PATH"
fi

case "${1:-serve}" in
serve)
  trap '' USR1 # a sidecar may send it before anybody listens; what is ignored stays so through exec
  [ $# -eq 0 ] || shift
  cd "$here" # gunicorn imports from where it stands, before it looks at anything else
  exec gunicorn --config "$here/gunicorn.conf.py" hola.wsgi:app "$@"
  ;;
*)
  exec python3 -P -m hola "$@"
  ;;
esac
