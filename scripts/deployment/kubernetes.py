"""deploy/kubernetes.yaml: what refers to what, and its containers side by side as in a pod."""

import os
import subprocess
import urllib.request

from deployment.common import (
    DEPLOY, Background, apart, check, done, read, require, require_programs, until)
from deployment.container import contained, make_root, static_program

FILE = os.path.join(DEPLOY, "kubernetes.yaml")


def try_kubernetes(_, folder, built=None):
    try:
        import yaml
    except ImportError:
        require("python3-yaml", False)
    with open(FILE) as file:
        pod, service = yaml.safe_load_all(file)
    containers = pod["spec"]["initContainers"] + pod["spec"]["containers"]
    check_references(pod, service, containers)
    require("root", os.geteuid() == 0)
    require_programs("setpriv")
    program = static_program(built)
    apart(lambda: run_pod(program, folder, pod, containers, service))


def check_references(pod, service, containers):
    """What a cluster would refuse, or take and not do."""
    check((pod["kind"], service["kind"]) == ("Pod", "Service"), "it is not a pod and a service")
    labels, selector = pod["metadata"]["labels"], service["spec"]["selector"]
    check(selector.items() <= labels.items(), "the service selects another pod")
    ports = {port["name"] for container in containers for port in container.get("ports", [])}
    check({port["targetPort"] for port in service["spec"]["ports"]} <= ports, "the service has a port of no container")
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    for container in containers:
        name, locked = container["name"], container["securityContext"]
        check(pod["spec"]["securityContext"]["runAsNonRoot"], "the pod may run as root")
        check(locked["capabilities"]["drop"] == ["ALL"] and locked["readOnlyRootFilesystem"]
              and not locked["allowPrivilegeEscalation"], f"{name} keeps rights")
        check({mount["name"] for mount in container["volumeMounts"]} <= volumes, f"{name} mounts an unknown volume")
        for probe in probes(container).values():
            if "httpGet" in probe:
                check(probe["httpGet"]["port"] in {port["name"] for port in container["ports"]},
                      f"a probe of {name} has an unknown port")
    sidecars = pod["spec"]["initContainers"]
    check(all(container["restartPolicy"] == "Always" for container in sidecars), "the pod waits for its sidecar's end")


def probes(container):
    return {kind: container[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe") if kind in container}


def run_pod(program, folder, pod, containers, service):
    """All containers in one network, each in its own root with the volume, in the order of a pod."""
    security = pod["spec"]["securityContext"]
    user = f"{security['runAsUser']}:{security['runAsGroup']}"
    volume = os.path.join(folder, "volume")
    os.mkdir(volume)
    done("mount", "-t", "tmpfs", "-o", f"mode=755,uid={security['runAsUser']}", "tmpfs", volume)
    roots = {}
    with Background(folder) as programs:
        for container in containers:
            name = container["name"]
            root = roots[name] = make_root(program, folder, name)
            places = [root + mount["mountPath"] for mount in container["volumeMounts"]]
            for place in places:
                os.makedirs(place)
            # Before the volume, which a mount of the root would hide.
            done("mount", "-o", "bind,ro", root, root)
            for place in places:
                done("mount", "--bind", volume, place)
            programs.sok(name, *contained(root, "/sok", *container["args"], user=user))
        for container in containers:
            for kind, probe in probes(container).items():
                until(lambda: healthy(container, probe, roots, user), f"the {kind} of {container['name']} fails")
        port = service["spec"]["ports"][0]["port"]
        answer = done(program, "call", f"inet:127.0.0.1:{port}", "hello")
        check(answer == "hello\n", f"the pod answers {answer!r}")
        stop(programs)
    print(f"  a pod of {len(containers)} containers: probes succeed, it answers on port {port}, and stops", flush=True)


def healthy(container, probe, roots, user):
    """Whether a probe succeeds, made as the kubelet makes it."""
    if "exec" in probe:
        command = contained(roots[container["name"]], *probe["exec"]["command"], user=user)
        return subprocess.run(command, capture_output=True).returncode == 0
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    url = f"http://127.0.0.1:{ports[probe['httpGet']['port']]}{probe['httpGet']['path']}"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return 200 <= answer.status < 400
    except OSError:
        return False


def stop(programs):
    """SIGTERM ends the containers, sidecars last, each with 0."""
    for process in reversed(programs.running):
        process.terminate()
        check(process.wait(60) == 0, f"a container ended with {process.returncode}: {read(process.log)}")
