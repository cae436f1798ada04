-- `:checkhealth sidecar`

local M = {}

local health = vim.health

local function check_program()
  local cmd = require('sidecar.config').get().cmd
  local path = vim.fn.exepath(cmd[1])
  if path == '' then
    health.error(('`%s` is not on the PATH'):format(cmd[1]), {
      'install it: `uv tool install remote-sidecar`, or `pipx install remote-sidecar`',
      "or say where it is: `require('sidecar').setup { cmd = { '/path/to/sidecar' } }`",
    })
    return
  end
  local version = require('sidecar.config').command({ '--version' })
  local told = vim.system(version, { text = true }):wait(10000)
  if told.code == 0 then
    health.ok(('%s: %s'):format(path, vim.trim(told.stdout)))
  else
    health.error(('`%s --version` fails'):format(path), vim.split(vim.trim(told.stderr or ''), '\n'))
  end
end

local function check_project()
  local server = require('sidecar.server')
  local root = server.root(vim.fn.getcwd())
  if root then
    health.ok('configured project: ' .. root)
  else
    health.info('the working folder is in no configured project; `sidecar init` makes it one')
  end
  local clients = vim.lsp.get_clients({ name = 'sidecar' })
  for _, client in ipairs(clients) do
    health.ok('running for ' .. client.config.root_dir)
  end
  if #clients == 0 then health.info('not running; it starts with the first file of a project') end
end

local function check_commands()
  for _, name in ipairs({ 'RemoteDebug', 'RemoteStop', 'RemoteSync', 'RemoteStatus', 'RemoteJobs' }) do
    local command = vim.api.nvim_get_commands({})[name]
    if not (command and vim.startswith(command.definition, 'Sidecar')) then
      health.warn((':%s belongs to another plugin; use `:Remote %s`'):format(name, name:sub(7):lower()))
    end
  end
end

function M.check()
  health.start('sidecar')
  if vim.fn.has('nvim-0.10') == 1 then
    health.ok('Neovim ' .. tostring(vim.version()))
  else
    health.error('Neovim 0.10 or newer is needed')
    return
  end
  local valid, problem = pcall(require('sidecar.config').get)
  if not valid then
    health.error(tostring(problem), 'see `:help sidecar-options`')
    return
  end
  check_program()
  check_project()
  check_commands()
  if #vim.api.nvim_get_runtime_file('lua/dap.lua', false) > 0 then
    health.ok('nvim-dap is installed: `:RemoteDebug` debugs here')
  else
    health.info('nvim-dap is not installed: `:RemoteDebug` gives a port for any DAP client')
  end
end

return M
