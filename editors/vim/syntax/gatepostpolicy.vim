" Colours for policies of Gatepost. Each word stands where `words.rs` of the parser has it.
if exists('b:current_syntax')
    finish
endif

syntax case match
syntax iskeyword @,48-57,_,-

" What stands at the top of a file.
syntax keyword policyItem include networks names patterns shadow dnsbl dnswl rhsbl table rate milter service clamav rspamd greylist define reply at
syntax keyword policyItem given test
syntax keyword policyEntry rule observe use unsure

" What rules do, and what tests expect.
syntax keyword policyAction accept reject defer disconnect tag add quarantine hold redirect discard tarpit
syntax keyword policyAction relay header expect

" Conditions.
syntax keyword policyOperator when and or not any every is in contains starts ends with like matches
syntax keyword policyValue yes no present missing

" What goes into declarations.
syntax keyword policyParticle to of codes weight timeout file cidr regex external apply failing keyed by over as window bucket from
syntax keyword policyParticle connections messages recipients refusals failures
syntax keyword policyParticle wait keep retry-within ipv4 ipv6 auto-allow

" Stages.
syntax keyword policyStage connect helo auth mail recipient data message verify

" A fact has a dot; its parts are no words of the language.
syntax match policyFact /\<[A-Za-z_][A-Za-z0-9_-]*\(\.[A-Za-z_][A-Za-z0-9_-]*\)\+/
syntax match policyRuleName /\(\<\(rule\|use\|by\)\s\+\)\@<=[A-Za-z_][A-Za-z0-9_-]*/

syntax match policyNumber /\<-\=\d\+\>/
syntax match policyQuantity /\<\d\+\(ms\|s\|min\|h\|d\)\>/
syntax match policyQuantity /\<\d\+\s\+\(kB\|MB\|GB\|TB\|KiB\|MiB\|GiB\|TiB\)\>/
syntax match policyReply /\<[1-9]\d\d\(\s\+\d\+\.\d\+\.\d\+\)\=\ze\s\+"/
syntax match policyEnhanced /\<\d\+\.\d\+\.\d\+\>\(\.\)\@!/
syntax match policyAddress /\<\d\{1,3}\(\.\d\{1,3}\)\{3}\(\/\d\{1,2}\)\=/
syntax match policyAddress /\<\x*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\(\/\d\{1,3}\)\=/

syntax match policyEscape /\\["\\n]/ contained
syntax match policyPlaceholder /{{\|}}\|{[A-Za-z_][A-Za-z0-9_.-]*\(([^)]*)\)\=}/ contained
syntax region policyText start=/"/ skip=/\\./ end=/"/ oneline contains=policyEscape,policyPlaceholder

syntax keyword policyTodo TODO FIXME contained
syntax match policyComment /#.*$/ contains=policyTodo,@Spell

highlight default link policyItem Statement
highlight default link policyEntry Statement
highlight default link policyAction Keyword
highlight default link policyOperator Operator
highlight default link policyValue Boolean
highlight default link policyParticle Type
highlight default link policyStage Constant
highlight default link policyFact Identifier
highlight default link policyRuleName Function
highlight default link policyNumber Number
highlight default link policyQuantity Number
highlight default link policyReply Number
highlight default link policyEnhanced Number
highlight default link policyAddress Number
highlight default link policyText String
highlight default link policyEscape SpecialChar
highlight default link policyPlaceholder Special
highlight default link policyTodo Todo
highlight default link policyComment Comment

let b:current_syntax = 'gatepostpolicy'
