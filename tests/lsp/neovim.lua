-- What a person does in Neovim, headless, with `xlmc lsp` of this build. Prints a line per step; test_neovim.sh reads
-- them. Arguments by the environment: XLMC, MODEL. For Neovim 0.7 and later.
local failed = false
local function say(name, ok, seen)
  print((ok and 'ok      ' or 'FAILED  ') .. name .. (ok and '' or ': ' .. vim.inspect(seen)))
  failed = failed or not ok
end

local ended
vim.cmd('edit ' .. vim.env.MODEL)
local buffer = vim.api.nvim_get_current_buf()
say('the file type is xlm', vim.bo.filetype == 'xlm', vim.bo.filetype)
local id = vim.lsp.start_client({
  name = 'xlm',
  cmd = { vim.env.XLMC, 'lsp' },
  root_dir = vim.fn.getcwd(),
  on_exit = function(code) ended = code end,
})
vim.lsp.buf_attach_client(buffer, id)
vim.wait(10000, function() return vim.lsp.get_client_by_id(id) and vim.lsp.get_client_by_id(id).initialized end)

-- the n-th place of a text, as the cursor counts
local function go(text, into)
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  local line, column = unpack(vim.fn.searchpos('\\V' .. text, 'cnW'))
  vim.api.nvim_win_set_cursor(0, { line, column - 1 + (into or 0) })
end

local function ask(method, params)
  local answers = vim.lsp.buf_request_sync(buffer, method, params or vim.lsp.util.make_position_params(), 10000)
  return answers and answers[id] or {}
end

local function diagnostics(want)
  local list
  vim.wait(10000, function()
    list = vim.diagnostic.get(buffer)
    return want(list)
  end, 20)
  return list
end

-- diagnostics while typing: a character is deleted and comes back
local none = function(list) return #list == 0 end
say('no diagnostics at first', none(diagnostics(none)), vim.diagnostic.get(buffer))
go('eps) *', 0)
vim.cmd('normal! x')
local list = diagnostics(function(l) return #l > 0 end)
local d = list[1] or {}
say('an unknown name is reported', #list == 1 and d.code == 'E0201' and d.severity == vim.diagnostic.severity.ERROR, list)
local line, column = unpack(vim.api.nvim_win_get_cursor(0))
say('at its place', d.lnum == line - 1 and d.col == column and d.end_col == column + 2, { d, line, column })
say('with a suggestion', (d.message or ''):find('did you mean `eps`?', 1, true), d.message)
vim.cmd('normal! u')
say('and is gone after undo', none(diagnostics(none)), vim.diagnostic.get(buffer))

-- hover
go('wq[', 0)
local hover = ask('textDocument/hover').result
local text = hover and hover.contents.value or ''
say('hover shows the shape', text:find('f32[hidden 768, heads 12, head 64]', 1, true), text)
say('and the layout', text:find('`heads` over tp', 1, true), text)
say('and the parameters of all rounds', text:find('7.08 M parameters in all', 1, true), text)

-- go to definition
go('attention(norm', 2)
vim.lsp.buf.definition()
vim.wait(10000, function() return vim.api.nvim_get_current_line():find('^block attention') ~= nil end, 20)
say('definition goes to the block', vim.api.nvim_get_current_line():find('^block attention'), vim.api.nvim_get_current_line())

-- rename, as :lua vim.lsp.buf.rename does it, and what the buffer has then
go('kv_heads', 1)
vim.lsp.buf.rename('groups')
local renamed = function()
  return table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\n')
end
vim.wait(10000, function() return renamed():find('dim groups = heads', 1, true) ~= nil end, 20)
say('rename changes the declaration', renamed():find('dim groups = heads', 1, true), renamed():sub(1, 900))
say('the weights', renamed():find('%[groups head, hidden%]'), nil)
local code = renamed():gsub('#[^\n]*', ''):gsub('"[^"\n]*"', '')
say('and the presets', code:find('groups = 8', 1, true) and not code:find('%f[%w_]kv_heads%f[^%w_]'), code)
say('and the model is still right', none(diagnostics(none)), vim.diagnostic.get(buffer))

-- a rename that would break the model
go('hidden   =', 0)
local params = vim.lsp.util.make_position_params()
params.newName = 'ffn'
local refused = ask('textDocument/rename', params)
local err = refused.err or refused.error or {}
say('a rename to a taken name is refused', (err.message or ''):find('E0205', 1, true), refused)

-- completion
vim.api.nvim_buf_set_lines(buffer, -1, -1, false, { 'y = atte' })
vim.api.nvim_win_set_cursor(0, { vim.api.nvim_buf_line_count(buffer), 8 })
local items = ask('textDocument/completion').result or {}
local found = false
for _, item in ipairs(items.items or items) do found = found or item.label == 'attend' end
say('completion offers attend', found, nil)

-- formatting
vim.api.nvim_buf_set_lines(buffer, -2, -1, false, { 'metric   m=mean( logits )' })
local edits = ask('textDocument/formatting', vim.lsp.util.make_formatting_params()).result
if edits then vim.lsp.util.apply_text_edits(edits, buffer, 'utf-16') end
local last = vim.api.nvim_buf_get_lines(buffer, -2, -1, false)[1]
say('formatting makes a line canonical', last == 'metric m = mean(logits)', last)

vim.lsp.stop_client(id)
vim.wait(10000, function() return ended ~= nil end, 20)
say('the server ends with 0', ended == 0, ended)
vim.cmd(failed and 'cquit!' or 'qall!')
