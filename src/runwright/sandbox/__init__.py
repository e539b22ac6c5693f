"""Isolation of one process tree: namespaces, resource limits, seccomp filter, CPU affinity.

Knows no runtime, job, code or protocol; `egress` gives it a network, `runtimes` runs harnesses in it.
"""
