-- What people may call; see `:help sidecar-lua`.

local M = {}

---@param options table? see `:help sidecar-options`
function M.setup(options) require('sidecar.config').set(options or {}) end

--- For a statusline: the state of the buffer's project, '' where it has none.
---@param buf integer?
---@return string
function M.statusline(buf) return require('sidecar.status').line(buf or 0) end

--- Does what `:Remote …` does, with the words as a list.
---@param words string[]
function M.remote(words) require('sidecar.commands').run(words) end

--- Makes our debug adapter known to nvim-dap, which loads it; `:RemoteDebug` does that by itself.
function M.dap() require('sidecar.debug').offer() end

return M
