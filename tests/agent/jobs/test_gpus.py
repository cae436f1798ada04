"""What `nvidia-smi` printed on real machines, as people wrote it down in public.

The figures are theirs; the fields stand in the order in which we ask for them. Sources: an RTX 2080
with driver 440.64 (Ricks-Lab/gpu-utils#83); a small card before and after "[Not Supported]" became
"[N/A]" (enkore/i3pystatus#776); A100s, one of them in MIG mode, with 535.54.03 (the listing and the
report in influxdata/telegraf#5812); an A100 in MIG mode from an unprivileged container with
535.161.08 (Stability-AI/StableSwarmUI#388); who computes in which slice (XuehaiPan/nvitop#8).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar.agent.jobs import annex, gpus

GIB = 1 << 30
MIB = 1 << 20

RTX_2080 = "2, GPU-22b2c6ac-2d49-4863-197c-9c469071178a, GeForce RTX 2080, 86, 4312, 7979, 440.64\n"

NOT_SUPPORTED = (
    "0, GPU-a230e637-c9e1-1b61-3830-a437b874d88d, GeForce MX150, {none}, 0, 2004, 440.64\n"
)

A100S = """\
0, GPU-513536b6-7d19-9063-b049-1e69664bb298, NVIDIA A100-SXM4-80GB, [N/A], 50, 81920, 535.54.03, Enabled
1, GPU-d8594bd4-0fc3-8595-e355-7c98138f3b95, NVIDIA A100-SXM4-80GB, 0, 4, 81920, 535.54.03, Disabled
2, GPU-5e375e7e-b41f-155b-dcdc-534524c356fc, NVIDIA A100-SXM4-80GB, 0, 4, 81920, 535.54.03, Disabled
"""  # noqa: E501

LISTED = """\
GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-513536b6-7d19-9063-b049-1e69664bb298)
  MIG 1g.20gb     Device  0: (UUID: MIG-ce861fb0-a248-58ce-a9a8-f9adbc22a66a)
  MIG 1g.20gb     Device  1: (UUID: MIG-a45882f0-9215-5733-a0c1-49286ab31cb5)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-d8594bd4-0fc3-8595-e355-7c98138f3b95)
GPU 2: NVIDIA A100-SXM4-80GB (UUID: GPU-5e375e7e-b41f-155b-dcdc-534524c356fc)
"""

REPORT = """\
<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log><gpu id="00000000:01:00.0">
<uuid>GPU-513536b6-7d19-9063-b049-1e69664bb298</uuid>
<mig_devices>
<mig_device><index>0</index><gpu_instance_id>3</gpu_instance_id>
<fb_memory_usage><total>19968 MiB</total><used>14366 MiB</used></fb_memory_usage></mig_device>
<mig_device><index>1</index><gpu_instance_id>4</gpu_instance_id>
<fb_memory_usage><total>19968 MiB</total><used>12 MiB</used></fb_memory_usage></mig_device>
</mig_devices>
<processes><process_info><gpu_instance_id>3</gpu_instance_id><pid>34965</pid>
<process_name>python</process_name><used_memory>14195 MiB</used_memory></process_info></processes>
</gpu></nvidia_smi_log>
"""

IN_A_CONTAINER = (
    "0, GPU-932bfb2c-849a-2a22-1e84-9eff6bc02b39, NVIDIA A100-SXM4-80GB, [N/A], "
    "[Insufficient Permissions], [Insufficient Permissions], 535.161.08, Enabled\n"
)

APPS = """\
GPU-d8594bd4-0fc3-8595-e355-7c98138f3b95, 41021, 14195, python, with, commas
GPU-d8594bd4-0fc3-8595-e355-7c98138f3b95, 41022, [N/A], [Not Found]
GPU-5e375e7e-b41f-155b-dcdc-534524c356fc, 41021, 9807, python
"""


def test_a_card_of_an_old_driver_is_read() -> None:
    (card,) = gpus.parse(RTX_2080)
    assert card == gpus.Gpu(
        2,
        "GPU-22b2c6ac-2d49-4863-197c-9c469071178a",
        "GeForce RTX 2080",
        86,
        4312 * MIB,
        7979 * MIB,
        "440.64",
    )
    assert card.busy == "4 of 7 GB in use"


@pytest.mark.parametrize("none", ["[Not Supported]", "[N/A]", "[Unknown Error]", "N/A"])
def test_what_a_card_does_not_tell_is_no_zero(none: str) -> None:
    (card,) = gpus.parse(NOT_SUPPORTED.format(none=none))
    assert (card.percent, card.used, card.total) == (-1, 0, 2004 * MIB)
    assert not card.busy


def test_units_that_a_driver_writes_all_the_same_are_left_aside() -> None:
    (card,) = gpus.parse("0, GPU-1, T4, 7 %, 50 MiB, 15109 MiB, 418.87.01\n")
    assert (card.percent, card.used, card.total) == (7, 50 * MIB, 15109 * MIB)


def test_a_container_that_may_not_look_still_sees_the_card() -> None:
    (card,) = gpus.parse(IN_A_CONTAINER)
    assert (card.percent, card.used, card.total, card.mig) == (-1, -1, -1, True)


def test_slices_stand_behind_their_gpu_and_have_its_place() -> None:
    found = gpus.with_slices(gpus.parse(A100S), LISTED)
    assert [(one.parent, one.number, one.slice) for one in found] == [
        (-1, 0, ""),
        (0, 0, "1g.20gb"),
        (0, 1, "1g.20gb"),
        (-1, 1, ""),
        (-1, 2, ""),
    ]
    assert found[1].uuid == "MIG-ce861fb0-a248-58ce-a9a8-f9adbc22a66a"


def test_a_slice_is_busy_by_who_computes_on_it_alone() -> None:
    found = gpus.with_details(gpus.with_slices(gpus.parse(A100S), LISTED), REPORT)
    assert found[1].processes == (gpus.Process(34965, 14195 * MIB, "python"),)
    assert "34965" in found[1].busy
    assert (found[2].used, found[2].processes, found[2].busy) == (12 * MIB, (), "")
    assert gpus.with_details(found, "no report") == found


def test_each_process_is_told_with_its_gpu() -> None:
    found = gpus.with_processes(gpus.parse(A100S), APPS)
    assert [one.pid for one in found[1].processes] == [41021, 41022]
    assert found[1].processes[0] == gpus.Process(41021, 14195 * MIB, "python, with, commas")
    assert found[1].processes[1] == gpus.Process(41022, -1, "")
    assert [one.pid for one in found[2].processes] == [41021]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No devices were found\n",
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver\n",
        ",,,,,,\n, \n",
        'Field "mig.mode.current" is not a valid field to query.\n',
    ],
)
def test_what_is_no_table_says_nothing(text: str) -> None:
    assert gpus.parse(text) == []
    assert gpus.with_processes(gpus.parse(A100S), text) == gpus.parse(A100S)


def fake_tool(folder: Path, script: str) -> None:
    folder.mkdir(exist_ok=True)
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}")
    tool.chmod(0o755)


OLD_DRIVER = f"""\
case $1 in
*mig.mode*) echo 'Field "mig.mode.current" is not a valid field to query.'; exit 2;;
--query-gpu=*) cat <<END
{RTX_2080}END
;;
--query-compute-apps=*) cat <<END
GPU-22b2c6ac-2d49-4863-197c-9c469071178a, 977, 4011, python
END
;;
esac
"""


def test_the_tool_is_asked_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    fake_tool(tmp_path, OLD_DRIVER)
    assert [one.name for one in gpus.survey()] == ["GeForce RTX 2080"]
    assert gpus.in_use() == {977: [2]}
    fake_tool(
        tmp_path, "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 9\n"
    )
    with pytest.raises(gpus.GpuError, match="version mismatch"):
        gpus.survey()
    assert gpus.in_use() == {}


def test_a_driver_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    fake_tool(tmp_path, "exec sleep 60\n")
    with pytest.raises(gpus.GpuError, match="said nothing"):
        gpus.survey(0.05)


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (None, ["0 NVIDIA A100-SXM4-80GB MIG 1g.20gb"] * 2 + ["1", "2"]),
        ("2", ["2"]),
        ("GPU-d859", ["1"]),
        ("MIG-a45882f0-9215-5733-a0c1-49286ab31cb5", ["0 NVIDIA A100-SXM4-80GB MIG 1g.20gb"]),
        ("", []),
        ("-1", []),
    ],
)
def test_a_record_names_the_cards_that_a_job_could_see(
    wanted: str | None, shown: list[str]
) -> None:
    cards = gpus.with_slices(gpus.parse(A100S), LISTED)
    whole = [one if " " in one else f"{one} NVIDIA A100-SXM4-80GB" for one in shown]
    assert annex.visible(cards, wanted) == whole
