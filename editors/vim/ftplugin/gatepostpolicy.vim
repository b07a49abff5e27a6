" Comments, indentation, layout and checks for policies of Gatepost.
if exists('b:did_ftplugin')
    finish
endif
let b:did_ftplugin = 1

setlocal comments=:# commentstring=#\ %s
setlocal expandtab shiftwidth=4 softtabstop=4 tabstop=4 autoindent
setlocal formatoptions-=t formatoptions+=croql
setlocal iskeyword+=-
setlocal textwidth=100
if executable('gatepost')
    setlocal makeprg=gatepost\ policy\ check\ %:S
    setlocal errorformat=%E%trror:\ %m,%W%tarning:\ %m,%C%\\s%#-->\ %f:%l:%c,%C%.%#
endif

let b:undo_ftplugin = 'setlocal comments< commentstring< expandtab< shiftwidth< softtabstop< tabstop< autoindent<'
    \ . ' formatoptions< iskeyword< textwidth< makeprg< errorformat<'
