"""`make demo`: what hola promises, shown one after the other on a running one. See demo/steps.py for the steps."""
