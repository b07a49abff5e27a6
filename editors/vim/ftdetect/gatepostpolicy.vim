" Policies of Gatepost.
autocmd BufNewFile,BufRead *.policy setfiletype gatepostpolicy
