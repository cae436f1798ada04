-- `:Remote …`: each subcommand is one request. What the editor has no part in is the command line's,
-- in a terminal.

local M = {}

--- The words of `[-H HOST] [-m MODULE | FILE] [ARGS…]`; the current file where none is named, or `%`.
---@param words string[]
---@return string? target
---@return string[] args
---@return table options
local function target_of(words)
  local cwd = vim.fn.getcwd()
  if words[1] == '-H' or words[1] == '--host' then
    local target, args, options = target_of(vim.list_slice(words, 3))
    return target, args, vim.tbl_extend('force', options, { host = words[2] })
  end
  -- No file and no program begins with a dash: these are arguments.
  if words[1] ~= '-m' and vim.startswith(words[1] or '', '-') then words = { '%', unpack(words) } end
  if words[1] == '-m' then
    return words[2], vim.list_slice(words, 3), { module = true, cwd = cwd, recall = true }
  end
  if words[1] and words[1] ~= '%' then
    return words[1], vim.list_slice(words, 2), { cwd = cwd, recall = true }
  end
  local file = vim.bo.buftype == '' and vim.fn.expand('%:p') or ''
  -- By its full name, in the project's root, wherever the editor happens to be.
  return file ~= '' and file or nil, vim.list_slice(words, 2), { recall = true }
end

---@param start fun(target: string, args: string[], options: table)
---@param words string[]
---@param opts table of the command: with a range, only these lines of the current file
local function with_target(start, words, opts)
  local target, args, options = target_of(words)
  if target then
    if opts.range and opts.range > 0 and not options.module then
      options = { first = opts.line1, last = opts.line2, host = options.host }
    end
    start(target, args, options)
  else
    vim.notify('Sidecar: no file is open here; name one', vim.log.levels.WARN)
  end
end

---@param result sidecar.SyncResult
local function synced(result)
  local lines = result.plan
  local text = ('%d sent, %d removed'):format(result.sent, result.removed)
  if #lines == 0 then lines = { text } end
  for _, note in ipairs(result.notes) do
    table.insert(lines, ('%s: %s'):format(note.path, note.text))
  end
  local level = #result.notes > 0 and vim.log.levels.WARN or vim.log.levels.INFO
  vim.notify('Sidecar: ' .. table.concat(lines, '\n'), level)
end

---@param words string[]
local function sync(words)
  local params = {}
  for _, word in ipairs(words) do
    local prefer = word:match('^%-%-prefer=(.*)$')
    if word == '-n' or word == '--dry-run' then
      params.dryRun = true
    elseif prefer or not vim.startswith(word, '-') then
      params.prefer = prefer or word
    end
  end
  local server = require('sidecar.server')
  local client = server.client()
  if client then server.save(client) end
  server.request('sidecar/sync', params, synced)
end

---@param result sidecar.JobsResult
local function show_jobs(result)
  local lines = {}
  for _, job in ipairs(result.jobs) do
    local status = job.exitStatus ~= vim.NIL and job.exitStatus or job.state
    if job.signal ~= '' then status = job.signal end
    table.insert(lines, { ('%s  %-8s %s\n'):format(job.id, status, job.command) })
  end
  if #lines == 0 then lines = { { 'No jobs', 'Comment' } } end
  lines[#lines][1] = vim.trim(lines[#lines][1])
  vim.api.nvim_echo(lines, true, {})
end

--- Shows what a file is run with when nothing is said; with words behind `--`, sets it.
---@param words string[]
local function arguments(words)
  local target, args, options = target_of(words)
  if not target then return with_target(arguments, words, {}) end
  local params = { target = target, module = options.module, cwd = options.cwd }
  if args[1] == '--' then params.args = vim.list_slice(args, 2) end
  require('sidecar.server').request('sidecar/arguments', params, function(result)
    local known = #result.args > 0 and 'with ' .. table.concat(result.args, ' ') or 'without arguments'
    vim.notify(('Sidecar: %s is run %s'):format(result.target, known), vim.log.levels.INFO)
  end)
end

---@param words string[]
local function hosts(words)
  local server = require('sidecar.server')
  if words[1] == 'use' then
    server.request('sidecar/selectHost', { host = words[2] or '', connect = true }, function(result)
      vim.notify('Sidecar: saves and runs go to ' .. result.host, vim.log.levels.INFO)
    end)
    return
  end
  server.request('sidecar/hosts', {}, function(result)
    require('sidecar.status').hosts(result)
  end)
end

---@param words string[]
local function envs(words)
  local server = require('sidecar.server')
  if words[1] == 'use' then
    server.request('sidecar/selectInterpreter', { name = words[2] or '' }, function(result)
      local text = 'Sidecar: jobs on %s run with %s (Python %s)'
      vim.notify(text:format(result.host, result.python, result.version), vim.log.levels.INFO)
    end)
    return
  end
  server.request('sidecar/interpreters', {}, function(result)
    require('sidecar.status').interpreters(result)
  end)
end

---@type table<string, fun(words: string[], opts: table)>
local own = {
  envs = envs,
  hosts = hosts,
  run = function(words, opts) with_target(require('sidecar.jobs').run, words, opts) end,
  debug = function(words, opts) with_target(require('sidecar.debug').start, words, opts) end,
  args = arguments,
  stop = function(words) require('sidecar.jobs').stop(words[1] or '') end,
  attach = function(words) require('sidecar.jobs').attach(words[1] or '') end,
  sync = sync,
  status = function()
    require('sidecar.server').request('sidecar/status', {}, require('sidecar.status').show)
  end,
  jobs = function() require('sidecar.server').request('sidecar/jobs', {}, show_jobs) end,
  conflicts = function() require('sidecar.decisions').conflicts() end,
  diff = function(words) require('sidecar.decisions').diff(words) end,
  resolve = function(words) require('sidecar.decisions').resolve(words) end,
  undo = function(words) require('sidecar.decisions').undo(words) end,
  why = function(words) require('sidecar.decisions').why(words) end,
}

--- What the command line has besides; an unknown word goes there as well, and is explained there.
local more = { 'config', 'init', 'logs', 'trust' }

--- Runs `sidecar …` in a terminal.
---@param words string[]
local function command_line(words)
  local cmd = require('sidecar.config').command(words)
  local client = require('sidecar.server').client()
  vim.cmd(require('sidecar.config').get().window)
  vim.cmd.enew()
  local options = { cwd = client and client.config.root_dir or nil, term = true }
  if vim.fn.has('nvim-0.11') == 1 then
    vim.fn.jobstart(cmd, options)
  else
    vim.fn.termopen(cmd, { cwd = options.cwd })
  end
end

---@param words string[] subcommand first
---@param opts table? of the command that was typed
function M.run(words, opts)
  local name = table.remove(words, 1) or 'status'
  if own[name] then
    own[name](words, opts or {})
  else
    command_line({ name, unpack(words) })
  end
end

---@param lead string
---@param line string
---@param sub string? where the command is short for a subcommand
---@return string[]
function M.complete(lead, line, sub)
  local words = vim.split(vim.trim(line:gsub('^%s*%S+', '', 1)), '%s+', { trimempty = true })
  if lead ~= '' then table.remove(words) end
  sub = sub or table.remove(words, 1)
  local choices
  if not sub then
    choices = vim.list_extend(vim.tbl_keys(own), more)
    table.sort(choices)
  elseif (sub == 'run' or sub == 'debug' or sub == 'args') and #words == 0 then
    return vim.fn.getcompletion(lead, 'file')
  elseif sub == 'diff' or sub == 'undo' or sub == 'why' or (sub == 'resolve' and #words > 0) then
    return vim.fn.getcompletion(lead, 'file')
  elseif (sub == 'hosts' or sub == 'envs') and #words == 0 then
    choices = { 'use' }
  elseif sub == 'envs' then
    choices = vim.b.sidecar_interpreters or {}
  elseif sub == 'hosts' or words[#words] == '-H' then
    choices = require('sidecar.status').host_names(vim.api.nvim_get_current_buf())
  elseif sub == 'resolve' then
    choices = { 'both', 'local', 'remote' }
  elseif sub == 'sync' then
    choices = { 'local', 'newer', 'remote', '-n' }
  else
    return {}
  end
  return vim.tbl_filter(function(choice) return vim.startswith(choice, lead) end, choices)
end

return M
