-- The state of each project, as the server tells it.

local M = {}

---@class sidecar.State
---@field client integer who told it
---@field root string the project's real path
---@field health sidecar.Health

---@type sidecar.State[] one for each project and host
local states = {}

---@param keep fun(state: sidecar.State): boolean
local function only(keep) states = vim.tbl_filter(keep, states) end

---@param client integer
---@param health sidecar.Health
function M.changed(client, health)
  only(
    function(one) return one.health.project ~= health.project or one.health.host ~= health.host end
  )
  local root = vim.uv.fs_realpath(health.project) or health.project
  table.insert(states, { client = client, root = root, health = health })
  vim.api.nvim_exec_autocmds('User', { pattern = 'SidecarStatus', modeline = false, data = health })
  vim.cmd.redrawstatus({ bang = true })
end

--- The server of a client has ended.
---@param client integer
---@param code integer
---@param signal integer
function M.ended(client, code, signal)
  vim.schedule(function()
    only(function(one) return one.client ~= client end)
    vim.cmd.redrawstatus({ bang = true })
    require('sidecar.jobs').cut(client)
    if code ~= 0 or signal ~= 0 then
      local text = 'Sidecar: `sidecar serve` ended (%s); what it said is in %s. '
        .. 'The next command starts it again.'
      local how = signal ~= 0 and 'signal ' .. signal or 'status ' .. code
      vim.notify(text:format(how, require('vim.lsp.log').get_filename()), vim.log.levels.WARN)
    end
  end)
end

--- What is known of a buffer's project, by host.
---@param buf integer
---@return table<string, sidecar.Health>
local function of(buf)
  local name = vim.b[buf].sidecar_root or vim.api.nvim_buf_get_name(buf)
  local path = name ~= '' and vim.uv.fs_realpath(name) or name
  local root, found = '', {}
  for _, one in ipairs(states) do
    local inside = path == one.root or vim.startswith(path, one.root .. '/')
    -- A project within another owns its files.
    if inside and #one.root > #root then
      root, found = one.root, {}
    end
    if inside and one.root == root then found[one.health.host] = one.health end
  end
  return found
end

local SIGNS = {
  idle = '·',
  connecting = '…',
  ready = '✓',
  syncing = '↑',
  question = '?',
  disconnected = '✗',
}

---@param buf integer
---@return string
function M.line(buf)
  local parts = {}
  local hosts = of(buf)
  for host, health in vim.spairs(hosts) do
    -- Of a host that is not in use, only what needs somebody.
    local calm = health.queued == 0 and health.conflicts == 0 and health.state ~= 'question'
    if health.inUse == false and calm then goto continue end
    local part = ('%s %s'):format(host, SIGNS[health.state] or health.state)
    if health.queued > 0 then part = part .. health.queued end
    if health.conflicts > 0 then part = part .. (' !%d'):format(health.conflicts) end
    table.insert(parts, part)
    ::continue::
  end
  return table.concat(parts, '  ')
end

--- The hosts that the server has told of, for completion.
---@param buf integer
---@return string[]
function M.host_names(buf)
  local known = vim.b[buf].sidecar_hosts or vim.tbl_keys(of(buf))
  table.sort(known)
  return known
end

---@param result sidecar.HostsResult
function M.hosts(result)
  local lines, names = {}, {}
  for _, one in ipairs(result.hosts) do
    table.insert(names, one.name)
    local trip = one.roundTripMs > 0 and (' (%.0f ms)'):format(one.roundTripMs) or ''
    local line = ('%s %s: %s, %s%s\n'):format(one.inUse and '*' or ' ', one.name, one.state, one.text, trip)
    table.insert(lines, { line, one.inUse and 'Normal' or 'Comment' })
  end
  vim.b.sidecar_hosts = names
  if #lines == 0 then lines = { { 'No host is configured', 'Comment' } } end
  lines[#lines][1] = vim.trim(lines[#lines][1])
  vim.api.nvim_echo(lines, true, {})
end

---@param result sidecar.InterpretersResult
function M.interpreters(result)
  local lines, names = {}, {}
  for _, one in ipairs(result.interpreters) do
    table.insert(names, one.name)
    local parts = { one.problem ~= '' and one.problem or 'Python ' .. one.version }
    if one.cuda ~= '' then
      table.insert(parts, ('CUDA %s%s'):format(one.cuda, result.driver == '' and ', no driver' or ''))
    end
    for name, version in vim.spairs(one.packages) do
      if #parts < 6 then table.insert(parts, name .. ' ' .. version) end
    end
    if #one.lacks > 0 then table.insert(parts, 'without ' .. table.concat(one.lacks, ', ')) end
    local line = ('%s %s: %s\n'):format(one.inUse and '*' or ' ', one.name, table.concat(parts, ', '))
    table.insert(lines, { line, one.inUse and 'Normal' or 'Comment' })
  end
  vim.b.sidecar_interpreters = names
  if result.problem ~= '' then table.insert(lines, { result.problem .. '\n', 'WarningMsg' }) end
  if #lines == 0 then lines = { { 'No Python was found there', 'Comment' } } end
  lines[#lines][1] = vim.trim(lines[#lines][1])
  vim.api.nvim_echo(lines, true, {})
end

--- Shows what the server knows of all projects.
---@param result sidecar.StatusResult
function M.show(result)
  local lines = {}
  for _, one in ipairs(result.sessions) do
    local line = ('%s: %s, %s'):format(one.host, one.state, one.text)
    if one.fix ~= '' then line = ('%s (%s)'):format(line, one.fix) end
    table.insert(lines, { line .. '\n', one.state == 'ready' and 'Normal' or 'WarningMsg' })
    table.insert(lines, { ('  %s\n'):format(one.project), 'Comment' })
  end
  for _, note in ipairs(result.notes) do
    table.insert(lines, { ('  %s: %s\n'):format(note.path, note.text), 'WarningMsg' })
  end
  if #lines == 0 then lines = { { 'No project is open', 'Comment' } } end
  lines[#lines][1] = vim.trim(lines[#lines][1])
  vim.api.nvim_echo(lines, true, {})
end

return M
