"""What the documentation of docker-py shows, against the daemon of DOCKER_HOST."""
import io
import os
import sys
import tarfile
import threading
import unittest

import docker
from docker.errors import APIError, ContainerError, ImageNotFound, NotFound

IMAGE = os.environ["IMAGE"]
client = docker.from_env()


class Shown(unittest.TestCase):
    def tearDown(self):
        for container in client.containers.list(all=True):
            container.remove(force=True, v=True)

    def test_system(self):
        """ping, version, info and df, at the daemon's version and at an older one"""
        self.assertTrue(client.ping())
        self.assertEqual(client.version()["ApiVersion"], "1.55")
        self.assertEqual(client.info()["OSType"], "linux")
        self.assertEqual([client.api.api_version, client.df()["ImageUsage"]["TotalCount"]], ["1.55", 1])
        older = docker.from_env(version="1.41")
        self.assertGreater(older.df()["LayersSize"], 0)
        older.close()

    def test_run(self):
        """run: output, errors, removal, limits, volumes and a network"""
        self.assertEqual(client.containers.run(IMAGE, ["echo", "hello"], remove=True), b"hello\n")
        with self.assertRaises(ContainerError) as failed:
            client.containers.run(IMAGE, "sh -c 'echo why >&2; exit 3'", remove=True)
        self.assertEqual([failed.exception.exit_status, failed.exception.stderr], [3, b"why\n"])
        client.volumes.create("py", labels={"of": "py"})
        client.networks.create("py", driver="bridge", check_duplicate=True)
        output = client.containers.run(
            IMAGE,
            ["sh", "-c", "echo $A; id -u; touch /data/file; ls /data; hostname; cat /proc/sys/net/core/somaxconn"],
            environment={"A": "b"},
            user="0",
            hostname="named",
            network="py",
            mem_limit="64m",
            nano_cpus=500_000_000,
            volumes={"py": {"bind": "/data", "mode": "rw"}},
            sysctls={"net.core.somaxconn": 77},
            cap_drop=["ALL"],
            ulimits=[docker.types.Ulimit(name="nofile", soft=256, hard=512)],
            log_config=docker.types.LogConfig(type="json-file", config={"max-size": "1m"}),
            tmpfs={"/scratch": "size=65536"},
            extra_hosts={"other": "10.11.12.13"},
            remove=True,
        )
        self.assertEqual(output, b"b\n0\nfile\nnamed\n77\n")
        client.networks.get("py").remove()
        client.volumes.get("py").remove()

    def test_detached(self):
        """a container in the background: attributes, logs, exec, stop, wait, restart, rename, pause, list, prune"""
        container = client.containers.run(
            IMAGE,
            ["sh", "-c", "trap 'exit 7' TERM; echo one; echo two; while :; do sleep 0.05; done"],
            detach=True,
            name="py",
            labels={"of": "py"},
            ports={"80/tcp": ("127.0.0.1", None), "81/udp": 18082},
        )
        self.assertEqual([container.name, container.status], ["py", "created"])
        container.reload()
        self.assertEqual([container.status, container.labels], ["running", {"of": "py"}])
        self.assertEqual(container.image.tags, [IMAGE + ":latest"])
        self.assertEqual(container.ports["80/tcp"][0]["HostIp"], "127.0.0.1")
        self.assertEqual(container.ports["81/udp"][0]["HostPort"], "18082")
        lines = container.logs(stream=True)
        self.assertEqual(next(lines) + next(lines), b"one\ntwo\n")
        self.assertEqual(container.logs(tail=1), b"two\n")
        self.assertEqual(container.exec_run(["sh", "-c", "echo $A; exit 4"], environment=["A=b"]), (4, b"b\n"))
        both = container.exec_run(["sh", "-c", "echo out; echo error >&2"], demux=True)
        self.assertEqual(both, (0, (b"out\n", b"error\n")))
        self.assertEqual([one.name for one in client.containers.list(filters={"label": "of=py"})], ["py"])
        container.rename("other")
        container.pause()
        self.assertEqual(client.containers.get("other").status, "paused")
        container.unpause()
        container.restart(timeout=5)
        container.stop(timeout=5)
        self.assertEqual(container.wait()["StatusCode"], 7)
        self.assertEqual(client.containers.list(filters={"label": "of=py"}), [])
        self.assertEqual(client.containers.prune(filters={"label": "of=py"})["ContainersDeleted"], [container.id])

    def test_socket(self):
        """attach_socket and exec's socket: input, half-close and output"""
        container = client.containers.create(IMAGE, ["cat"], stdin_open=True)
        attached = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        container.start()
        attached._sock.sendall(b"through")
        attached._sock.shutdown(1)
        self.assertEqual(attached.read(), b"\x01\0\0\0\0\0\0\x07through")
        attached.close()
        container.wait()
        container = client.containers.run(IMAGE, ["sleep", "600"], detach=True)
        executed = container.exec_run(["cat"], stdin=True, socket=True).output
        executed._sock.sendall(b"again")
        executed._sock.shutdown(1)
        self.assertEqual(executed.read(), b"\x01\0\0\0\0\0\0\x05again")
        executed.close()

    def test_archives(self):
        """archives in and out, what was changed, commit and export"""
        container = client.containers.run(IMAGE, ["sleep", "600"], detach=True)
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            entry = tarfile.TarInfo("srv/file")
            entry.size = 7
            archive.addfile(entry, io.BytesIO(b"content"))
        self.assertTrue(container.put_archive("/", stream.getvalue()))
        chunks, stat = container.get_archive("/srv/file")
        self.assertEqual([stat["name"], stat["size"]], ["file", 7])
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            self.assertEqual(archive.extractfile("file").read(), b"content")
        self.assertIn({"Path": "/srv/file", "Kind": 1}, container.diff())
        image = container.commit(repository="py", tag="committed", changes="CMD cat /srv/file")
        self.assertEqual(client.containers.run("py:committed", remove=True), b"content")
        self.assertIn(b"srv/file", b"".join(container.export()))
        client.images.remove(image.id, force=True)

    def test_images(self):
        """images: pull, list, tag, history, save, load, remove"""
        image = client.images.pull(IMAGE)
        self.assertTrue(image.tag("py", "tagged"))
        self.assertEqual(client.images.get("py:tagged").id, image.id)
        self.assertEqual(len(image.history()), 1)
        saved = b"".join(client.images.get("py:tagged").save(named=True))
        client.images.remove("py:tagged")
        self.assertEqual(client.images.load(saved)[0].tags, [IMAGE + ":latest"])
        self.assertEqual([one.id for one in client.images.list(name=IMAGE)], [image.id])

    def test_networks(self):
        """networks with a subnet of their own: connect with an alias and an address, disconnect"""
        pool = docker.types.IPAMPool(subnet="10.78.0.0/24", gateway="10.78.0.254")
        network = client.networks.create("py", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
        container = client.containers.run(IMAGE, ["sleep", "600"], detach=True, name="py")
        network.connect(container, aliases=["db"], ipv4_address="10.78.0.10")
        network.reload()
        self.assertEqual(network.attrs["Containers"][container.id]["IPv4Address"], "10.78.0.10/24")
        found = client.containers.run(IMAGE, ["nslookup", "db."], network="py", remove=True)
        self.assertIn(b"10.78.0.10", found)
        network.disconnect(container)
        network.remove()

    def test_events(self):
        """events as they happen, decoded, until they are closed"""
        events = client.events(decode=True, filters={"label": "of=events"})
        seen = []

        def follow():
            for event in events:
                seen.append(event["Action"])
                if seen[-1] == "destroy":
                    events.close()

        thread = threading.Thread(target=follow)
        thread.start()
        container = client.containers.run(IMAGE, ["true"], detach=True, labels={"of": "events"})
        container.wait()
        container.remove()
        thread.join()
        self.assertEqual(seen, ["create", "start", "die", "destroy"])

    def test_errors(self):
        """what is not there, and what is wrong, are errors of their own kinds"""
        with self.assertRaises(NotFound):
            client.containers.run(IMAGE + "-absent:1")
        with self.assertRaises(ImageNotFound):
            client.images.get("absent")
        with self.assertRaises(NotFound):
            client.containers.get("absent")
        with self.assertRaises(NotFound):
            client.networks.get("absent")
        with self.assertRaises(APIError) as refused:
            client.containers.create(IMAGE, name="!")
        self.assertEqual(refused.exception.status_code, 400)
        self.assertIn("Invalid container name", refused.exception.explanation)
        with self.assertRaises(APIError) as missing:
            client.containers.run(IMAGE, ["nothing-such"])
        self.assertEqual(missing.exception.status_code, 400)


class Reported(unittest.TextTestResult):
    """A line of the Test Anything Protocol for each test that has passed."""

    def addSuccess(self, test):
        super().addSuccess(test)
        print("ok", self.testsRun, "-", test.shortDescription(), flush=True)


if __name__ == "__main__":
    unittest.main(testRunner=unittest.TextTestRunner(stream=sys.stderr, resultclass=Reported))
