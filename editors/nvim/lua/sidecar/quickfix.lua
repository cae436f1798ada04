-- The tracebacks of a run that failed, or its failed tests, as a quickfix list.

local M = {}

---@param failure sidecar.Failure
---@param items table[]
---@return integer? at the innermost frame of the project's own
local function add(failure, items)
  local at
  for _, frame in ipairs(failure.frames) do
    if frame['local'] then
      table.insert(items, { filename = frame.path, lnum = frame.line, text = frame.name })
      at = #items
    else
      -- A file that is only there: shown, but nothing to jump to.
      table.insert(items, { text = ('%s:%d %s'):format(frame.path, frame.line, frame.name), valid = 0 })
    end
  end
  for number, line in ipairs(vim.split(failure.message ~= '' and failure.message or failure.error, '\n')) do
    if number == 1 and failure.test ~= '' then line = ('%s: %s'):format(failure.test, line) end
    table.insert(items, { text = line, type = 'E', valid = 0 })
  end
  return at
end

---@param title string
---@param ended sidecar.Exited
function M.traceback(title, ended)
  local items, main = {}, nil
  for _, failure in ipairs(ended.failures) do
    local at = add(failure, items)
    -- The innermost frame of the project's own is where one wants to look first.
    if failure.error == ended.error and vim.deep_equal(failure.frames, ended.frames) then main = at end
  end
  for _, line in ipairs(ended.advice ~= '' and vim.split(ended.advice, '\n') or {}) do
    table.insert(items, { text = line, type = 'I', valid = 0 })
  end
  vim.fn.setqflist({}, ' ', {
    title = ('%s on %s: %s'):format(title, ended.host, ended.error),
    items = items,
    idx = main or 1,
  })
end

return M
