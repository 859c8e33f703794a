autocmd BufNewFile,BufRead *.xlm setfiletype xlm
