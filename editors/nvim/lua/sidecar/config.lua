-- What a person may set, by `require('sidecar').setup {…}` or `vim.g.sidecar = {…}`.

local M = {}

---@class sidecar.Config
---@field cmd string[] how the `sidecar` program is called
---@field window string command that opens the window for output
---@field keep integer finished jobs whose output is kept in buffers
---@field autostart boolean start with the first file of a configured project

---@type sidecar.Config
local defaults = {
  cmd = { 'sidecar' },
  window = 'botright 15split',
  keep = 5,
  autostart = true,
}

---@param options table
---@return sidecar.Config
local function checked(options)
  for name, value in pairs(options) do
    local default = defaults[name]
    if default == nil then
      local names = vim.tbl_keys(defaults)
      table.sort(names)
      error(('sidecar: no option is called %q; there are %s'):format(name, table.concat(names, ', ')), 0)
    elseif type(value) ~= type(default) then
      error(('sidecar: option %s must be a %s'):format(name, type(default)), 0)
    end
  end
  return vim.tbl_extend('force', defaults, options)
end

---@return sidecar.Config
function M.get() return checked(vim.g.sidecar or {}) end

--- The program with these words behind it.
---@param words string[]
---@return string[]
function M.command(words) return vim.list_extend(vim.deepcopy(M.get().cmd), words) end

---@param options table
function M.set(options)
  checked(options)
  vim.g.sidecar = options
end

return M
