-- Read by `vim.lsp.config` (Neovim 0.11): `vim.lsp.config('sidecar', { cmd = … })` changes it.
return require('sidecar.server').defaults()
