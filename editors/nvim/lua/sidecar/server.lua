-- The language server `sidecar serve`: started for files of a configured project, asked by all else.

local M = {}

local MARKERS = { 'sidecar.toml', 'sidecar.local.toml' }

--- The nearest folder upward that holds a configuration. Which one counts, and whether it is right,
--- the sidecar decides; this only says that there is something to start it for.
---@param path string
---@return string?
function M.root(path)
  return vim.fs.root(path, function(name, folder)
    if vim.tbl_contains(MARKERS, name) then return true end
    if name ~= 'pyproject.toml' then return false end
    local file = io.open(vim.fs.joinpath(folder, name))
    if not file then return false end
    local text = file:read('*a')
    file:close()
    return ('\n' .. text):find('\n%s*%[%s*tool%s*%.%s*sidecar%s*[%.%]]') ~= nil
  end)
end

--- The client's settings before the person's.
---@return vim.lsp.ClientConfig
function M.defaults()
  return {
    name = 'sidecar',
    cmd = require('sidecar.config').command({ 'serve' }),
    root_dir = function(buf, found)
      local root = M.root_of(buf)
      if root then found(root) end
    end,
    init_options = { sidecar = true },
    handlers = require('sidecar.handlers').methods(),
    commands = require('sidecar.handlers').commands(),
    on_exit = function(code, signal, id) require('sidecar.status').ended(id, code, signal) end,
  }
end

---@type table<integer, fun()[]> what waits for a client to have shaken hands
local waiting = {}

---@param client vim.lsp.Client
local function ready(client)
  local work = waiting[client.id] or {}
  waiting[client.id] = nil
  for _, one in ipairs(work) do
    one()
  end
end

---@param root string
---@return vim.lsp.ClientConfig
local function settings(root)
  -- Neovim 0.11 merges lsp/sidecar.lua with what `vim.lsp.config('sidecar', …)` was told.
  local base = vim.lsp.config and vim.lsp.config.sidecar or M.defaults()
  return vim.tbl_extend('force', base, {
    name = 'sidecar',
    root_dir = root,
    workspace_folders = { { uri = vim.uri_from_fname(root), name = vim.fs.basename(root) } },
    on_init = vim.list_extend({ ready }, type(base.on_init) == 'table' and base.on_init or { base.on_init }),
  })
end

---@param buf integer
---@return string? root, nil for what is no file of a configured project
function M.root_of(buf)
  local name = vim.api.nvim_buf_get_name(buf)
  if name == '' or vim.bo[buf].buftype ~= '' or name:find('^%a[%w+.-]*://') then return nil end
  local path = vim.fs.normalize(vim.fn.fnamemodify(name, ':p'))
  if path:find('/.git/', 1, true) then return nil end
  return M.root(path)
end

--- Starts the server for a buffer's project, or attaches the buffer to it.
---@param buf integer
function M.attach(buf)
  if not require('sidecar.config').get().autostart then return end
  local root = M.root_of(buf)
  if root then vim.lsp.start(settings(root), { bufnr = buf }) end
end

--- The client for what is being looked at: the buffer's project, else that of the working folder,
--- else the only one there is.
---@return vim.lsp.Client?
function M.client()
  local buf = vim.api.nvim_get_current_buf()
  local own = M.root_of(buf)
  local root = own or vim.b[buf].sidecar_root or M.root(vim.fn.getcwd())
  local id
  if own then
    id = vim.lsp.start(settings(own), { bufnr = buf })
  elseif root and vim.fn.has('nvim-0.11') == 1 then
    id = vim.lsp.start(settings(root), { attach = false })
  else
    local clients = vim.lsp.get_clients({ name = 'sidecar' })
    for _, client in ipairs(clients) do
      if client.config.root_dir == root then return client end
    end
    if not root then return #clients == 1 and clients[1] or nil end
    id = vim.lsp.start_client(settings(root))
  end
  return id and vim.lsp.get_client_by_id(id)
end

---@param error sidecar.ResponseError
local function complain(error)
  local problem = type(error.data) == 'table' and error.data or {}
  local text = problem.what or error.message
  if problem.why and problem.why ~= '' then text = text .. ': ' .. problem.why end
  if problem.fix and problem.fix ~= '' then text = text .. '\n' .. problem.fix end
  vim.notify('Sidecar: ' .. text, vim.log.levels.ERROR)
end

--- Sends one request; a failure is shown in the server's words.
---@param method string
---@param params table
---@param done fun(result: table, client: vim.lsp.Client)?
---@return boolean sent
function M.request(method, params, done)
  local client = M.client()
  if not client then
    vim.notify(
      'Sidecar: this is no configured project. `sidecar init` in a terminal makes it one.',
      vim.log.levels.WARN
    )
    return false
  end
  return M.ask(client, method, params, done)
end

---@param client vim.lsp.Client
---@param method string
---@param params table
---@param done fun(result: table, client: vim.lsp.Client)?
---@param failed fun(error: sidecar.ResponseError)? instead of showing it
---@return boolean sent
function M.ask(client, method, params, done, failed)
  params.project = params.project or client.config.root_dir
  local function answered(error, result)
    if error then
      (failed or complain)(error)
    elseif done then
      done(result, client)
    end
  end
  local function send()
    if vim.fn.has('nvim-0.11') == 1 then return (client:request(method, params, answered)) end
    return (client.request(method, params, answered))
  end
  if client.initialized then return send() end
  waiting[client.id] = waiting[client.id] or {}
  table.insert(waiting[client.id], send)
  return true
end

--- Saves the changed buffers of a project: what runs there is what is seen here.
---@param client vim.lsp.Client
function M.save(client)
  for buf in pairs(client.attached_buffers) do
    if vim.api.nvim_buf_is_loaded(buf) and vim.bo[buf].modified and vim.bo[buf].buftype == '' then
      vim.api.nvim_buf_call(buf, function() vim.cmd('silent update') end)
    end
  end
end

return M
