"""The demonstration of `make run`: the vendor's example workers, triggered as in its documentation."""

from runwright.demo.show import run_demo

__all__ = ["run_demo"]
