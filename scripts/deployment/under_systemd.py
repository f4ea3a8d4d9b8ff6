"""Runs under a systemd that is process 1 of a container: starts, reloads, restarts and stops sok-relay@."""

import os
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from deployment.common import Background, check, done, read, until

SOK = "/usr/local/bin/sok"
RESTARTS = 10


def configure(name, target, rules, *drop_ins):
    """Writes the files of an instance as an administrator does, and starts its socket."""
    with open(f"/etc/sok/{name}.env", "w") as file:
        file.write(f"TARGET={target}\nOPTIONS=--retry-for 30s -v\n")
    write_rules(name, rules)
    # A call that the filter refuses ends the program here, so that none is refused unnoticed; and it may
    # start again more often.
    strict = ("[Unit]\nStartLimitIntervalSec=0\n"
              f"[Service]\nSystemCallErrorNumber=\nStandardError=append:/run/{name}.log\n")
    for unit, text in (("service", strict), *drop_ins):
        folder = f"/etc/systemd/system/sok-relay@{name}.{unit}.d"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/{len(os.listdir(folder))}.conf", "w") as file:
            file.write(text)
    done("systemctl", "daemon-reload")
    done("systemctl", "start", f"sok-relay@{name}.socket")


def write_rules(name, text):
    with open(f"/etc/sok/{name}.rules", "w") as file:
        file.write(text)


def show(name, what):
    return done("systemctl", "show", "-P", what, f"sok-relay@{name}.service").strip()


def call(address):
    answer = done(SOK, "call", "--timeout", "30s", address, "hello")
    check(answer == "hello\n", f"{address} answered {answer!r}")


def reload(name, rules, address, code=0):
    """Gives it other rules; they are in force soon after the signal, as a call shows by how it ends."""
    write_rules(name, rules)
    done("systemctl", "reload", f"sok-relay@{name}.service")
    ended = lambda: subprocess.run([SOK, "call", "--timeout", "30s", address, "hello"], capture_output=True).returncode
    until(lambda: ended() == code, f"a call does not end with {code} after a reload")


def status(pid):
    return dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").splitlines())


def without_rights(name):
    """The process of the service has none of those that its unit takes."""
    now = status(show(name, "MainPID"))
    user = int(now["Uid"].split()[0])
    check(61184 <= user <= 65519, f"user {user} is none of DynamicUser")
    for kind in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb"):
        check(int(now[kind], 16) == 0, f"{kind} is {now[kind]}")
    check(now["NoNewPrivs"] == "1" and now["Seccomp"] == "2", "new privileges or any system call are allowed")
    return user


def restarts(name, address):
    """Clients all the time while the service restarts: each gets its answer."""
    over, faults, calls = threading.Event(), [], [0]

    def clients():
        while not over.is_set():
            try:
                call(address)
                calls[0] += 1
            except Exception as error:
                faults.append(str(error))

    threads = [threading.Thread(target=clients) for _ in range(3)]
    for thread in threads:
        thread.start()
    pids = {show(name, "MainPID")}
    try:
        for _ in range(RESTARTS):
            done("systemctl", "restart", f"sok-relay@{name}.service")
            pids.add(show(name, "MainPID"))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    check(not faults, f"{len(faults)} clients failed during restarts, such as: {faults[:1]}")
    check(len(pids) == RESTARTS + 1, "the service has not restarted")
    return calls[0]


def bulk(address, folder):
    """More than the relay copies before it splices."""
    noise = os.urandom(1 << 25)
    with open(f"{folder}/noise", "wb") as file:
        file.write(noise)
    with open(f"{folder}/noise") as file:
        done("sh", "-c", f"{SOK} connect {address} < {folder}/noise > {folder}/echo")
    with open(f"{folder}/echo", "rb") as file:
        check(file.read() == noise, "a large stream came back changed")


def local(programs, folder):
    """The units as they are: a socket file to a socket file."""
    server = "/run/server.sock"
    programs.sok("server", SOK, "serve", server, "--mode", "666", "--echo")
    near = "/run/sok/demo.sock"
    configure("demo", server, "allow any\n")
    check(os.stat(near).st_mode & 0o777 == 0o660, "the socket file has other rights")
    check(show("demo", "ActiveState") == "inactive", "the service runs before the first client")
    call(near)
    user = without_rights("demo")
    bulk(near, folder)
    before = show("demo", "MainPID")
    reload("demo", "deny uid:0\n", near, code=6)
    reload("demo", "allow uid:0\n", near)
    check(show("demo", "MainPID") == before, "a reload restarts the service")
    calls = restarts("demo", near)
    done("systemctl", "stop", "sok-relay@demo.socket", "sok-relay@demo.service")
    check(show("demo", "Result") == "success", f"the service ended with {show('demo', 'Result')}")
    check(not os.path.exists(near), "the socket file is left")
    print(f"  systemd, unix to unix: user {user}, no capabilities; {RESTARTS} restarts under {calls} calls, none lost")


def network(programs):
    """The drop-in that the socket unit shows: TCP, here of both families, to a TCP server."""
    programs.sok("tcp-server", SOK, "serve", "inet6:[::1]:7001", "--echo")
    listen = "[Socket]\nListenStream=\nListenStream=127.0.0.1:2375\n"
    configure("tcp", "inet6:[::1]:7001", "allow 127.0.0.1/32\n", ("socket", listen))
    call("inet:127.0.0.1:2375")
    reload("tcp", "deny 127.0.0.0/8\n", "inet:127.0.0.1:2375", code=6)
    done("systemctl", "stop", "sok-relay@tcp.socket", "sok-relay@tcp.service")
    print("  systemd, inet to inet6: rules by address, reloaded")


def without_network(programs):
    """The drop-in that README.md shows: TCP clients, and no network for the program itself."""
    server = "/run/other.sock"
    programs.sok("other", SOK, "serve", server, "--mode", "666", "--echo")
    listen = "[Socket]\nListenStream=\nListenStream=127.0.0.1:2376\n"
    no_network = "[Service]\nPrivateNetwork=yes\nRestrictAddressFamilies=\nRestrictAddressFamilies=AF_UNIX\n"
    configure("web", server, "allow 127.0.0.1/32\n", ("socket", listen), ("service", no_network))
    call("inet:127.0.0.1:2376")
    done("systemctl", "stop", "sok-relay@web.socket", "sok-relay@web.service")
    print("  systemd, inet to unix: without a network of its own")


def main():
    with tempfile.TemporaryDirectory(dir="/run") as folder, Background(folder) as programs:
        try:
            local(programs, folder)
            network(programs)
            without_network(programs)
        except Exception as error:
            for name in os.listdir("/run"):
                if name.endswith(".log"):
                    print(f"{name}: {read(f'/run/{name}')}")
            sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
