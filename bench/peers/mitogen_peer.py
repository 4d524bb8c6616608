"""What Mitogen makes of the same work: mitogen_peer.py WHAT TARGET [ARGUMENT...]

TARGET is "local" or a host of the lab. Prints lines "name value", as all programs of bench/ do.
"""
import concurrent.futures
import os
import resource
import subprocess
import sys
import threading
import time

import mitogen.core
import mitogen.utils

SIZE = 64


def open_context(router, target, via=None):
    if target == "local":
        return router.local(via=via, python_path=sys.executable)
    # Compression, which Mitogen turns on by itself, would make of bulk another measurement.
    return router.ssh(via=via, hostname=target, ssh_args=["-F", os.environ["BENCH_SSH_CONFIG"]],
                      check_host_keys="enforce", compression=False, python_path=sys.executable)


def figure(name, value):
    print("%s %.9g" % (name, value))


def print_times(name, times):
    times.sort()
    figure(name + ".count", len(times))
    figure(name + ".p50", times[len(times) // 2])
    figure(name + ".p99", times[len(times) * 99 // 100])


# What runs in children -------------------------------------------------------------------------------

def echo(value):
    return value


def length(value):
    return len(value)


def cpu():
    return time.process_time()


def frames():
    """Distinct texts, so that one that is lost or overtaken is noticed."""
    return [b"%063d|" % i for i in range(256)]


sink = {"count": 0, "wrong": 0}


@mitogen.core.takes_econtext
def start_sink(econtext):
    """Counts what comes to a new receiver, and checks that it comes in order."""
    receiver = mitogen.core.Receiver(econtext.router)
    expected = frames()

    def drain():
        for message in receiver:
            if message.unpickle() != expected[sink["count"] % 256]:
                sink["wrong"] += 1
            sink["count"] += 1
    threading.Thread(target=drain, daemon=True).start()
    return receiver.to_sender()


@mitogen.core.takes_econtext
def start_echo(back, econtext):
    """Sends back what comes to a new receiver."""
    receiver = mitogen.core.Receiver(econtext.router)

    def answer():
        for message in receiver:
            back.send(message.unpickle())
    threading.Thread(target=answer, daemon=True).start()
    return receiver.to_sender()


answers = {}


@mitogen.core.takes_econtext
def open_answers(econtext):
    answers["receiver"] = mitogen.core.Receiver(econtext.router)
    return answers["receiver"].to_sender()


def exchange(to, seconds):
    """Times of a message to `to` and one back, in microseconds."""
    value, receiver = b"x" * SIZE, answers["receiver"]
    for _ in range(100):
        to.send(value)
        receiver.get()
    times = []
    start = time.perf_counter()
    stop = start + seconds
    while start < stop:
        to.send(value)
        receiver.get()
        end = time.perf_counter()
        times.append((end - start) * 1e6)
        start = end
    return times


def sink_count(expected):
    while sink["count"] < expected:
        time.sleep(0.0005)
    return sink["count"], sink["wrong"]


def memory_of(pid="self"):
    """KiB that no other process has, and KiB that are resident."""
    private = resident = 0
    with open("/proc/%s/smaps_rollup" % pid) as f:
        for line in f:
            if line.startswith("Private_"):
                private += int(line.split()[1])
            elif line.startswith("Rss:"):
                resident += int(line.split()[1])
    return private, resident


# What is measured --------------------------------------------------------------------------------------

def roundtrip(router, target, seconds, hops=None):
    context = open_context(router, target)
    if hops:
        context = open_context(router, target, via=context)
    value = b"x" * SIZE
    for _ in range(100):
        context.call(echo, value)
    times = []
    here, there = time.process_time(), context.call(cpu)
    start = time.perf_counter()
    stop = start + float(seconds)
    while start < stop:
        context.call(echo, value)
        end = time.perf_counter()
        times.append((end - start) * 1e6)
        start = end
    here, there = time.process_time() - here, context.call(cpu) - there
    print_times("call", times)
    figure("call.cpu", here * 1e6 / len(times))
    figure("call.cpu_there", there * 1e6 / len(times))


def between(router, target, seconds):
    """As programs/between.lua."""
    a, b = open_context(router, target), open_context(router, target)
    to = b.call(start_echo, a.call(open_answers))
    here, there = time.process_time(), a.call(cpu)
    times = a.call(exchange, to, float(seconds))
    here, there = time.process_time() - here, a.call(cpu) - there
    print_times("message", times)
    figure("message.cpu", here * 1e6 / len(times))
    figure("message.cpu_there", there * 1e6 / len(times))


def connect(router, target, count):
    """As programs/connect.lua. Mitogen sends its code each time."""
    ready, answered = [], []
    here = 0
    for i in range(int(count) + 1):
        if i == 1:
            here = time.process_time()
        start = time.perf_counter()
        context = open_context(router, target)
        up = time.perf_counter()
        context.call(echo, 1)
        if i > 0:
            ready.append((up - start) * 1e6)
            answered.append((time.perf_counter() - start) * 1e6)
        context.shutdown(wait=True)
    figure("cpu", (time.process_time() - here) * 1e6 / int(count))
    print_times("ready", ready)
    print_times("call", answered)


def hosts(router, count, at_once):
    """As programs/hosts.lua, without what goes on meanwhile."""
    group = os.environ.get("BENCH_CGROUP")

    def used():
        here = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        with open(group + "/cpu.stat") as f:
            return here, int(f.readline().split()[1]) / 1e6

    def one(number):
        context = open_context(router, "h%d" % (number + 1))
        assert context.call(subprocess.call, ["true"]) == 0

    here, everything = used()
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(int(at_once)) as pool:
        list(pool.map(one, range(int(count))))
    wall = time.perf_counter() - start
    here_after, everything_after = used()
    floor = (everything_after - everything) / os.cpu_count()
    figure("wall", wall)
    figure("cpu.all", everything_after - everything)
    figure("cpu.here", here_after - here)
    figure("floor", floor)
    figure("x.floor", wall / floor)


def logins(router, host, count):
    """As programs/logins.lua, one after the other."""
    def terminals():
        with open("/proc/sys/kernel/pty/nr") as f:
            return int(f.read())

    def login():
        context = router.ssh(hostname=host, ssh_args=["-F", os.environ["BENCH_SSH_CONFIG"],
                                                      "-o", "PubkeyAuthentication=no"],
                             username="cheap", password="orrery-lab", check_host_keys="enforce",
                             compression=False, python_path=sys.executable)
        context.call(echo, 1)
        return context

    def links():
        found = []
        for fd in os.listdir("/proc/self/fd"):
            try:
                found.append(os.readlink("/proc/self/fd/" + fd))
            except OSError:
                pass
        return found

    login()
    before, start = terminals(), time.perf_counter()
    contexts = [login() for _ in range(int(count))]
    figure("wall", time.perf_counter() - start)
    figure("terminals", terminals() - before)
    figure("terminals.own", sum(link.startswith(("/dev/pts/", "/dev/ptmx")) for link in links()))
    figure("threads", len(os.listdir("/proc/self/task")))
    figure("open", len(contexts))


def throughput(router, target, seconds):
    context = open_context(router, target)
    sender = context.call(start_sink)
    sent, start = 0, time.perf_counter()
    ring = frames()
    while time.perf_counter() - start < float(seconds):
        for _ in range(256):
            sender.send(ring[sent % 256])
            sent += 1
    count, wrong = context.call(sink_count, sent)
    figure("send.rate", count / (time.perf_counter() - start) / 1e3)
    if count != sent or wrong:
        raise Exception("%d sent, %d came, %d not in order" % (sent, count, wrong))
    for name, size in (("call64k", 64 * 1024), ("call1m", 1024 * 1024)):
        value = b"x" * size
        context.call(length, value)
        calls, start = 0, time.perf_counter()
        while time.perf_counter() - start < float(seconds):
            assert context.call(length, value) == size
            calls += 1
        figure(name + ".rate", calls * size / (time.perf_counter() - start) / 1e6)


def memory(router, target, count):
    open_context(router, target).call(echo, 1)
    before = memory_of()[0]
    children = [open_context(router, target) for _ in range(int(count))]
    controller = (memory_of()[0] - before) / len(children)
    pids = subprocess.run(["pgrep", "-P", str(os.getpid()), "-x", "ssh"], stdout=subprocess.PIPE).stdout.split()
    helper = sum(memory_of(pid.decode())[0] for pid in pids) / max(len(pids), 1)
    figure("here.total", controller + helper)
    figure("here.controller", controller)
    figure("here.helper", helper)
    agents = [child.call(memory_of) for child in children]
    figure("agent.private", sum(private for private, _ in agents) / len(agents))
    figure("agent.resident", sum(resident for _, resident in agents) / len(agents))


def mark(name):
    """A system call that nothing else makes, for strace to show."""
    try:
        open("/bench-mark-" + name)
    except OSError:
        pass


def transmission(router, target, count):
    """As programs/transmission.lua; lib/watch.lua talks to both."""
    context = open_context(router, target)
    sender = context.call(start_sink)
    value = b"x" * SIZE
    for _ in range(100):
        context.call(echo, value)
    work = {
        "nothing": lambda: None,
        "send": lambda: sender.send(value),
        "call": lambda: context.call(echo, value),
        "calls": lambda: [context.call(echo, value) for _ in range(5 * int(count))],
    }
    print("ready %d %d" % (os.getpid(), context.call(os.getpid)), flush=True)
    for line in sys.stdin:
        phase = line.strip()
        slept = 0
        mark("phase-" + phase)
        for _ in range(1 if phase == "calls" else int(count)):
            time.sleep(0.002)
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
            mark("begin")
            work[phase]()
            mark("end")
            slept += resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before
        time.sleep(0.05)
        figure("sender.switches", slept)
        mark("phase-over")
        print("done", flush=True)


if __name__ == "__main__":
    mitogen.utils.run_with_router(globals()[sys.argv[1]], *sys.argv[2:])
