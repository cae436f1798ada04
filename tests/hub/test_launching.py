from __future__ import annotations

import pytest

from sidecar.hub.launching import behind


@pytest.mark.parametrize(
    ("launch", "terminal", "words"),
    [
        ("", True, []),
        ("nice -n 5", True, ["nice", "-n", "5"]),
        ("srun --comment='a b'", False, ["srun", "--comment=a b"]),
        ("srun --gres=gpu:1", True, ["srun", "--pty", "--gres=gpu:1"]),
        ("/opt/slurm/bin/srun", True, ["/opt/slurm/bin/srun", "--pty"]),
        ("srun -n4", True, ["srun", "-n4"]),
        ("srun --ntasks=2 -l", True, ["srun", "--ntasks=2", "-l"]),
        ("srun --pty", True, ["srun", "--pty"]),
        ("srun -A $ACC", False, ["/bin/sh", "-c", 'exec srun -A $ACC "$@"', "sidecar"]),
    ],
)
def test_a_command_is_put_behind_the_words_of_launch(
    launch: str, terminal: bool, words: list[str]
) -> None:
    assert behind(launch, terminal=terminal) == words
