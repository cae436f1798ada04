"""A run on a terminal: the job has one too, and every key."""

from __future__ import annotations

import json

from tests.cli.person import TerminalSession
from tests.hub.laptop import Laptop
from tests.servers.box import Box


def test_a_job_has_a_terminal_of_the_same_size(connected: Laptop, box: Box) -> None:
    connected.write(
        "main.py",
        "import os, sys\n"
        "print(sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty())\n"
        "print(tuple(os.get_terminal_size()), os.environ['TERM'])\n"
        "name = input('your name? ')\n"
        "print('hello', name)\n"
        "sys.exit(3)\n",
    )
    person = TerminalSession(connected, "run", "main.py")
    person.expect("True True True")
    person.expect("(100, 30)")
    person.expect("your name? ", "Ada\r")
    person.expect("hello Ada")
    assert person.wait() == 3


def test_a_window_that_is_resized_is_resized_there(nearby: Laptop) -> None:
    nearby.write(
        "main.py",
        "import os, signal\n"
        "signal.signal(signal.SIGWINCH, lambda *_: print(tuple(os.get_terminal_size())))\n"
        "input('resize me')\n",
    )
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("resize me")
    person.resize(40, 120)
    person.expect("(120, 40)", "\r")
    assert person.wait() == 0


def test_keys_reach_the_job_one_by_one_and_unseen(nearby: Laptop) -> None:
    nearby.write(
        "main.py",
        "import sys, tty\n"
        "tty.setraw(0)\n"
        "sys.stdout.write('raw\\r\\n'); sys.stdout.flush()\n"
        "while (key := sys.stdin.buffer.raw.read(1)) != b'q':\n"
        "    sys.stdout.write(f'<{key[0]}>'); sys.stdout.flush()\n",
    )
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("raw")
    for key in "\x03\x04\x1a\x7f":
        person.type(key)
        person.expect(f"<{ord(key)}>")
    person.type("q")
    assert person.wait() == 0


def test_ctrl_c_and_ctrl_d_do_there_what_they_do_here(nearby: Laptop) -> None:
    nearby.write(
        "main.py",
        "import sys\n"
        "try:\n"
        "    input('interrupt me')\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
        "print(sys.stdin.read() + 'read to the end')\n",
    )
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("interrupt me", "\x03")
    person.expect("interrupted", "a line\r\x04")
    person.expect("read to the end")
    assert person.wait() == 0


def test_a_job_that_is_left_runs_on_and_is_attached_to(nearby: Laptop) -> None:
    nearby.write("main.py", "print('got', input('first? '))\nprint('got', input('second? '))\n")
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("first? ", "1\r")
    person.expect("second? ", "~d")
    person.expect("runs on at box")
    assert person.wait() == 0
    (job,) = json.loads(nearby.sidecar("jobs", "--json").stdout)
    assert (job["state"], job["terminal"]) == ("running", True)
    person = TerminalSession(nearby, "attach")
    person.expect("second? ", "2\r")
    person.expect("got 2")
    assert person.wait() == 0


def test_the_terminal_is_given_back(nearby: Laptop) -> None:
    nearby.write("main.py", "input('at the prompt')\n")
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("at the prompt")
    assert not person.echoes
    person.type("~d")
    person.expect("runs on")
    assert person.echoes
    assert person.wait() == 0
    assert nearby.sidecar("stop").returncode == 0


def test_a_terminal_can_be_kept_from_a_job(nearby: Laptop) -> None:
    nearby.write("main.py", "import sys\nprint(sys.stdin.isatty())\n")
    person = TerminalSession(nearby, "run", "-T", "main.py")
    person.expect("False")
    assert person.wait() == 0


def test_a_shell_there_is_in_the_same_folder(connected: Laptop, box: Box) -> None:
    connected.write("a.py", "")
    person = TerminalSession(connected, "shell")
    person.type("echo in $PWD; exit 5\r")
    person.expect(f"in {box.home}/model")
    assert person.wait() == 5


def test_a_shell_without_a_terminal_says_what_to_do(nearby: Laptop) -> None:
    done = nearby.sidecar("shell")
    assert done.returncode == 125
    assert "sidecar run sh -c" in done.stderr


def test_ctrl_c_ends_a_program_that_prints_without_end(nearby: Laptop) -> None:
    """What was printed until then is shown first, and that is little: the program was held back."""
    person = TerminalSession(nearby, "run", "yes")
    person.expect("y\r\ny\r\n" * 10_000, "\x03")
    person.expect("^C")
    assert person.wait() == 128 + 2
    assert person.text.count("y") < 10_000_000


def test_a_debugger_a_progress_bar_and_raw_keys_work_as_here(nearby: Laptop) -> None:
    nearby.write(
        "main.py",
        "import sys, termios, tty\n"
        "for done in range(3):\n"
        "    print(f'\\r{done + 1}/3 \\x1b[32m' + '#' * done + '\\x1b[0m', end='', flush=True)\n"
        "print()\n"
        "before = termios.tcgetattr(0)\n"
        "tty.setraw(0)\n"
        "print('raw', end='', flush=True)\n"
        "keys = [sys.stdin.read(1) for _ in range(3)]\n"
        "termios.tcsetattr(0, termios.TCSADRAIN, before)\n"
        "print('keys', keys)\n"
        "value = 41\n"
        "breakpoint()\n"
        "print('value', value)\n",
    )
    person = TerminalSession(nearby, "run", "main.py")
    person.expect("\r1/3 \x1b[32m\x1b[0m\r2/3 \x1b[32m#\x1b[0m\r3/3 \x1b[32m##\x1b[0m\r\n")
    person.expect("raw", "\x03\x1a\x04")  # in raw mode they are keys like any others
    person.expect("keys ['\\x03', '\\x1a', '\\x04']")
    person.expect("(Pdb) ", "value += 1\r")
    person.expect("(Pdb) ", "c\r")
    person.expect("value 42")
    assert person.wait() == 0


def test_a_shell_there_stops_a_program_by_ctrl_z_and_goes_on_with_it(nearby: Laptop) -> None:
    person = TerminalSession(nearby, "run", "-e", "PS1=%% ", "bash", "--norc", "-i")
    person.expect("%% ", "sh -c 'echo began; read x; echo read $x'\r")
    person.expect("began", "\x1a")
    person.expect("Stopped")
    person.expect("%% ", "fg\r")
    person.expect("echo read", "this\r")
    person.expect("read this")
    person.expect("%% ", "sleep 300\r")
    person.expect("sleep 300", "\x03")
    person.expect("%% ", "\x04")
    assert person.wait() == 130  # of the shell's last command, as here
