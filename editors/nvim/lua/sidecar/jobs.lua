-- Jobs: each has a terminal buffer that shows its output, and takes what is typed.

local M = {}

---@class sidecar.JobBuffer
---@field id string
---@field client integer id of the client that gets its output
---@field project string
---@field host string
---@field buf integer
---@field channel integer
---@field raw boolean it has a terminal there: bytes are shown as they are
---@field title string
---@field over boolean

---@type table<string, sidecar.JobBuffer>
local jobs = {}
---@type string[] in the order of their start
local order = {}

local DIM, PLAIN = '\27[2m', '\27[0m'

---@param job sidecar.JobBuffer
---@param text string
local function write(job, text)
  if vim.api.nvim_buf_is_valid(job.buf) then vim.api.nvim_chan_send(job.channel, text) end
end

---@param job sidecar.JobBuffer
---@param text string
local function remark(job, text) write(job, ('%s%s%s\r\n'):format(DIM, text, PLAIN)) end

--- The window that shows a job of ours already, if one does.
local function window()
  for _, win in ipairs(vim.api.nvim_tabpage_list_wins(0)) do
    if vim.b[vim.api.nvim_win_get_buf(win)].sidecar_job then return win end
  end
end

--- Shows a buffer in the window for output. The cursor stays where the person is.
---@param buf integer
---@return integer window
function M.show(buf)
  local win = window()
  if not win then
    local before = vim.api.nvim_get_current_win()
    vim.cmd(require('sidecar.config').get().window)
    win = vim.api.nvim_get_current_win()
    vim.api.nvim_set_current_win(before)
    for name, value in pairs({ number = false, relativenumber = false, signcolumn = 'no' }) do
      vim.api.nvim_set_option_value(name, value, { win = win, scope = 'local' })
    end
  end
  vim.api.nvim_win_set_buf(win, buf)
  return win
end

--- Forgets buffers of finished jobs beyond those to be kept.
local function tidy()
  local left = require('sidecar.config').get().keep
  for at = #order, 1, -1 do
    local job = jobs[order[at]]
    if job.over then
      left = left - 1
      if left < 0 and vim.fn.bufwinid(job.buf) == -1 then
        table.remove(order, at)
        jobs[job.id] = nil
        pcall(vim.api.nvim_buf_delete, job.buf, { force = true })
      end
    end
  end
end

--- The size that a terminal for output has, or would have.
---@return integer rows
---@return integer columns
local function size()
  local win = window()
  if win then return vim.api.nvim_win_get_height(win), vim.api.nvim_win_get_width(win) end
  return 15, vim.o.columns
end

---@param job sidecar.JobBuffer
---@param method string
---@param params table
local function tell(job, method, params)
  local client = vim.lsp.get_client_by_id(job.client)
  if not client or job.over then return end
  params.job, params.project, params.host = job.id, job.project, job.host
  -- A job may end while a key is on its way: no reason to complain.
  require('sidecar.server').ask(client, method, params, nil, function() end)
end

---@param client vim.lsp.Client
---@param id string
---@param host string
---@param title string
---@param raw boolean
---@return sidecar.JobBuffer
local function open(client, id, host, title, raw)
  local buf = vim.api.nvim_create_buf(true, true)
  local job = {
    id = id,
    client = client.id,
    project = client.config.root_dir,
    host = host,
    buf = buf,
    raw = raw,
    title = title,
    over = false,
  }
  vim.b[buf].sidecar_job, vim.b[buf].sidecar_root = id, client.config.root_dir
  vim.bo[buf].bufhidden = 'hide'
  job.channel = vim.api.nvim_open_term(buf, {
    on_input = function(_, _, _, data)
      tell(job, 'sidecar/input', { data = vim.base64.encode(data), encoding = 'base64' })
    end,
    force_crlf = not raw,
  })
  vim.api.nvim_buf_set_name(buf, ('sidecar://%s/%s'):format(host, id))
  vim.keymap.set('n', 'q', '<Cmd>close<CR>', { buffer = buf, desc = 'Close the window' })
  if jobs[id] then pcall(vim.api.nvim_buf_delete, jobs[id].buf, { force = true }) end
  jobs[id] = job
  order = vim.tbl_filter(function(one) return one ~= id end, order)
  table.insert(order, id)
  local win = M.show(buf)
  -- A terminal follows its output where the cursor is in its last line.
  vim.api.nvim_win_set_cursor(win, { vim.api.nvim_buf_line_count(buf), 0 })
  tidy()
  return job
end

---@param target string
---@param args string[]
---@param options { module: boolean?, cwd: string?, first: integer?, last: integer?, recall: boolean? }
function M.run(target, args, options)
  local server = require('sidecar.server')
  local client = server.client()
  if client then server.save(client) end
  local rows, columns = size()
  server.request('sidecar/run', {
    target = target,
    args = args,
    module = options.module or false,
    cwd = options.cwd or '',
    first = options.first,
    last = options.last,
    recall = options.recall,
    host = options.host,
    terminal = true,
    rows = rows,
    columns = columns,
  }, function(result, owner)
    local title = table.concat({ vim.fs.basename(target), unpack(result.args) }, ' ')
    local job = open(owner, result.job, result.host, title, true)
    remark(job, result.headline)
  end)
end

--- Shows a job from its beginning on.
---@param id string an id, the beginning of one, or '' for the newest
function M.attach(id)
  require('sidecar.server').request('sidecar/attach', { job = id }, function(result, owner)
    open(owner, result.job, result.host, result.job, true)
  end)
end

---@param id string
function M.stop(id)
  local here = vim.b.sidecar_job
  local job = jobs[id ~= '' and id or here]
  local params = { job = id ~= '' and id or here or '', host = job and job.host, signal = 'stop' }
  require('sidecar.server').request('sidecar/signal', params)
end

---@param part sidecar.Output
function M.output(part)
  local job = jobs[part.job]
  if not job then return end
  write(job, part.encoding == 'base64' and vim.base64.decode(part.data) or part.data)
end

---@param ended sidecar.Exited
function M.exited(ended)
  local job = jobs[ended.job]
  if job then
    local how = ended.signal ~= '' and ('ended by %s'):format(ended.signal)
      or ended.status >= 0 and ('status %d'):format(ended.status)
      or 'ended'
    if ended.why ~= '' then how = ('%s: %s'):format(how, ended.why) end
    remark(job, ('\r\n[%s]'):format(how))
    if ended.advice ~= '' then remark(job, (ended.advice:gsub('\n', '\r\n'))) end
    job.over = true
    tidy()
  end
  if #ended.failures > 0 then
    require('sidecar.quickfix').traceback(job and job.title or ended.job, ended)
  end
  vim.api.nvim_exec_autocmds('User', { pattern = 'SidecarExited', modeline = false, data = ended })
end

--- The server that told of these jobs has gone; they run on.
---@param client integer
function M.cut(client)
  for _, job in pairs(jobs) do
    if job.client == client and not job.over then
      remark(job, ('\r\n[not shown any more; `:Remote attach %s` shows it again]'):format(job.id))
      job.over = true
    end
  end
end

--- Terminals there are as large as the windows here.
function M.resized()
  local win = window()
  local job = win and jobs[vim.b[vim.api.nvim_win_get_buf(win)].sidecar_job]
  if job and not job.over then
    local rows, columns = size()
    tell(job, 'sidecar/resize', { rows = rows, columns = columns })
  end
end

vim.api.nvim_create_autocmd({ 'WinResized', 'VimResized' }, {
  group = vim.api.nvim_create_augroup('sidecar_jobs', {}),
  callback = M.resized,
})

return M
