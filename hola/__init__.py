"""hola, the twelve-factor reference service that proves itself."""

__version__ = "0.1.0"
