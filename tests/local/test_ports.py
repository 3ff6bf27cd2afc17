import socket

from fleetdesk_local import ports


class TestAssign:
    def test_gives_each_name_a_free_port_of_its_own(self, tmp_path):
        assigned = ports.assign(tmp_path / "ports.json", ["a", "b", "c"])
        assert len(set(assigned.values())) == 3
        assert all(ports.is_free(port) for port in assigned.values())

    def test_gives_the_same_ports_again(self, tmp_path):
        first = ports.assign(tmp_path / "ports.json", ["a", "b"])
        assert ports.assign(tmp_path / "ports.json", ["a", "b"]) == first

    def test_replaces_only_a_port_that_was_taken(self, tmp_path):
        first = ports.assign(tmp_path / "ports.json", ["a", "b"])
        with socket.create_server(("127.0.0.1", first["a"])):
            second = ports.assign(tmp_path / "ports.json", ["a", "b"])
        assert second["a"] != first["a"]
        assert second["b"] == first["b"]

    def test_starts_afresh_from_a_broken_file(self, tmp_path):
        (tmp_path / "ports.json").write_text("[1, 2")
        assert set(ports.assign(tmp_path / "ports.json", ["a"])) == {"a"}


class TestFreePorts:
    def test_stay_below_the_range_of_outgoing_connections(self):
        assert all(port < 32_768 for port in ports.free_ports(20))
