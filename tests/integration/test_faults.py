"""The fault table, with real processes: outputs are those of a run without faults, row for row and once each.

In the order of the table in docs/reliability.md. Rows that need a store only are in tests/unit/store, and all that can
be simulated is simulated with many more seeds in tests/simulation.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from limnad.cli.relay import VARIABLE, Relay, Way
from limnad.cli.watched import engines_of
from limnad.client import Checkpointing, Client, LocalCluster
from limnad.cluster.records import CheckpointRecord
from limnad.store import Checkpoints, ChunkRef, open_store
from tests.helpers.faults import Struck
from tests.helpers.redis_server import RedisServer
from tests.helpers.running import Epochs, Running
from tests.helpers.totals import expected, numbers, options, stopped, write_job

LOOPS = """
    import limnad

    def job(flow, epochs: int = 24):
        rows = [list(range(1 + epoch % 24, 60, 8)) for epoch in range(epochs)]
        started = flow.values(rows, name="numbers").map(lambda number: (number, number, 0))
        finished = started.iterate(reach_one, name="3x + 1")
        finished.map(lambda walk: (walk[0], walk[2])).output("steps")

    def reach_one(walks):
        odd = walks.partition_by(lambda walk: walk[0]).iterate(halve, name="halve")
        again = odd.filter(lambda walk: walk[1] != 1).map(lambda walk: (walk[0], 3 * walk[1] + 1, walk[2] + 1))
        return again, odd.filter(lambda walk: walk[1] == 1)

    def halve(walks):
        again = walks.filter(lambda walk: walk[1] % 2 == 0).map(lambda walk: (walk[0], walk[1] // 2, walk[2] + 1))
        return again, walks.filter(lambda walk: walk[1] % 2 == 1)
"""


@pytest.fixture
def job(tmp_path: Path) -> str:
    return write_job(tmp_path)


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often to strike at random; the job's length follows."""
    return int(request.config.getoption("--kills"))


def kill_one(run: Running, random: Random) -> int:
    engines = run.engines()  # None, while others take their place.
    return run.kill(*random.sample(engines, min(1, len(engines))))


# -- processes ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault(1, "SIGKILL of each worker and of the leader in turn, at random moments of one run")
@pytest.mark.parametrize("delivery", ["eager", "committed"])
def test_workers_killed_again_and_again(job: str, tmp_path: Path, delivery: str, kills: int, struck: Struck) -> None:
    """Each of the two and the leader in turn."""
    epochs = 60 * kills
    run = Running(job, *options(tmp_path), "--delivery", delivery, "-a", f"epochs={epochs}", limit_s=240 + 10 * kills)
    random = Random(delivery)
    before = struck.times
    for kill in range(kills):
        run.until(1 + 20 * kill + random.randrange(20))
        # Nobody is there while others take their place, nor at the end, when all committed epochs may come at once.
        while not (killed := run.kill(run.agent() if kill % 3 == 2 else run.worker(kill % 3))) and not run.ended:
            pass
        struck.times += killed
    struck.check(run, expected(epochs))
    assert struck.times - before > kills // 3
    if delivery == "eager":
        assert run.summary["recovery"]["generation"] > kills // 3


@pytest.mark.fault(2, "SIGKILL before the first checkpoint")
def test_a_worker_killed_before_the_first_checkpoint(job: str, tmp_path: Path, struck: Struck) -> None:
    run = Running(job, *options(tmp_path, every="1h")).until(5)
    struck.times += run.kill(*run.engines()[:1])
    struck.check(run, expected())
    assert "Started again from the inputs' beginning" in run.errors


@pytest.mark.fault(3, "SIGKILL at each step of a checkpoint and of a restore")
@pytest.mark.parametrize("delivery", ["eager", "committed"])
def test_somebody_killed_at_each_step_of_checkpoints(job: str, delivery: str, kills: int, struck: Struck) -> None:
    """Each step is seen as a command that Redis executes; 7 and 11 commands apart, strikes come to all of them."""
    random, epochs = Random(delivery), 60 * kills
    with RedisServer(appendonly="yes", appendfsync="always") as server, server.client() as client:
        with client.monitor() as monitor:
            store = ["-w", "2", "--store", server.url, "--checkpoint", "50ms", "--max-restarts", "1000"]
            more = ["--delivery", delivery, "-a", f"epochs={epochs}"]
            run = Running(job, *store, *more, limit_s=240 + 10 * kills)
            for kill in range(kills):
                for _ in range(7 if kill % 2 else 11):
                    monitor.next_command()
                while not struck_one(run, random):
                    monitor.next_command()
                struck.times += 1
        struck.check(run, expected(epochs))


def struck_one(run: Running, random: Random) -> int:
    return kill_one(run, random) if random.random() < 0.75 else run.kill(run.agent())


@pytest.mark.fault(4, "a crash during a restore, and two quick ones in a row")
def test_workers_killed_while_they_restore(job: str, tmp_path: Path, struck: Struck) -> None:
    run = Running(job, *options(tmp_path)).until(20)
    before: set[int] = set()
    for _ in range(3):
        while not (new := set(run.engines()) - before):
            assert run.agent() is not None
        struck.times += run.kill(*list(new)[:1])
        before |= new
    struck.check(run, expected())
    assert run.summary["recovery"]["restarts"] >= 2  # Two of the three may have been of one generation.


@pytest.mark.fault(5, "all workers at once")
def test_all_workers_killed_at_once(job: str, tmp_path: Path, struck: Struck) -> None:
    run = Running(job, *options(tmp_path)).until(40)
    struck.times += run.kill(*run.engines())
    struck.check(run, expected())


@pytest.mark.fault(6, "the agent, with and without its engines")
@pytest.mark.parametrize("engines_too", [False, True])
def test_the_agent_killed(job: str, tmp_path: Path, engines_too: bool, struck: Struck) -> None:
    run = Running(job, *options(tmp_path))
    for count in (20, 60):
        run.until(count)
        engines = run.engines() if engines_too else []
        struck.times += run.kill(run.agent(), *engines) > 0
    struck.check(run, expected())


@pytest.mark.fault(7, "a zombie: SIGSTOP, replaced, SIGCONT")
@pytest.mark.parametrize("who", ["engine", "agent"])
def test_a_process_that_was_frozen_is_replaced_and_can_do_no_harm_when_it_comes_back(
    job: str, tmp_path: Path, who: str, struck: Struck
) -> None:
    run = Running(job, *options(tmp_path)).until(30)
    frozen = run.agent() if who == "agent" else run.engines()[0]
    run.freeze(frozen)
    struck.times += 1
    # What was on its way still comes; behind that, nothing can before it is replaced.
    run.until(80).thaw(frozen)
    struck.check(run, expected())


COORDINATOR = "the coordinator killed and restarted, or cut off and met again"


@pytest.mark.fault(29, COORDINATOR)
@pytest.mark.parametrize("mode", ["global", "local+global"])
def test_the_coordinator_killed_again_and_again(
    job: str, tmp_path: Path, mode: str, kills: int, struck: Struck
) -> None:
    epochs = 30 * kills
    more = ["--progress", mode, "-a", f"epochs={epochs}"]
    run = Running(job, *options(tmp_path), *more, limit_s=90 + 10 * kills)
    random, killed = Random(mode), 0
    for kill in range(kills):
        run.until(1 + 20 * kill + random.randrange(20))
        killed += run.kill(run.coordinator())  # There is none while another one takes its place.
    struck.times += killed
    struck.check(run, expected(epochs))
    assert killed >= 1
    assert run.summary["recovery"]["restarts"] >= 1


@pytest.mark.fault(29, COORDINATOR)
def test_a_coordinator_that_was_frozen_is_replaced_and_can_do_no_harm_when_it_comes_back(
    job: str, tmp_path: Path, struck: Struck
) -> None:
    run = Running(job, *options(tmp_path), "--progress", "local+global").until(30)
    frozen = run.coordinator()
    run.freeze(frozen)
    struck.times += 1
    run.until(80).thaw(frozen)
    struck.check(run, expected())


# -- the network -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def relayed(job: str, tmp_path: Path, *more: str) -> Iterator[tuple[Running, Relay]]:
    with Relay() as relay:
        yield Running(job, *options(tmp_path), *more, environment={VARIABLE: relay.proxy}), relay


def server_of(relay: Relay, pid: int) -> str:
    """The address on which a process is served, of those that are connected to."""
    listening = {
        str(int(line.split()[1].rpartition(":")[2], 16))
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        if f"socket:[{line.split()[9]}]" in sockets(pid) and line.split()[3] == "0A"
    }
    return next(target for target in relay.targets() if target.rpartition(":")[2] in listening)


def sockets(pid: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # It has been closed meanwhile.
            found.add(str(each.readlink()))
    return found


@pytest.mark.fault(8, "a TCP reset, and a partition that heals")
@pytest.mark.parametrize("who", ["engine", "agent", "coordinator"])
def test_connections_that_are_reset(job: str, tmp_path: Path, who: str, struck: Struck) -> None:
    with relayed(job, tmp_path, "--progress", "local+global" if who == "coordinator" else "local") as (run, relay):
        run.until(20)
        pid = {"agent": run.agent(), "coordinator": run.coordinator(), "engine": run.engines()[0]}[who]
        assert pid is not None
        struck.times += relay.reset(server_of(relay, pid)) > 0
        struck.check(run, expected())


@pytest.mark.fault(8, "a TCP reset, and a partition that heals")
def test_a_partition_that_heals(job: str, tmp_path: Path, struck: Struck) -> None:
    """Long enough that the link is given up, and so short that what was held up comes while others take over."""
    with relayed(job, tmp_path) as (run, relay):
        run.until(20)
        server, before = server_of(relay, run.engines()[0]), run.engines()
        relay.hold(lambda target, _: target == server)
        struck.times += 1
        while set(run.engines()) & set(before):
            assert run.agent() is not None
        relay.hold(None)
        struck.check(run, expected())
        assert run.summary["recovery"]["restarts"] == 1


@pytest.mark.fault(9, "a one-way partition")
@pytest.mark.parametrize("deaf", [0, 1])
def test_a_worker_that_hears_nothing_from_its_peers(job: str, tmp_path: Path, deaf: int, struck: Struck) -> None:
    """For good; the agent is reached both ways, so only the peers can notice."""
    with relayed(job, tmp_path) as (run, relay):
        run.until(20)
        server = server_of(relay, run.engines()[deaf])
        relay.hold(lambda target, way: target == server and way is Way.IN)
        struck.times += 1
        struck.check(run, expected())
        assert run.summary["recovery"]["restarts"] == 1


@pytest.mark.fault(10, "a straggler: throttled link, throttled processor")
def test_slow_links(job: str, tmp_path: Path, struck: Struck) -> None:
    with relayed(job, tmp_path) as (run, relay):
        run.until(20)
        relay.slow(10_000)
        struck.times += 1
        run.until(60)
        relay.slow(None)
        struck.check(run, expected())


@pytest.mark.fault(10, "a straggler: throttled link, throttled processor")
def test_a_worker_that_hardly_runs(job: str, tmp_path: Path, struck: Struck) -> None:
    """It stands still for nine tenths of the time."""
    run = Running(job, *options(tmp_path)).until(20)
    slow, ended = run.engines()[0], threading.Event()

    def throttle() -> None:
        while not ended.is_set() and run.signal(signal.SIGSTOP, slow):
            ended.wait(0.18)
            run.thaw(slow)
            ended.wait(0.02)

    thread = threading.Thread(target=throttle)
    thread.start()
    struck.times += 1
    run.until(60)
    ended.set()
    thread.join()
    struck.check(run, expected())


# -- the store ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def on_redis(job: str, *more: str, **options: str) -> Iterator[tuple[Running, RedisServer]]:
    with RedisServer(**{"appendonly": "yes", "appendfsync": "always"} | options) as server:
        yield Running(job, "-w", "2", "--store", server.url, "--checkpoint", "50ms", *more), server


@pytest.mark.fault(11, "Redis restarted, and hanging")
def test_redis_restarted_in_the_middle(job: str, struck: Struck) -> None:
    with on_redis(job) as (run, server):
        run.until(30)
        server.kill()
        server.start()
        struck.times += 1 + run.kill(run.engines()[0])
        struck.check(run, expected())


@pytest.mark.fault(11, "Redis restarted, and hanging")
def test_redis_hangs_while_a_worker_dies(job: str, struck: Struck) -> None:
    with on_redis(job) as (run, server):
        run.until(30)
        server.freeze()
        engines = run.engines()
        struck.times += 1 + run.kill(engines[0])
        while set(run.engines()) & set(engines):  # It is given up at once; whoever takes over needs the store.
            assert run.agent() is not None
        server.thaw()
        struck.check(run, expected())


@pytest.mark.fault(12, "Redis lost what it had acknowledged")
@pytest.mark.parametrize("lost", ["everything", "its last second"])
def test_a_store_that_has_forgotten_is_lost_state_never_a_silent_new_beginning(
    job: str, lost: str, struck: Struck
) -> None:
    endless = ["-a", "epochs=100000"]  # So that it is there still, however slow this process is; it is refused anyway.
    with on_redis(job, *endless) as (run, server):
        run.until(20)
        kept = [(file, file.stat().st_size) for file in server.folder.rglob("*.incr.aof")]
        run.until(80)
        if lost == "everything":
            server.do("FLUSHALL")
        else:
            server.kill()
            for file, size in kept:
                os.truncate(file, size)
            server.start()
        struck.times += 1
        struck.refuse(run, "when it was last seen")


@pytest.mark.fault(13, "Redis full")
def test_redis_is_full_for_a_while(job: str, struck: Struck) -> None:
    """The job runs on, and has its last checkpoint when there is room again."""
    with on_redis(job) as (run, server):
        run.until(20)
        server.do("CONFIG", "SET", "maxmemory", "1")
        struck.times += 1
        run.until(80)
        server.do("CONFIG", "SET", "maxmemory", "0")
        struck.check(run, expected())


@pytest.mark.fault(13, "Redis set to evict")
def test_redis_that_may_drop_what_it_holds_is_refused(job: str, struck: Struck) -> None:
    with on_redis(job, maxmemory="1gb", maxmemory_policy="allkeys-lru") as (run, _):
        struck.refuse(run, "noeviction")


@pytest.mark.fault(14, "a corrupt or missing chunk")
@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(
    job: str, tmp_path: Path, damage: str, struck: Struck
) -> None:
    first = stopped(job, tmp_path, checkpoints=2, every="20ms")
    (*_, before, last) = numbers(tmp_path)
    store = open_store(f"dir:{tmp_path / 'store'}")
    points = Checkpoints(store.job("job"))
    newest, older = (CheckpointRecord.decode(points.manifest(number).body) for number in (last, before))
    states = {blob.chunk for part in newest.parts for blob in part.blobs()}
    (only_newest, *_) = sorted(states - older.chunks())
    if damage == "missing":
        store.job("job").chunks.delete([ChunkRef.parse(only_newest)])
    else:
        (file,) = (tmp_path / "store").rglob(f"{only_newest}*")
        file.chmod(0o600)
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    store.close()
    struck.times += 1
    second = Running(job, *options(tmp_path), "--resume")
    assert second.finish() == 0, second.errors
    assert f"checkpoint {last} cannot be restored" in second.errors
    assert f"Started again from checkpoint {before}" in second.errors
    struck.compare({**first.epochs, **second.epochs}, expected())


@pytest.mark.fault(19, "disk full under the directory store")
def test_a_disk_that_is_full_for_a_while(job: str, tmp_path: Path, struck: Struck) -> None:
    """A file system of its own; what fills it is removed when the job has run on for a while."""
    folder = tmp_path / "store"
    folder.mkdir()
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    filled = f'mount -t tmpfs -o size=600k tmpfs {folder} && exec "$@"'
    if subprocess.run([*mount, filled, "sh", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no file systems of one's own")
    run = Running(job, *options(tmp_path, every="50ms"), within=[*mount, filled, "sh"]).until(20)
    ballast = Path(f"/proc/{run.agent()}/root{folder}/ballast")
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    struck.times += 1
    run.until(80)
    ballast.unlink()
    struck.check(run, expected())


# -- the job -----------------------------------------------------------------------------------------------------------


@pytest.mark.fault(16, "scale 2 -> 5 -> 1, with kills in the middle")
def test_a_live_job_changes_its_number_of_workers(job: str, tmp_path: Path, struck: Struck) -> None:
    seen: Epochs = {}
    repeated = 0
    with LocalCluster(2) as cluster, Client(cluster.address) as client:
        running = client.submit(job, checkpointing=Checkpointing(f"dir:{tmp_path / 'store'}", every_s=0.1))
        for count, (name, epoch, rows) in enumerate(running.outputs()):
            repeated += (name, epoch) in seen
            seen[name, epoch] = sorted(map(list, rows))
            if count in (20, 60):
                running.rescale({20: 5, 60: 1}[count])
            if count in (10, 30, 50, 70):
                os.kill(Random(count).choice(engines_of(cluster.pid)), signal.SIGKILL)
                struck.times += 1
        assert running.wait().recovery.generation >= 3
    struck.compare(seen, expected(), repeated)


@pytest.mark.fault(17, "a poison record")
def test_a_poison_record_fails_the_job_with_the_users_traceback(job: str, tmp_path: Path, struck: Struck) -> None:
    run = Running(job, *options(tmp_path), "-a", "poison=503")
    struck.times += 1
    struck.refuse(run, "cannot take ('key 3', 503)")
    assert run.summary["recovery"]["restarts"] == 0


@pytest.mark.fault(18, "a changed graph on resume")
def test_a_changed_graph_is_refused_with_the_names_that_differ(job: str, tmp_path: Path, struck: Struck) -> None:
    stopped(job, tmp_path)
    struck.times += 1
    struck.refuse(Running(job, *options(tmp_path), "--resume", "-a", "renamed=true"), "gone: 'totals'; new: 'sums'")


@pytest.mark.fault(20, "SIGKILL while loops hold messages in the middle of a trip")
def test_a_kill_finds_loops_at_work(tmp_path: Path, kills: int, struck: Struck) -> None:
    job = write_job(tmp_path, LOOPS)
    more = ["-a", f"epochs={8 * kills}"]
    plain = Running(job, "-w", "1", *more)
    assert plain.finish() == 0
    run = Running(job, *options(tmp_path, every="20ms"), *more, limit_s=240 + 10 * kills)
    random = Random(kills)
    for kill in range(kills):
        run.until(4 * kill + 1)
        struck.times += kill_one(run, random)
    struck.check(run, plain.epochs)
