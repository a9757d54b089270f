"""What only the Weaviate engine does: addresses, keys, marks, aliases, late writes, background indexing, dead servers.

The servers are real ones (see tests/contract/weaviate_engine.py): the session's, and one of this file that asks for
keys and indexes vectors in the background.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.errors import ConfigError, DiskFull, EngineBusy, EngineError
from assets.ports import IndexSchema, Query
from assets.ports.index import joined
from orchestration.engines import weaviate_rows as rows
from orchestration.engines import weaviate_store
from orchestration.engines.weaviate_connection import Server, address
from orchestration.engines.weaviate_errors import translated
from orchestration.engines.weaviate_index import WeaviateIndex
from orchestration.engines.weaviate_state import State, Version
from tests.contract import weaviate_engine
from tests.contract.engines import OTHER_SCHEMA, SCHEMA, generation, passage, publish, vector, vectors

KEYS = {"admin": "test-admin-key", "reader": "test-reader-key"}
GUARDED = {
    "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "false",
    "AUTHENTICATION_APIKEY_ENABLED": "true",
    "AUTHENTICATION_APIKEY_ALLOWED_KEYS": ",".join(KEYS.values()),
    "AUTHENTICATION_APIKEY_USERS": "admin,reader",
    "AUTHORIZATION_ADMINLIST_ENABLED": "true",
    "AUTHORIZATION_ADMINLIST_USERS": "admin",
    "AUTHORIZATION_ADMINLIST_READONLY_USERS": "reader",
    "ASYNC_INDEXING": "true",
}
NO_SERVER = address(None, "http://127.0.0.1:9", None, 10)  # the discard port: nothing listens there


@pytest.fixture
def place(tmp_path) -> Path:
    if weaviate_engine.ENGINE.unavailable:
        pytest.skip(f"weaviate: {weaviate_engine.ENGINE.unavailable}")
    return tmp_path


@pytest.fixture
def opened(place):
    """Opens handles of one index; all are closed at the end."""
    handles = []

    def open_one(server: weaviate_engine.Address | None = None, **settings) -> WeaviateIndex:
        at = server or weaviate_engine.server()
        common = {"url": at.url, "grpc_port": at.grpc_port, "collection": weaviate_engine.base(place)}
        lock = {"lock_path": place / "weaviate.lock", "lock_timeout": 5}
        handles.append(WeaviateIndex(**{**common, **lock, **settings}))
        return handles[-1]

    yield open_one
    for each in handles:
        each.close()


@pytest.fixture(scope="module")
def guarded():
    """A server that asks for API keys and indexes vectors in the background."""
    found = weaviate_engine.start(GUARDED)
    if isinstance(found, str):
        pytest.skip(found)
    yield found
    weaviate_engine.stop(found.holder)


def client_of(index: WeaviateIndex):
    return index.store.server.client()


def collections_of(index: WeaviateIndex) -> list[str]:
    return sorted(index.store.ours())


def objects_of(index: WeaviateIndex) -> int:
    (name,) = index.store.ours()
    return client_of(index).collections.get(name).aggregate.over_all(total_count=True).total_count


def texts(index: WeaviateIndex) -> list[str]:
    found = index.published()
    assert found is not None
    return sorted(each.text for each in found.passages())


# --------------------------------------------------------------------------------------------------- pure parts


@pytest.mark.parametrize(
    ("connection", "url", "expected"),
    [
        (None, None, ("local", "http://localhost:8080", "localhost", 8080, False, "localhost", 50_051)),
        (None, "http://127.0.0.1:18080", ("local", "http://127.0.0.1:18080", "127.0.0.1", 18080, False)),
        (None, "http://[::1]:8081", ("local", "http://[::1]:8081", "::1", 8081, False, "::1", 50_051)),
        (None, "http://weaviate.corp:8080", ("custom", "http://weaviate.corp:8080", "weaviate.corp", 8080, False)),
        (None, "https://weaviate.corp", ("custom", "https://weaviate.corp:443", "weaviate.corp", 443, True)),
        ("custom", "http://localhost", ("custom", "http://localhost:80", "localhost", 80, False)),
        (None, "https://x.c0.gcp.weaviate.cloud", ("cloud", "https://x.c0.gcp.weaviate.cloud")),
        (None, "x.weaviate.cloud", ("cloud", "https://x.weaviate.cloud", "x.weaviate.cloud", 443, True)),
        ("embedded", None, ("embedded", "http://127.0.0.1:8079", "127.0.0.1", 8079, False, "127.0.0.1", 50_051)),
    ],
)
def test_address_is_inferred_from_connection_and_url(connection, url, expected):
    found = address(connection, url, None, 50_051)
    fields = (found.kind, found.url, found.host, found.port, found.secure, found.grpc_host, found.grpc_port)
    assert fields[: len(expected)] == expected


def test_address_of_a_cloud_has_a_host_of_its_own_for_grpc():
    for host, grpc in [
        ("x.c0.weaviate.cloud", "grpc-x.c0.weaviate.cloud"),
        ("x.weaviate.network", "x.grpc.weaviate.network"),
    ]:
        found = address(None, f"https://{host}", None, 50_051)
        assert (found.grpc_host, found.grpc_port) == (grpc, 443)
    assert address(None, "https://w.corp", "grpc.w.corp", 50_052).grpc_host == "grpc.w.corp"


@pytest.mark.parametrize(
    ("connection", "url", "key"),
    [
        ("remote", None, "index.connection"),
        ("custom", None, "index.url"),
        ("cloud", None, "index.url"),
        ("local", "http://weaviate.corp", "index.url"),
        (None, "ftp://weaviate.corp", "index.url"),
        (None, "http://weaviate.corp/path", "index.url"),
        (None, "http://weaviate.corp:50051", "index.grpc_port"),
        (None, "http://weaviate.corp:port", "index.url"),
        (None, "http://user:hunter2@weaviate.corp", "index.url"),
    ],
)
def test_address_errors_name_the_key_and_no_password(connection, url, key):
    with pytest.raises(ConfigError, match=f"^{key}") as caught:
        address(connection, url, None, 50_051)
    assert "hunter2" not in f"{caught.value} {caught.value!r}"


def test_consistency_is_one_of_three():
    with pytest.raises(ConfigError, match=r"index.consistency.*QUORUM"):
        WeaviateIndex(consistency="MOST")


@pytest.mark.parametrize(
    ("version", "enough"), [("1.32.9", False), ("1.33.0", True), ("2.0.1", True), ("1.38.11", True)]
)
def test_server_without_what_we_need_is_refused(version, enough):
    class Client:
        def get_meta(self):
            return {"version": version}

    server = Server(NO_SERVER, api_key_env=None, version=None, data_path=None, timeout=5)
    if enough:
        server._checked(Client())
        return
    with pytest.raises(EngineError, match=r"1\.32\.9.*1\.33"):
        server._checked(Client())


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("<_InactiveRpcError of RPC: StatusCode.UNAVAILABLE>", EngineBusy),
        ("Deadline Exceeded", EngineBusy),
        ("cannot reach enough replicas", EngineBusy),
        ("Unexpected status code: 503", EngineBusy),
        ("store is read-only", DiskFull),
        ("could not find class X in schema", EngineError),
        ("forbidden action: user 'a' has insufficient permissions", EngineError),
        ("unauthorized: invalid api key", EngineError),
        ("something new", EngineError),
    ],
)
def test_errors_say_what_they_mean_for_the_caller(message, kind):
    found = translated(RuntimeError(message), "http://weaviate.corp", "WEAVIATE_KEY")
    assert type(found) is kind
    assert "http://weaviate.corp" in str(found)
    if "api key" in message:
        assert "WEAVIATE_KEY" in str(found)


@given(st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)), min_size=2, max_size=2, unique=True))
def test_tags_of_two_entries_differ_also_after_trimming(entries):
    one, other = (rows.tag(name, value) for name, value in entries)
    assert one.strip() == one
    assert one != other


def test_field_with_several_values_is_a_label_for_each():
    assert rows.tags({"b": joined(["x", "R&D, y"]), "a": "p, q"}) == ["a=p, q", "b=x", "b=R&D, y"]


def test_bigrams_are_made_of_scripts_without_spaces_only():
    assert rows.bigrams("The 3 codes: café 한국어") == ""
    assert rows.bigrams("出張費 is 費") == "出張 張費 費"
    assert rows.words("  ?!  ") == ""
    assert rows.words("出張費") == "出張費 出張 張費"


@pytest.mark.parametrize(
    ("keep", "grace", "at", "expected"),
    [(1, 0, 100, [3]), (2, 0, 100, [3, 2]), (1, 15, 40, [3, 2]), (1, 25, 40, [3, 2, 1]), (9, 0, 100, [3, 2, 1])],
)
def test_versions_are_kept_by_number_and_by_the_time_since_they_were_replaced(keep, grace, at, expected):
    versions = tuple(Version(str(n), "C", n, 10.0 * n) for n in (3, 2, 1))  # replaced at 30 and 20
    kept = State(SCHEMA, versions).kept(keep, grace, at)
    assert [version.generation for version in kept] == expected


# --------------------------------------------------------------------------------------------------- no server


def test_server_that_is_down_is_busy_at_once_and_named():
    index = WeaviateIndex(url=NO_SERVER.url, grpc_port=NO_SERVER.grpc_port)
    began = time.monotonic()
    for call in (index.published, index.maintain, lambda: index.candidate(SCHEMA).__enter__()):
        with pytest.raises(EngineBusy, match=NO_SERVER.url):
            call()
    assert NO_SERVER.url in index.describe()["server"]
    assert time.monotonic() - began < 5


def test_api_key_that_is_not_set_is_a_config_error(monkeypatch):
    monkeypatch.delenv("TWOHANDS_TEST_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"^index\.api_key_env: .*TWOHANDS_TEST_KEY is not set"):
        WeaviateIndex(url=NO_SERVER.url, api_key_env="TWOHANDS_TEST_KEY").published()


# --------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("key", [None, "a-wrong-secret"])
def test_wrong_or_missing_key_is_refused_without_showing_it(opened, guarded, monkeypatch, caplog, key):
    monkeypatch.setenv("TWOHANDS_TEST_KEY", key or "")
    index = opened(guarded, api_key_env="TWOHANDS_TEST_KEY" if key else None)
    with caplog.at_level(logging.DEBUG), pytest.raises(EngineError) as caught:
        index.published()
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {caplog.text} {vars(index)} {index.describe()}"
    assert ("TWOHANDS_TEST_KEY" if key else "index.api_key_env") in str(caught.value)
    assert "a-wrong-secret" not in shown


def test_read_only_key_may_search_and_not_publish(opened, guarded, monkeypatch):
    monkeypatch.setenv("ADMIN_KEY", KEYS["admin"])
    monkeypatch.setenv("READER_KEY", KEYS["reader"])
    publish(opened(guarded, api_key_env="ADMIN_KEY"), generation(1))
    index = opened(guarded, api_key_env="READER_KEY")
    assert len(index.published().search(Query("generation", vector("x"), k=10))) == 6
    with pytest.raises(EngineError, match="READER_KEY") as caught, index.candidate(SCHEMA):
        pass
    assert KEYS["reader"] not in str(caught.value)
    assert index.describe()["server"] == weaviate_engine.VERSION


def test_candidate_waits_for_vectors_that_are_indexed_in_the_background(opened, guarded, monkeypatch):
    monkeypatch.setenv("ADMIN_KEY", KEYS["admin"])
    index = opened(guarded, api_key_env="ADMIN_KEY")
    schema = IndexSchema("wide", 256)
    many = [passage(f"many/{n}", f"Row {n}.") for n in range(1_500)]
    numbers = np.random.default_rng(1).standard_normal((len(many), 256)).astype(np.float32)
    with index.candidate(schema) as candidate:
        candidate.add(many, numbers)
        for n in (0, 700, 1_499):
            assert [hit.passage for hit in candidate.search(Query("", numbers[n], k=1))] == [many[n]]
        candidate.publish()
        nodes = client_of(index).cluster.nodes(collections_of(index)[0], output="verbose")
        assert [shard.vector_queue_length for node in nodes for shard in node.shards] == [0]


# --------------------------------------------------------------------------------------------------- versions


def test_twelve_thousand_passages_are_deleted_and_their_objects_too(opened):
    index = opened(keep_versions=1, grace_seconds=0)
    many = [passage(f"many/{n}", f"Row {n}.") for n in range(12_000)]
    schema = IndexSchema("small", 4)
    numbers = np.random.default_rng(1).standard_normal((len(many), 4)).astype(np.float32)
    with index.candidate(schema) as candidate:
        candidate.add(many, numbers)
        assert len(candidate.keys()) == candidate.count() == 12_000
        candidate.publish()
    with index.candidate(schema) as candidate:
        candidate.delete([each.chunk_id for each in many[5:]])
        candidate.publish()
    assert texts(index) == sorted(each.text for each in many[:5])
    assert objects_of(index) == 2_000, "a publish deletes 10,000 at most"
    assert index.maintain() == {"rows": 5, "rows_removed": 1_995, "collections_dropped": 0, "versions_removed": 0}


def test_objects_of_a_version_stay_while_it_is_kept(opened):
    index = opened(keep_versions=2, grace_seconds=0)
    publish(index, generation(0))
    held = index.published()
    publish(index, generation(1))
    assert sorted(each.text for each in held.passages()) == [each.text for each in generation(0)]
    assert objects_of(index) == 12
    publish(index, generation(2))
    assert objects_of(index) == 12
    patient = opened(keep_versions=1, grace_seconds=60)
    publish(patient, generation(3))
    assert objects_of(index) == 18, "versions that were replaced a moment ago may have readers"


def test_rebuild_switches_the_alias_and_drops_the_collection_when_it_is_no_longer_kept(opened):
    index = opened(keep_versions=2, grace_seconds=0)
    publish(index, generation(0))
    held = index.published()
    first = client_of(index).alias.get(alias_name=index.store.base).collection
    publish(index, generation(1), OTHER_SCHEMA)
    second = client_of(index).alias.get(alias_name=index.store.base).collection
    assert collections_of(index) == sorted([first, second])
    assert sorted(each.text for each in held.passages()) == [each.text for each in generation(0)]
    assert client_of(index).collections.get(index.store.base).aggregate.over_all(total_count=True).total_count == 6
    publish(index, generation(2), OTHER_SCHEMA)
    assert collections_of(index) == [second]
    with pytest.raises(EngineError, match="not there any more"):
        list(held.passages())


def test_base_name_that_is_taken_is_refused_before_anything_is_written(opened):
    index = opened()
    client = client_of(index)
    client.collections.create(index.store.base)
    with pytest.raises(EngineError, match=r"^index\.collection: a collection called"), index.candidate(SCHEMA):
        pass
    client.collections.delete(index.store.base)
    client.collections.create(f"Other{index.store.base}")
    client.alias.create(alias_name=index.store.base, target_collection=f"Other{index.store.base}")
    with pytest.raises(EngineError, match="is an alias of"), index.candidate(SCHEMA):
        pass
    client.alias.delete(alias_name=index.store.base)
    publish(index, generation(1))


def test_readers_miss_nothing_while_objects_are_marked(opened):
    index = opened()
    many = [passage(f"many/{n}", f"Row {n}.") for n in range(2_000)]
    schema = IndexSchema("small", 4)
    numbers = np.random.default_rng(1).standard_normal((len(many), 4)).astype(np.float32)
    with index.candidate(schema) as candidate:
        candidate.add(many, numbers)
        candidate.publish()
    stop, counts = threading.Event(), []

    def read() -> None:
        held = opened().published()
        while not stop.is_set():
            counts.append(held.count())

    thread = threading.Thread(target=read)
    thread.start()
    with index.candidate(schema) as candidate:
        candidate.delete([each.chunk_id for each in many[:1_000]])
        candidate.add(many[1_000:], numbers[1_000:])
        assert candidate.count() == 1_000
    stop.set()
    thread.join()
    assert len(counts) > 20
    assert set(counts) == {2_000}
    assert objects_of(index) == 2_000, "the discarded candidate left nothing"


def test_replication_beyond_the_nodes_is_refused_and_nothing_is_published(opened):
    index = opened(replication=3)
    with pytest.raises(EngineError, match="not find enough weaviate nodes"), index.candidate(SCHEMA):
        pass
    assert opened().published() is None


def test_batch_with_failed_objects_raises_and_names_them(opened):
    index = opened()
    good, bad = passage("good"), passage("bad")
    with index.candidate(SCHEMA) as candidate:
        candidate.add([good], vectors([good]))
        objects = [weaviate_store.new_object(good, vector("x"), 1), weaviate_store.new_object(bad, np.ones(3), 1)]
        with pytest.raises(EngineError, match=f"1 objects of a batch failed .{bad.chunk_id}.: .*length 3"):
            index.store.insert(candidate._name, objects)


# --------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("moment", ["deleted", "rebuilt"])
def test_killed_writer_leaves_no_object_and_no_collection_behind(opened, place, moment):
    index = opened()
    publish(index, generation(1))
    command = [sys.executable, "-m", "tests.contract.index_worker", "weaviate", str(place), moment]
    killed = subprocess.run(command, cwd=weaviate_engine.ROOT, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = len(collections_of(index)) if moment == "rebuilt" else objects_of(index)
    assert left == (2 if moment == "rebuilt" else 12)
    assert texts(index) == [each.text for each in generation(1)]
    with index.candidate(SCHEMA) as candidate:
        assert sorted(each.text for each in candidate.passages()) == [each.text for each in generation(1)]
        assert objects_of(index) == 6


def test_collection_that_is_deleted_underneath_is_rebuilt(opened):
    index = opened()
    publish(index, generation(1))
    (name,) = collections_of(index)

    def change() -> None:
        with index.candidate(SCHEMA) as candidate:
            client_of(index).collections.delete(name)
            candidate.add(generation(2), vectors(generation(2)))  # the server may make the collection up again
            candidate.publish()

    with pytest.raises(EngineError):
        change()
    assert index.published() is None
    with index.candidate(SCHEMA) as candidate:
        assert candidate.rebuilt
        candidate.add(generation(3), vectors(generation(3)))
        candidate.publish()
    assert texts(index) == [each.text for each in generation(3)]
    assert client_of(index).alias.get(alias_name=index.store.base).collection != name


def test_writer_of_another_machine_keeps_this_one_from_publishing(opened, place):
    index = opened()
    publish(index, generation(1))
    elsewhere = opened(lock_path=place / "another machine.lock")

    def overtaken() -> None:
        with index.candidate(SCHEMA) as candidate:
            candidate.add(generation(2), vectors(generation(2)))
            publish(elsewhere, generation(3))
            candidate.publish()

    with pytest.raises(EngineBusy, match="another machine"):
        overtaken()
    assert texts(index) == [each.text for each in generation(3)]


def test_late_write_of_a_stopped_writer_is_noticed_before_publishing(opened):
    index = opened()
    publish(index, generation(1))
    with index.candidate(SCHEMA):
        pass  # a stopped writer's generation, 2
    late = weaviate_store.new_object(passage("late"), vector("late"), 2)

    def surprised() -> None:
        with index.candidate(SCHEMA) as candidate:
            candidate.add([passage("new")], vectors([passage("new")]))
            index.store.insert(candidate._name, [late])
            candidate.publish()

    with pytest.raises(EngineBusy, match=r"1 objects .* late"):
        surprised()
    assert texts(index) == [each.text for each in generation(1)]
    publish(index, [passage("new")])
    assert texts(index) == [passage("new").text]


def test_server_that_dies_while_a_batch_is_written_leaves_what_was_published(opened):
    server = weaviate_engine.start()
    assert isinstance(server, weaviate_engine.Embedded), server
    index = opened(server)
    publish(index, generation(1))
    held = index.published()
    many = [passage(f"many/{n}", f"Row {n}.") for n in range(8_000)]
    numbers = vectors(many)

    def interrupted() -> None:
        with index.candidate(SCHEMA) as candidate:
            threading.Timer(0.3, os.kill, (server.pid, signal.SIGKILL)).start()
            candidate.add(many, numbers)

    with pytest.raises(EngineBusy, match=server.url):
        interrupted()
    began = time.monotonic()
    for call in (index.published, held.count, lambda: held.search(Query("generation", vector("x")))):
        with pytest.raises(EngineBusy, match=server.url):
            call()
    assert time.monotonic() - began < 5, "readers are told at once, not after the client's 63 s of repeats"
    weaviate_engine.stop(server.holder)
    again = weaviate_engine.start(data=server.data)
    assert isinstance(again, weaviate_engine.Embedded), again
    index = opened(again)
    assert texts(index) == [each.text for each in generation(1)]
    publish(index, generation(2))
    assert texts(index) == [each.text for each in generation(2)]
    weaviate_engine.stop(again.holder)


def test_embedded_server_is_started_stopped_and_keeps_its_data(place):
    settings = {
        "connection": "embedded",
        "url": f"http://127.0.0.1:{weaviate_engine._free_port()}",
        "grpc_port": weaviate_engine._free_port(),
        "version": weaviate_engine.VERSION,
        "data_path": place / "data",
        "collection": f"T{uuid.uuid4().hex[:8]}",
        "lock_path": place / "lock",
    }
    for number in (1, 2):
        index = WeaviateIndex(**settings)
        before = index.published()
        assert (before is None) == (number == 1)
        publish(index, generation(number))
        index.close()
        with pytest.raises(EngineBusy):
            WeaviateIndex(**settings | {"connection": "local"}).published()
