-- The traceback of a run that failed, as a quickfix list.

local M = {}

---@param title string
---@param ended sidecar.Exited
function M.traceback(title, ended)
  local items, at = {}, nil
  for _, frame in ipairs(ended.frames) do
    if frame['local'] then
      table.insert(items, { filename = frame.path, lnum = frame.line, text = frame.name })
      at = #items
    else
      -- A file that is only there: shown, but nothing to jump to.
      table.insert(items, { text = ('%s:%d %s'):format(frame.path, frame.line, frame.name), valid = 0 })
    end
  end
  table.insert(items, { text = ended.error, type = 'E', valid = 0 })
  vim.fn.setqflist({}, ' ', {
    title = ('%s on %s: %s'):format(title, ended.host, ended.error),
    items = items,
    -- The innermost frame of the project's own is where one wants to look first.
    idx = at or 1,
  })
end

return M
