if vim.g.loaded_sidecar then return end
vim.g.loaded_sidecar = true
require('sidecar.plugin')
