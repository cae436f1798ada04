-- `nvim --clean -l .ci/syntax.lua FOLDER`: whether every Lua file below it can be read.
local failed = false
local files = vim.fn.globpath(arg[1], '**/*.lua', false, true)
for _, file in ipairs(files) do
  local chunk, problem = loadfile(file)
  if not chunk then
    failed = true
    io.stderr:write(problem, '\n')
  end
end
if failed then
  os.exit(1)
end
print(('Lua syntax: %d files'):format(#files))
