"""The Neovim plugin in a real Neovim, with the real server, to a real machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar import api
from tests.editors.nvim import Nvim
from tests.hub.laptop import COMMAND, Laptop
from tests.servers.box import Box
from tests.servers.embedded import EmbeddedBox
from tests.servers.loop_thread import LoopThread

Start = Callable[..., Nvim]


def test_a_changed_file_is_saved_sent_and_run_and_its_output_is_shown(
    connected: Laptop, start: Start, box: Box
) -> None:
    connected.write("train.py", "print('old')\n")
    nvim = start("train.py")
    nvim.api.current.buffer[:] = ["import sys", "print('new', sys.argv[1:], flush=True)"]
    nvim.command("RemoteRun % --lr 1")
    text = nvim.shows("[status 0]")
    assert "new ['--lr', '1']" in text
    assert text.startswith("box ")
    assert (box.home / "model/train.py").read_text().startswith("import sys")
    # The person stays where they were.
    assert nvim.api.current.buffer.name.endswith("train.py")


def test_a_traceback_is_a_quickfix_list_with_local_paths(nearby: Laptop, start: Start) -> None:
    main = nearby.write("train.py", "import json\nimport model\n\nmodel.score('x')\n")
    model = nearby.write("model.py", "import json\n\ndef score(row):\n    return json.loads(row)\n")
    nvim = start("train.py")
    nvim.command("RemoteRun")
    nvim.shows("[status 1]")
    found = nvim.quickfix()
    places = [(item["filename"], item["lnum"]) for item in found["items"] if item["valid"]]
    assert places == [(str(main), 4), (str(model), 4)]
    assert "JSONDecodeError" in found["items"][-1]["text"]
    assert found["title"].startswith("train.py on box: json.decoder.JSONDecodeError")
    assert not any("/json/" in item["filename"] for item in found["items"])
    nvim.command(f"cc {found['idx']}")
    assert (nvim.api.current.buffer.name, nvim.api.current.window.cursor[0]) == (str(model), 4)


def test_failed_tests_and_what_is_missing_there_are_in_the_quickfix_list(
    nearby: Laptop, start: Start
) -> None:
    nearby.configure(
        (nearby.project / "sidecar.local.toml").read_text() + f'python = "{sys.executable}"\n'
    )
    nearby.write(".gitignore", "data/\n")
    nearby.write("data/mini.csv", "1\n")
    test = nearby.write(
        "test_x.py",
        "def test_one():\n    assert 1 == 2\n\ndef test_two():\n    open('data/mini.csv')\n",
    )
    nvim = start("test_x.py")
    nvim.command("RemoteRun")
    nvim.shows("data/mini.csv exists here; .gitignore:1")
    found = nvim.quickfix()
    places = [(item["filename"], item["lnum"]) for item in found["items"] if item["valid"]]
    assert places == [(str(test), 2), (str(test), 5)]
    assert "exists here" in found["items"][-1]["text"]
    shown = "return vim.tbl_map(function(one) return one.lnum end, vim.diagnostic.get(0))"
    nvim.until(lambda: nvim.lua(shown) == [1, 4], "the diagnostics")


def test_colours_bars_and_typed_input_work_as_in_a_terminal(nearby: Laptop, start: Start) -> None:
    nearby.write(
        "ask.py",
        "import os, sys\n"
        "assert sys.stdout.isatty()\n"
        "print('\\033[31mred\\033[0m', os.get_terminal_size().columns)\n"
        "sys.stdout.write('10%\\r20%\\n')\n"
        "print('you are', input('who? '))\n",
    )
    nvim = start("ask.py")
    nvim.command("RemoteRun")
    nvim.shows("who?")
    nvim.command("wincmd j")
    assert nvim.api.current.buffer.options["buftype"] == "terminal"
    nvim.api.input("iEve<CR><C-\\><C-n>")
    text = nvim.shows("[status 0]")
    assert "red 100" in text
    assert "\n20%\n" in text
    assert "10%" not in text
    assert "you are Eve" in text


def test_a_job_is_stopped(nearby: Laptop, start: Start) -> None:
    nearby.write("loop.py", "import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    nvim = start("loop.py")
    nvim.command("RemoteRun")
    nvim.shows("up")
    nvim.command("RemoteStop")
    nvim.shows("KeyboardInterrupt")
    nvim.shows("\n[")


def test_a_module_and_a_program_are_run_by_name(nearby: Laptop, start: Start) -> None:
    nearby.write("pkg/__init__.py", "")
    nearby.write("pkg/tool.py", "import sys\nprint('tool', sys.argv[1:])\n")
    nvim = start("pkg/tool.py")
    nvim.command("RemoteRun -m pkg.tool a\\ b")
    assert "tool ['a b']" in nvim.shows("[status 0]")
    nvim.command("RemoteRun echo by name")
    nvim.shows("by name")


def test_output_has_one_window_and_old_jobs_go(nearby: Laptop, start: Start) -> None:
    nearby.write("a.py", "print('x')\n")
    nvim = start("a.py", keep=2)
    for _ in range(4):
        nvim.command("lua vim.g.ended = 0")
        nvim.command("autocmd User SidecarExited ++once let g:ended = 1")
        nvim.command("RemoteRun")
        nvim.until(lambda: nvim.api.vars["ended"], "end of the job")
    assert len(nvim.api.windows) == 2
    names = [buffer.name for buffer in nvim.api.buffers if "sidecar://" in buffer.name]
    assert len(names) == 2


def test_a_save_is_there_at_once_and_the_status_line_says_how_it_is(
    nearby: Laptop, start: Start, embedded: Box
) -> None:
    nearby.write("notes.txt", "1\n")
    nvim = start("notes.txt")
    nvim.command(
        "lua synced = {}; vim.api.nvim_create_autocmd('User', { pattern = 'SidecarSynced', "
        "callback = function(event) vim.list_extend(synced, event.data.paths) end })"
    )
    line = "return require('sidecar').statusline()"
    nvim.until(lambda: nvim.lua(line) == "box ✓", "a ready project")
    nvim.api.current.buffer[:] = ["2"]
    nvim.command("write")
    nvim.until(lambda: "notes.txt" in nvim.lua("return synced"), "the save")
    assert (embedded.home / "model/notes.txt").read_text() == "2\n"
    nvim.command("RemoteStatus")
    nvim.until(lambda: "box: ready" in nvim.messages, "the status")
    nvim.command("enew")
    assert nvim.lua(line) == ""


def test_a_sync_says_what_it_did_and_would_do(nearby: Laptop, start: Start) -> None:
    nearby.write("a.py", "x = 1\n")
    nvim = start("a.py")
    nvim.command("RemoteSync")
    nvim.noted("sent,")
    nearby.write("b.py", "x = 1\n")
    nvim.command("RemoteSync -n")
    nvim.noted("Sidecar: ")


def test_jobs_are_listed_and_shown_again(nearby: Laptop, start: Start) -> None:
    nearby.write("a.py", "print('once')\n")
    nvim = start("a.py")
    nvim.command("RemoteRun")
    nvim.shows("[status 0]")
    nvim.command("RemoteJobs")
    nvim.until(lambda: "a.py" in nvim.messages, "the list of jobs")
    nvim.command("bdelete! sidecar://")
    nvim.command("Remote attach")
    assert "once" in nvim.shows("[status 0]")


def test_a_code_lens_runs_with_its_output_in_a_window(nearby: Laptop, start: Start) -> None:
    nearby.write("a.py", "if __name__ == '__main__':\n    print('by lens')\n")
    nvim = start("a.py")
    # As Neovim does it; its own functions for that change from version to version.
    run = """
        local client = vim.lsp.get_clients({ name = 'sidecar', bufnr = 0 })[1]
        if not client then return false end
        local params = { textDocument = vim.lsp.util.make_text_document_params(0) }
        local answers = vim.lsp.buf_request_sync(0, 'textDocument/codeLens', params, 5000)
        for _, lens in ipairs(answers and answers[client.id].result or {}) do
          if lens.command.title:find('^Run') then
            client.commands[lens.command.command](lens.command, { client_id = client.id })
            return true
          end
        end
        return false
        """
    nvim.until(lambda: nvim.lua(run), "a lens")
    assert "by lens" in nvim.shows("[status 0]")


def test_lines_run_as_a_cell(nearby: Laptop, start: Start) -> None:
    nearby.write("a.py", "raise SystemExit(9)\nx = 20\nx + 1\n")
    nvim = start("a.py")
    nvim.command("2,3RemoteRun")
    assert "\n21\n" in nvim.shows("[status 0]")


def test_a_file_is_run_again_with_what_it_was_run_with_last(nearby: Laptop, start: Start) -> None:
    nearby.write("a.py", "import sys\nprint('with', sys.argv[1:])\n")
    nvim = start("a.py")
    nvim.command("RemoteRun --lr 1")
    nvim.shows("with ['--lr', '1']")
    nvim.shows("[status 0]")
    nvim.command("enew | bwipeout! sidecar:// | buffer a.py")
    nvim.command("RemoteRun")
    nvim.shows("with ['--lr', '1']")
    nvim.command("Remote args")
    nvim.noted("a.py is run with --lr 1")
    nvim.command("Remote args -- --lr 2")
    nvim.noted("a.py is run with --lr 2")
    nvim.command("Remote args --")
    nvim.noted("a.py is run without arguments")


def test_the_pythons_there_are_listed_and_chosen_among(
    nearby: Laptop, start: Start, embedded: Box
) -> None:
    programs = embedded.home / "miniforge3/envs/ml/bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(os.path.realpath(sys.executable))
    nearby.write("a.py", "import os\nprint('in', os.environ.get('CONDA_DEFAULT_ENV'))\n")
    (programs.parent / "conda-meta").mkdir()
    nvim = start("a.py")
    nvim.command("Remote envs")
    nvim.until(lambda: "  conda:ml: Python 3." in nvim.messages, "the list of interpreters")
    assert nvim.lua("return require('sidecar.commands').complete('c', 'Remote envs use c')") == [
        "conda:ml"
    ]
    nvim.command("Remote envs use ml")
    nvim.noted("run with conda:ml (Python 3.")
    nvim.command("RemoteRun")
    nvim.shows("in ml")


def test_the_host_is_switched_and_the_status_line_follows(
    nearby: Laptop, start: Start, embedded: Box
) -> None:
    nearby.configure(
        'host = "gpu1"\n'
        f'[hosts.gpu1]\nssh = "{embedded.alias}"\npath = "~/one"\n'
        f'[hosts.gpu2]\nssh = "{embedded.alias}"\npath = "~/two"\n'
    )
    nearby.write("a.py", "import os\nprint('in', os.path.basename(os.getcwd()))\n")
    nvim = start("a.py")
    line = "return require('sidecar').statusline()"
    nvim.until(lambda: nvim.lua(line) == "gpu1 ✓", "a ready project")
    nvim.command("Remote hosts")
    nvim.until(lambda: "* gpu1: ready" in nvim.messages, "the list of hosts")
    assert nvim.lua("return require('sidecar.commands').complete('', 'Remote hosts use ')") == [
        "gpu1",
        "gpu2",
    ]
    nvim.command("RemoteRun -H gpu2")
    nvim.shows("in two")
    nvim.shows("[status 0]")
    assert nvim.lua(line) == "gpu1 ✓"
    nvim.command("Remote hosts use gpu2")
    nvim.noted("go to gpu2")
    nvim.until(lambda: nvim.lua(line) == "gpu2 ✓", "the other host")
    nvim.command("RemoteRun")
    nvim.shows("in two")
    nvim.shows("[status 0]")


# --- debugging -------------------------------------------------------------------------------


def test_without_nvim_dap_a_port_is_named(nearby: Laptop, start: Start) -> None:
    nearby.write("a.py", "print('x')\n")
    nvim = start("a.py")
    nvim.command("RemoteDebug")
    nvim.noted("can attach to 127.0.0.1:")


FAKE_DAP = """\
local M = { adapters = { python = 'theirs' }, providers = { configs = { theirs = 1 } }, ran = {} }
function M.run(configuration)
  M.adapters[configuration.type](function(adapter)
    table.insert(M.ran, { configuration = configuration, adapter = adapter })
  end, configuration)
end
return M
"""


def test_nvim_dap_gets_our_adapter_and_nobody_elses_is_touched(
    nearby: Laptop, start: Start
) -> None:
    other = nearby.home / "other-plugin"
    (other / "lua").mkdir(parents=True)
    (other / "lua" / "dap.lua").write_text(FAKE_DAP)
    nearby.write("a.py", "print('x')\n")
    nvim = start("a.py", extra=(other,))
    nvim.command("RemoteDebug % --lr 1")
    ran = nvim.until(lambda: nvim.lua("return require('dap').ran"), "a session")[0]
    assert ran["configuration"]["request"] == "attach"
    port = ran["configuration"]["port"]
    assert ran["adapter"] == {"type": "server", "host": "127.0.0.1", "port": port}
    assert nvim.lua("return require('dap').adapters.python") == "theirs"
    assert nvim.lua("return require('dap').providers.configs.theirs") == 1
    # From nvim-dap's own list, the adapter asks for a session.
    nvim.lua(
        "local dap = require('dap'); local ours = dap.providers.configs.sidecar(0)[1];"
        "dap.run(vim.tbl_extend('force', ours, { program = vim.fn.expand('%:p') }))"
    )
    ran = nvim.until(lambda: nvim.lua("return require('dap').ran[2]"), "a second session")
    assert ran["adapter"]["port"] != port


# --- questions -------------------------------------------------------------------------------


def test_a_secret_is_typed_unseen_and_can_be_dismissed(laptop: Laptop, start: Start) -> None:
    nvim = start()
    ask = (
        "answer = nil; vim.schedule(function() answer = require('sidecar.secret').ask("
        "{ host = 'box', prompt = 'Password:', echo = false, problem = '' }).value end)"
    )
    nvim.lua(ask)
    nvim.answer("hunter2<CR>")
    assert nvim.until(lambda: nvim.lua("return answer"), "answer") == "hunter2"
    assert "hunter2" not in nvim.messages
    for key in ("<Esc>", "<C-c>"):
        nvim.lua(ask)
        nvim.answer(f"half{key}")
        nvim.until(lambda: nvim.lua("return answer == vim.NIL"), f"dismissal by {key}")


COUNT_PROMPTS = """
local path = ...
local ask = vim.fn.inputsecret
vim.fn.inputsecret = function(options)
  vim.fn.writefile({ '.' }, path, 'a')
  return ask(options)
end
"""


def test_a_run_that_needs_a_password_asks_for_it(
    laptop: Laptop,
    start: Start,
    server_thread: LoopThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    box = EmbeddedBox(server_thread, folder, password="hunter2", key=False)
    try:
        box.fresh()
        monkeypatch.setenv("SIDECAR_SSH_CONFIG", str(box.ssh_config))
        laptop.configure(f'[hosts.{box.alias}]\npath = "~/model"\ntransport = "asyncssh"\n')
        laptop.write("a.py", "print('let in')\n")
        nvim = start("a.py", autostart=False)
        # One prompt may follow another between two looks at the mode, so they are counted.
        prompts = tmp_path / "prompts"
        prompts.touch()
        nvim.api.exec_lua(COUNT_PROMPTS, str(prompts))
        nvim.command("RemoteRun")
        for number, word in enumerate(("wrong", "hunter2"), 1):
            nvim.until(lambda number=number: prompts.stat().st_size >= 2 * number, "a prompt")
            nvim.answer(f"{word}<CR>")
        assert "let in" in nvim.shows("[status 0]")
        assert "hunter2" not in nvim.messages + laptop.log
    finally:
        laptop.end()
        box.close()


# --- where nothing is to be done -------------------------------------------------------------


def test_without_a_configuration_nothing_starts_and_a_command_says_so(
    laptop: Laptop, start: Start
) -> None:
    laptop.write("a.py", "print('x')\n")
    laptop.write("pyproject.toml", "[project]\nname = 'x'\n")
    nvim = start("a.py")
    nvim.command("RemoteRun")
    nvim.noted("no configured project")
    assert laptop.hub_pid() == 0


def test_commit_messages_and_scratch_buffers_are_left_alone(nearby: Laptop, start: Start) -> None:
    nearby.write(".git/COMMIT_EDITMSG", "")
    nvim = start(".git/COMMIT_EDITMSG")
    nvim.command("new | setlocal buftype=nofile | file scratch.py")
    nvim.command("edit term://true")
    assert nvim.lua("return require('sidecar.server').root_of(0)") is None
    assert nearby.hub_pid() == 0


def test_a_table_in_pyproject_is_a_configuration(laptop: Laptop, start: Start) -> None:
    laptop.write("a.py", "")
    laptop.write("pyproject.toml", '[project]\nname = "x"\n[ tool.sidecar . hosts.box]\n')
    nvim = start("a.py")
    assert nvim.lua("return require('sidecar.server').root_of(0)") == str(laptop.project)


def test_a_failure_is_shown_in_the_servers_words(laptop: Laptop, start: Start) -> None:
    laptop.configure('hots = "box"\n')
    laptop.write("a.py", "")
    nvim = start("a.py")
    nvim.command("RemoteRun")
    text, level = nvim.noted("hots")
    assert "sidecar.local.toml" in text
    assert level == 4


def test_a_server_that_cannot_start_is_said(nearby: Laptop, start: Start) -> None:
    nearby.write("a.py", "")
    nvim = start("a.py", cmd=["sh", "-c", "exit 7"])
    nvim.noted("status 7")


def test_it_does_not_start_by_itself_where_that_is_switched_off(
    nearby: Laptop, start: Start
) -> None:
    nearby.write("a.py", "print('x')\n")
    nvim = start("a.py", autostart=False)
    assert nearby.hub_pid() == 0
    nvim.command("RemoteRun")
    nvim.shows("[status 0]")


# --- the plugin itself -----------------------------------------------------------------------


def test_a_wrong_option_is_named_with_those_there_are(laptop: Laptop, start: Start) -> None:
    nvim = start()
    said = nvim.lua("return select(2, pcall(require('sidecar').setup, { windw = 'tabnew' }))")
    assert said == 'sidecar: no option is called "windw"; there are autostart, cmd, keep, window'
    said = nvim.lua("return select(2, pcall(require('sidecar').setup, { keep = 'all' }))")
    assert said == "sidecar: option keep must be a number"


def test_commands_are_completed(laptop: Laptop, start: Start) -> None:
    laptop.write("train.py", "")
    nvim = start()
    complete = "return vim.fn.getcompletion(..., 'cmdline')"
    assert nvim.lua(complete, "Remote st") == ["status", "stop"]
    assert nvim.lua(complete, "Remote run tr") == ["train.py"]
    assert nvim.lua(complete, "RemoteRun tr") == ["train.py"]
    assert nvim.lua(complete, "RemoteSync re") == ["remote"]
    assert nvim.lua(complete, "RemoteStatus x") == []


def test_a_name_that_is_taken_stays_with_its_owner(laptop: Laptop, start: Start) -> None:
    other = laptop.home / "other-plugin"
    (other / "plugin").mkdir(parents=True)
    (other / "plugin" / "other.vim").write_text("command! RemoteSync echo 'theirs'\n")
    nvim = start(extra=(other,))
    assert nvim.api.command_output("RemoteSync") == "theirs"
    nvim.command("checkhealth sidecar")
    text = "\n".join(nvim.api.current.buffer[:])
    assert ":RemoteSync belongs to another plugin; use `:Remote sync`" in text
    assert ":RemoteStop belongs" not in text


def test_checkhealth_finds_all_in_order(nearby: Laptop, start: Start) -> None:
    nearby.write("a.py", "")
    nvim = start("a.py")
    nvim.until(lambda: nvim.lua("return #vim.lsp.get_clients({ name = 'sidecar' }) == 1"), "client")
    nvim.command("checkhealth sidecar")
    text = "\n".join(nvim.api.current.buffer[:])
    assert "ERROR" not in text
    assert f"configured project: {nearby.project}" in text
    assert f"running for {nearby.project}" in text


def test_help_is_found(laptop: Laptop, start: Start) -> None:
    nvim = start()
    nvim.command("helptags ALL")
    for tag in ("sidecar", ":RemoteRun", "sidecar-options", "sidecar-lua", "sidecar-statusline"):
        nvim.command(f"help {tag}")
        assert nvim.api.current.buffer.name.endswith("doc/sidecar.txt")


def test_little_is_loaded_before_it_is_used(laptop: Laptop, start: Start) -> None:
    nvim = start()
    loaded = nvim.lua(
        "return vim.tbl_filter(function(name) return vim.startswith(name, 'sidecar') end, "
        "vim.tbl_keys(package.loaded))"
    )
    assert loaded == ["sidecar.plugin"]


@pytest.mark.skipif(
    "NVIM_DAP" not in os.environ, reason="only on a machine where NVIM_DAP names nvim-dap's folder"
)
def test_the_real_nvim_dap_stops_at_a_breakpoint_set_here(nearby: Laptop, start: Start) -> None:
    path = nearby.write("a.py", "def f(x):\n    y = x + 1\n    print('got', y)\n\nf(41)\n")
    nvim = start("a.py", extra=(Path(os.environ["NVIM_DAP"]),))
    nvim.lua(
        """
        local dap = require('dap')
        dap.listeners.after.event_terminated.test = function() ended = true end
        vim.api.nvim_win_set_cursor(0, { 3, 0 })
        dap.toggle_breakpoint()
        """
    )
    nvim.command("RemoteDebug")
    frame = """
        local session = require('dap').session()
        local at = session and session.current_frame
        return at and { at.name, at.line, at.source.path }
        """
    assert nvim.until(lambda: nvim.lua(frame), "a stop") == ["f", 3, str(path)]
    nvim.lua("require('dap').continue()")
    nvim.until(lambda: nvim.lua("return ended and not require('dap').session()"), "the end")


def test_what_only_the_command_line_has_runs_in_a_terminal(nearby: Laptop, start: Start) -> None:
    nvim = start()
    nvim.command("Remote config")
    text = "return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\\n')"
    nvim.until(lambda: "hosts.box.path" in nvim.lua(text), "the configuration")


def test_neovims_own_way_of_configuring_servers_holds(nearby: Laptop, start: Start) -> None:
    nearby.write("a.py", "")
    nvim = start(cmd=["false"])
    if not nvim.lua("return vim.fn.has('nvim-0.11') == 1"):
        pytest.skip("only on Neovim 0.11 and newer")
    nvim.lua("vim.lsp.config('sidecar', { cmd = ... })", [*COMMAND, "serve"])
    nvim.command("edit a.py")
    line = "return require('sidecar').statusline()"
    nvim.until(lambda: nvim.lua(line) == "box ✓", "a ready project")


# --- the protocol's examples -----------------------------------------------------------------

GOLDEN = Path(__file__).parents[2] / "protocol" / "golden"


def golden(name: str, part: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())[part]


def test_the_examples_of_notifications_are_understood(laptop: Laptop, start: Start) -> None:
    nvim = start()
    tell = (
        "local method, params = ...; "
        "require('sidecar.handlers').methods()[method](nil, params, { client_id = 1 })"
    )
    for name in ("output", "exited", "synced", "didChangeStatus", "debugEnded"):
        message = golden(name, "notification")
        nvim.lua(tell, message["method"], message["params"])
    (failure,) = golden("exited", "notification")["params"]["failures"]
    frames = failure["frames"]
    items = nvim.quickfix()["items"]
    assert [item["text"] for item in items[len(frames) :]] == failure["message"].split("\n")
    for frame, item in zip(frames, items, strict=False):
        assert bool(item["valid"]) == frame["local"]
        assert item["lnum"] == (frame["line"] if frame["local"] else 0)


SPY = """\
local answer = ...
local server = require('sidecar.server')
server.client = function() return nil end
server.request = function(name, params, done)
  sent = { method = name, params = params }
  if done then done(answer, { id = 1, config = { root_dir = '/home/me/digits' } }) end
  return true
end
"""


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("run", "RemoteRun train.py --epochs 3"),
        ("debug", "RemoteDebug train.py"),
        ("sync", "RemoteSync local"),
        ("jobs", "RemoteJobs"),
        ("status", "RemoteStatus"),
        ("signal", "RemoteStop"),
        ("attach", "Remote attach"),
    ],
)
def test_requests_have_the_examples_fields_and_answers_are_understood(
    laptop: Laptop, start: Start, name: str, command: str
) -> None:
    nvim = start()
    nvim.lua(SPY, golden(name, "response")["result"])
    nvim.command(command)
    sent = nvim.lua("return sent")
    assert sent["method"] == golden(name, "request")["method"]
    params, _ = api.REQUESTS[sent["method"]]
    msgspec.convert(sent["params"] or {}, params)
    assert set(sent["params"]) <= {field.encode_name for field in msgspec.structs.fields(params)}


def test_the_question_for_a_secret_is_as_in_the_example(laptop: Laptop, start: Start) -> None:
    nvim = start()
    nvim.lua(
        "answer = nil; local question = ...; vim.schedule(function() answer = "
        "require('sidecar.handlers').methods()['sidecar/askSecret'](nil, question) end)",
        golden("askSecret", "request")["params"],
    )
    nvim.answer("123456<CR>")
    assert nvim.until(lambda: nvim.lua("return answer"), "answer") == {"value": "123456"}


def test_a_conflict_is_listed_compared_and_decided(
    nearby: Laptop, start: Start, embedded: EmbeddedBox
) -> None:
    file = nearby.write("train.py", "one\n")
    assert nearby.sidecar("sync").returncode == 0
    there = embedded.home / "model/train.py"
    there.write_text("theirs\n")
    file.write_text("mine\n")
    nvim = start("train.py")
    nvim.command("Remote conflicts")
    found = nvim.until(lambda: nvim.quickfix()["items"], "the list of conflicts")
    assert found[0]["filename"] == str(file)
    assert "changed both here and on the remote" in found[0]["text"]
    nvim.command("cclose")
    nvim.command("Remote diff train.py")
    buffer = nvim.until(
        lambda: next((one for one in nvim.api.buffers if one.options["filetype"] == "diff"), None),
        "the difference",
    )
    assert {"-mine", "+theirs"} <= set(buffer[:])
    nvim.command("wincmd p")
    nvim.command("Remote resolve remote train.py")
    nvim.noted("theirs here, mine in the trash here")
    assert file.read_text() == "theirs\n"
    nvim.command("Remote undo train.py")
    nvim.noted("train.py is back here")
    assert file.read_text() == "mine\n"
    nvim.command("Remote why train.py")
    nvim.noted("train.py: synced")
