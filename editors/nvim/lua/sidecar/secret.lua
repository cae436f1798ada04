-- Passwords, passphrases and one-time codes: asked in the server's words, kept nowhere.

local M = {}

---@param question sidecar.AskSecretParams
---@return sidecar.AskSecretResult value vim.NIL where the person dismissed it
function M.ask(question)
  local prompt = question.prompt
  if question.problem ~= '' then prompt = question.problem .. '\n' .. prompt end
  if not prompt:find('%s$') then prompt = prompt .. ' ' end
  local input = question.echo and vim.fn.input or vim.fn.inputsecret
  vim.fn.inputsave()
  -- <C-c> raises an error; <Esc> gives what cannot be typed.
  local typed, value = pcall(input, { prompt = prompt, cancelreturn = '\n' })
  vim.fn.inputrestore()
  vim.cmd.redraw()
  if not typed or value == '\n' then return { value = vim.NIL } end
  return { value = value }
end

return M
