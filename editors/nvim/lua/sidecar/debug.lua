-- Debugging by nvim-dap, where it is installed. Without it, any DAP client may attach to the port.

local M = {}

local TYPE = 'sidecar'

--- The adapter for nvim-dap: asks the sidecar for a session, and gives its address.
---@param callback fun(adapter: table)
---@param config table an attach configuration that the sidecar made, or one of ours
local function adapter(callback, config)
  local function at(result)
    callback({ type = 'server', host = '127.0.0.1', port = result.port })
  end
  if config.port then
    callback({ type = 'server', host = config.host, port = config.port })
  else
    M.ask(config.program or config.module, config.args or {}, {
      module = config.module ~= nil,
      cwd = config.cwd,
      env = config.env,
      justMyCode = config.justMyCode,
      stopOnEntry = config.stopOnEntry,
    }, at)
  end
end

---@param target string
---@param args string[]
---@param options table further fields of sidecar.DebugParams
---@param done fun(result: sidecar.DebugResult)
function M.ask(target, args, options, done)
  local server = require('sidecar.server')
  local client = server.client()
  if client then server.save(client) end
  local params = vim.tbl_extend('keep', { target = target, args = args }, options)
  server.request('sidecar/debug', params, done)
end

--- Makes our adapter and configurations known to nvim-dap. Touches nobody else's.
---@return table? dap
function M.offer()
  local found, dap = pcall(require, 'dap')
  if not found then return nil end
  dap.adapters[TYPE] = dap.adapters[TYPE] or adapter
  if dap.providers and dap.providers.configs then
    dap.providers.configs[TYPE] = function(buf)
      if vim.bo[buf].filetype ~= 'python' or not require('sidecar.server').root_of(buf) then return {} end
      return { { type = TYPE, request = 'launch', name = 'Sidecar: this file', program = '${file}' } }
    end
  end
  return dap
end

---@param target string
---@param args string[]
---@param options table
function M.start(target, args, options)
  M.ask(target, args, options, function(result)
    local dap = M.offer()
    if dap then
      dap.run(result.configuration)
    else
      vim.notify(('Sidecar: a debugger can attach to 127.0.0.1:%d'):format(result.port))
    end
  end)
end

return M
