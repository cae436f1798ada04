-- What both sides have differently, and the ways out: `:Remote conflicts|diff|resolve|undo|why`.

local M = {}

---@param text string
---@param level integer?
local function say(text, level)
  vim.notify('Sidecar: ' .. text, level or vim.log.levels.INFO)
end

--- Paths as the person named them, in full; the current file where none is.
---@param words string[]
---@return string[]
local function paths_of(words)
  local paths = {}
  for _, word in ipairs(words) do
    table.insert(paths, vim.fn.fnamemodify(word == '%' and vim.fn.expand('%') or word, ':p'))
  end
  if #paths == 0 and vim.bo.buftype == '' and vim.fn.expand('%') ~= '' then
    paths = { vim.fn.expand('%:p') }
  end
  return paths
end

---@param version sidecar.Version?
---@return string
local function side(version)
  if not version or version == vim.NIL then return '-' end
  if version.kind == 'nothing' then return 'nothing' end
  local by = version.by ~= '' and ' by ' .. version.by or ''
  return (version.changed ~= '' and version.changed or version.kind) .. by
end

---@param note sidecar.PathNote
---@return string
local function described(note)
  return ('%s: %s (here %s, there %s)'):format(note.kind, note.text, side(note.here), side(note.there))
end

---@param notes sidecar.PathNote[]
---@param title string
---@param root string
local function list(notes, title, root)
  local items = {}
  for _, note in ipairs(notes) do
    local name = vim.fs.joinpath(root, note.path)
    table.insert(items, { filename = name, lnum = 1, text = described(note), type = 'W' })
  end
  vim.fn.setqflist({}, ' ', { title = title, items = items })
  vim.cmd('botright copen')
end

function M.conflicts()
  require('sidecar.server').request('sidecar/conflicts', {}, function(result, client)
    if #result.notes == 0 then return say('no conflicts') end
    list(result.notes, 'Sidecar conflicts', client.config.root_dir)
  end)
end

---@param result sidecar.DiffResult
local function show_difference(result)
  if result.why ~= '' then return say(('%s: %s'):format(result.path, result.why)) end
  if result.binary then return say(result.path .. ' is no text, and not the same') end
  if result.text == '' then return say(result.path .. ' is the same on both sides') end
  vim.cmd('botright new')
  local buf = vim.api.nvim_get_current_buf()
  vim.bo[buf].buftype, vim.bo[buf].bufhidden, vim.bo[buf].swapfile = 'nofile', 'wipe', false
  vim.api.nvim_buf_set_lines(buf, 0, -1, false, vim.split(vim.trim(result.text), '\n'))
  vim.bo[buf].filetype, vim.bo[buf].modifiable = 'diff', false
  vim.b[buf].sidecar_diff = result.path
end

---@param words string[]
function M.diff(words)
  local path = paths_of(words)[1]
  if not path then return say('no file is open here; name one', vim.log.levels.WARN) end
  require('sidecar.server').request('sidecar/diff', { path = path }, show_difference)
end

---@param words string[] what is kept, then paths
function M.resolve(words)
  local keep = table.remove(words, 1)
  if not vim.tbl_contains({ 'local', 'remote', 'both' }, keep) then
    return say('say which side to keep: :Remote resolve local|remote|both', vim.log.levels.WARN)
  end
  local params = { keep = keep }
  if words[1] == '--all' then
    params.all = true
  else
    params.paths = paths_of(words)
  end
  require('sidecar.server').request('sidecar/resolve', params, function(result, client)
    vim.cmd.checktime()
    local lines = {}
    for _, note in ipairs(result.done) do
      table.insert(lines, ('%s: %s'):format(note.path, note.text))
    end
    if #lines > 0 then say(table.concat(lines, '\n')) end
    if #result.left > 0 then list(result.left, 'Sidecar conflicts', client.config.root_dir) end
  end)
end

---@param params table
local function restore(params)
  require('sidecar.server').request('sidecar/undo', params, function(result)
    vim.cmd.checktime()
    local lines = {}
    for _, copy in ipairs(result.restored) do
      table.insert(lines, ('%s is back %s'):format(copy.path, copy.side == 'local' and 'here' or 'there'))
    end
    say(table.concat(lines, '\n'))
  end)
end

--- Brings back what is named; without a name, what is chosen from a list.
---@param words string[] ids, or paths
function M.undo(words)
  local params = { ids = {}, paths = {} }
  for _, word in ipairs(words) do
    local is_id = word:match('^%x%x%x%x+$') and not vim.uv.fs_lstat(word)
    table.insert(is_id and params.ids or params.paths, is_id and word or paths_of({ word })[1])
  end
  if #words > 0 then return restore(params) end
  require('sidecar.server').request('sidecar/trash', { limit = 200 }, function(result)
    if #result.copies == 0 then return say('nothing was overwritten or removed') end
    vim.ui.select(result.copies, {
      prompt = 'Bring back',
      format_item = function(copy)
        local where = copy.side == 'local' and 'here' or 'there'
        return ('%s  %s  %-5s  %s'):format(copy.id, copy.when, where, copy.path)
      end,
    }, function(copy)
      if copy then restore({ ids = { copy.id } }) end
    end)
  end)
end

---@param words string[]
function M.why(words)
  local path = paths_of(words)[1]
  if not path then return say('no file is open here; name one', vim.log.levels.WARN) end
  require('sidecar.server').request('sidecar/why', { path = path }, function(result)
    local verdict = result.synced and 'synced' or 'not synced'
    local rule = result.rule ~= '' and (', by %s (%s)'):format(result.rule, result.source) or ''
    say(('%s: %s%s\nnext sync: %s'):format(result.path, verdict, rule, result.next))
  end)
end

return M
