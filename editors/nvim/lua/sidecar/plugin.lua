-- What exists from the start: commands and one autocommand. The rest is loaded when it is used.

local function run(sub)
  return function(opts)
    local words = vim.deepcopy(opts.fargs)
    if sub then table.insert(words, 1, sub) end
    require('sidecar.commands').run(words, opts)
  end
end

local function complete(sub)
  return function(lead, line)
    return require('sidecar.commands').complete(lead, line, sub)
  end
end

---@param name string
---@param sub string? subcommand that it is short for
---@param always boolean?
local function define(name, sub, always)
  if not always and vim.fn.exists(':' .. name) == 2 then return end
  vim.api.nvim_create_user_command(name, run(sub), {
    nargs = '*',
    range = true,
    complete = complete(sub),
    desc = sub and ('Sidecar: %s'):format(sub) or 'Sidecar: run, debug, sync, …',
  })
end

define('Remote', nil, true)
define('RemoteRun', 'run', true)
define('RemoteDebug', 'debug')
define('RemoteStop', 'stop')
define('RemoteSync', 'sync')
define('RemoteStatus', 'status')
define('RemoteJobs', 'jobs')

local group = vim.api.nvim_create_augroup('sidecar', {})

vim.api.nvim_create_autocmd({ 'BufReadPost', 'BufNewFile', 'BufWritePost' }, {
  group = group,
  desc = 'Starts the sidecar for files of a configured project',
  callback = function(event) require('sidecar.server').attach(event.buf) end,
})

vim.api.nvim_create_autocmd('LspAttach', {
  group = group,
  desc = 'Offers debug configurations where nvim-dap is loaded already',
  callback = function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == 'sidecar' and package.loaded.dap then
      require('sidecar.debug').offer()
    end
  end,
})
