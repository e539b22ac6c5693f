"""Room that is kept for jobs which a submit of this process is about to accept as running here."""

from collections import Counter

from runwright.runtimes.pool.settings import PoolCapacity


class SlotReservations:
    """The jobs that room is kept for, and the room that is left for others."""

    def __init__(self) -> None:
        self._workers: dict[str, str] = {}

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._workers

    def job_ids(self) -> set[str]:
        """Return the jobs that room is kept for."""
        return set(self._workers)

    def keep(self, job_id: str, worker_id: str, room: PoolCapacity) -> bool:
        """Keep room for a job where the pool's room has some left for its worker."""
        left = self.left_of(room)
        if left.free <= 0 and left.fast.get(worker_id, 0) <= 0:
            return False
        self._workers[job_id] = worker_id
        return True

    def release(self, job_id: str) -> None:
        """Keep room for a job no longer."""
        self._workers.pop(job_id, None)

    def left_of(self, room: PoolCapacity) -> PoolCapacity:
        """Return the pool's room less what is kept."""
        if not self._workers:
            return room
        kept = Counter(self._workers.values())
        fast = {worker: max(0, n - kept[worker]) for worker, n in room.fast.items()}
        beyond = sum(max(0, n - room.fast.get(worker, 0)) for worker, n in kept.items())
        return PoolCapacity(room.free - beyond, fast)
