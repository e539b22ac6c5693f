"""What installs the dependencies of workers' versions: in the role `executor`."""

from contextlib import AsyncExitStack
from typing import Final

from runwright.builds.build_sandbox import BuildSandbox
from runwright.builds.build_sandbox import Limits as InstallLimits
from runwright.builds.installer import Installer
from runwright.builds.package_managers import INSTALLING, PackageManagers, Sources
from runwright.builds.service import Builds
from runwright.config import Settings
from runwright.core.ids import new_id
from runwright.executor.executor import Executor
from runwright.executor.version_files import CachedFiles
from runwright.loops.builder import Builder
from runwright.wiring.files import LAYER_LIMITS, spool_dir_of
from runwright.wiring.resources import Resources, open_database_pool
from runwright.workers.bundles.folders import make_private_folder

BUILD_CONNECTIONS: Final = 2
CANNOT_INSTALL: Final = (
    "This server has no sandbox with a network to install dependencies in; put them into the bundle, or ask"
    " its operator."
)


async def start_builder(
    f: Resources, files: CachedFiles, executor: Executor, stack: AsyncExitStack
) -> Builder:
    """Start what installs the dependencies of versions, on connections of its own."""
    settings = f.settings
    db = await open_database_pool(f.dsn, BUILD_CONNECTIONS, stack)
    builds = Builds(
        db, clock=f.clock, builder_id=new_id("exe", f.clock()), lease_seconds=settings.lease_seconds
    )
    workshop = _open_workshop(f, stack)
    builder = Builder(
        builds,
        _installer(f, files, builds, workshop),
        runtimes=[name for name in executor.runtimes if name in INSTALLING],
        slots=settings.build_slots,
        emit=f.emit,
        refusal=None if f.host.bwrap and f.host.network else CANNOT_INSTALL,
    )
    stack.push_async_callback(builder.stop)
    await builder.start()
    return builder


def _open_workshop(f: Resources, stack: AsyncExitStack) -> BuildSandbox:
    limits = InstallLimits(
        seconds=f.settings.build_timeout_seconds,
        memory_mb=f.settings.build_memory_mb,
        disk_mb=f.settings.build_disk_mb,
    )
    workshop = BuildSandbox(host=f.host, limits=limits)
    workshop.open()
    stack.callback(workshop.close)
    return workshop


def _installer(f: Resources, files: CachedFiles, builds: Builds, workshop: BuildSandbox) -> Installer:
    spool_dir = spool_dir_of(f.settings)
    make_private_folder(spool_dir)
    return Installer(
        toolbox=PackageManagers(f.host, _sources(f.settings)),
        workshop=workshop,
        bundle_folder=files.bundle,
        layer_folder=files.layer,
        find_layer=builds.layer,
        limits=LAYER_LIMITS,
        spool_dir=spool_dir,
        clock=f.clock,
    )


def _sources(settings: Settings) -> Sources:
    return Sources(
        python_index=settings.python_index,
        npm_registry=settings.npm_registry,
        dependency_hosts=settings.dependency_hosts,
        allow_install_scripts=settings.allow_install_scripts,
    )
