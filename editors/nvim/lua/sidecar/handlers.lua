-- What the server says of its own accord, by method (protocol/methods.md).

local M = {}

---@return table<string, lsp.Handler>
function M.methods()
  return {
    ['sidecar/output'] = function(_, part) require('sidecar.jobs').output(part) end,
    ['sidecar/exited'] = function(_, ended) require('sidecar.jobs').exited(ended) end,
    ['sidecar/synced'] = function(_, note)
      vim.api.nvim_exec_autocmds('User', { pattern = 'SidecarSynced', modeline = false, data = note })
    end,
    ['sidecar/didChangeStatus'] = function(_, health, context)
      require('sidecar.status').changed(context.client_id, health)
    end,
    ['sidecar/debugEnded'] = function(_, ended)
      if ended.why ~= '' then vim.notify('Sidecar: ' .. ended.why, vim.log.levels.WARN) end
    end,
    ['sidecar/askSecret'] = function(_, question) return require('sidecar.secret').ask(question) end,
  }
end

--- What code lenses and code actions ask for: done here, so that the output has its window.
---@return table<string, fun(command: lsp.Command)>
function M.commands()
  return {
    ['sidecar.run'] = function(command)
      local given = command.arguments[1]
      require('sidecar.jobs').run(given.target, given.args or {}, given)
    end,
    ['sidecar.debug'] = function(command)
      local given = command.arguments[1]
      require('sidecar.debug').start(given.target, given.args or {}, given)
    end,
  }
end

return M
