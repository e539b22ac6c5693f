"""The builder, which installs the dependencies of versions: in the role `executor`."""

from contextlib import AsyncExitStack
from typing import Final

from runwright.builds.build_sandbox import BuildLimits, BuildSandbox
from runwright.builds.installer import Installer
from runwright.builds.package_managers import RUNTIMES_WITH_DEPENDENCIES, DependencySources, PackageManagers
from runwright.builds.store import Builds
from runwright.config import Settings
from runwright.core.ids import new_id
from runwright.executor.executor import Executor
from runwright.executor.version_files import VersionFiles
from runwright.loops.builder import Builder
from runwright.wiring.files import LAYER_LIMITS, spool_dir_in
from runwright.wiring.resources import Resources, open_database_pool
from runwright.workers.bundles.folders import make_private_folder

BUILD_CONNECTIONS: Final = 2
CANNOT_INSTALL: Final = (
    "This server has no sandbox with a network to install dependencies in; include them in the bundle, or"
    " ask the operator."
)


async def start_builder(
    f: Resources, files: VersionFiles, executor: Executor, stack: AsyncExitStack
) -> Builder:
    """Start the builder on database connections of its own."""
    settings = f.settings
    db = await open_database_pool(f.dsn, BUILD_CONNECTIONS, stack)
    builds = Builds(
        db, clock=f.clock, builder_id=new_id("exe", f.clock()), lease_seconds=settings.lease_seconds
    )
    build_sandbox = _open_build_sandbox(f, stack)
    builder = Builder(
        builds,
        _installer(f, files, builds, build_sandbox),
        runtimes=[name for name in executor.runtimes if name in RUNTIMES_WITH_DEPENDENCIES],
        slots=settings.build_slots,
        emit=f.emit,
        refusal=None if f.host.bwrap and f.host.network else CANNOT_INSTALL,
    )
    stack.push_async_callback(builder.stop)
    await builder.start()
    return builder


def _open_build_sandbox(f: Resources, stack: AsyncExitStack) -> BuildSandbox:
    limits = BuildLimits(
        seconds=f.settings.build_timeout_seconds,
        memory_mb=f.settings.build_memory_mb,
        disk_mb=f.settings.build_disk_mb,
    )
    build_sandbox = BuildSandbox(host=f.host, limits=limits)
    build_sandbox.open()
    stack.callback(build_sandbox.close)
    return build_sandbox


def _installer(f: Resources, files: VersionFiles, builds: Builds, build_sandbox: BuildSandbox) -> Installer:
    spool_dir = spool_dir_in(f.settings)
    make_private_folder(spool_dir)
    return Installer(
        package_managers=PackageManagers(f.host, _sources(f.settings)),
        build_sandbox=build_sandbox,
        bundle_folder=files.bundle,
        layer_folder=files.layer,
        find_layer=builds.layer,
        limits=LAYER_LIMITS,
        spool_dir=spool_dir,
        clock=f.clock,
    )


def _sources(settings: Settings) -> DependencySources:
    return DependencySources(
        python_index=settings.python_index,
        npm_registry=settings.npm_registry,
        dependency_hosts=settings.dependency_hosts,
        allow_install_scripts=settings.allow_install_scripts,
    )
