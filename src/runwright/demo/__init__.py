"""The demonstration behind `make run`: the vendor's own example workers, triggered as its pages do."""

from runwright.demo.show import run_demo

__all__ = ["run_demo"]
