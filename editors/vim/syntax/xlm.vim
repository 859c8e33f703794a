" Model files. The lists between the marks come from `xlmc lsp --words`; tools/editors.sh renews them.
if exists('b:current_syntax')
  finish
endif

syntax match xlmNumber /\<\d[0-9_]*\(\.\d[0-9_]*\)\?\([eE][-+]\?\d\+\)\?\>/
syntax match xlmOperator /->\|\.\.\|\*\*\|[=!<>]=\|[-+*\/%@=<>~]/
" A word is a keyword only where a statement begins, and not before `=`.
" xlm words begin
syntax match xlmStatement /\(^\|{\)\s*\zs\<\(model\|dim\|let\|check\|shard\|block\|input\|param\|state\|update\|return\|repeat\|loss\|output\|metric\|preset\|weights\|group\|use\)\>\(\s*[=\[]\)\@!/
syntax match xlmClause /\<\(if\|then\|else\|and\|or\|not\|recompute\|over\|as\|of\|where\|shared\|from\|shifted\|free\|none\)\>\(\s*=\)\@!/
syntax match xlmConstant /\<\(true\|false\)\>/
syntax match xlmFunction /\<\(add\|sub\|mul\|div\|min\|max\|neg\|abs\|square\|sqrt\|rsqrt\|recip\|exp\|log\|tanh\|sigmoid\|silu\|gelu\|gelu_erf\|relu\|sign\|pow\|lt\|le\|eq\|where\|cast\|dropout\|contract\|sum\|mean\|amax\|softmax\|logsumexp\|rmsnorm\|layernorm\|rope\|attend\|lookup\|cross_entropy\|rename\|split\|merge\|permute\|slice\|pad\|concat\|shift\|top_k\|dispatch\|combine\|expert_count\|load_balance\|stop_gradient\|per_microbatch\|floor\|ceil\|round\|f32\)\>\ze\s*(/
syntax match xlmValue /\([~=]\s*\)\@<=\<\(f32\|bf16\|f64\|zeros\|ones\|constant\|normal\|uniform\)\>/
syntax match xlmAttribute /[(,{]\s*\zs\<\(dtype\|p\|name\|eps\|base\|position\|seq\|feature\|window\|scale\|softcap\|kv_seq\|heads\|kv_heads\|ignore\|start\|by\|active\|experts\|lr\|weight_decay\|rank\|optimizer\)\>\ze\s*=[^=]/
syntax match xlmAttribute /[(,]\s*\zs\<\(interleaved\|causal\)\>\ze\s*[,)]/
" xlm words end
syntax region xlmString start=/"/ skip=/\\./ end=/"\|$/ contains=xlmIndex
syntax match xlmIndex /{\h\w*}/ contained
syntax match xlmComment /#.*$/ contains=@Spell
" The name that a statement defines.
syntax match xlmDefined /\(\<\(model\|dim\|let\|block\|input\|param\|state\|preset\|metric\)\s\+\)\@<=\h\w*/

highlight default link xlmStatement Statement
highlight default link xlmClause Keyword
highlight default link xlmConstant Boolean
highlight default link xlmFunction Function
highlight default link xlmValue Constant
highlight default link xlmAttribute Identifier
highlight default link xlmNumber Number
highlight default link xlmOperator Operator
highlight default link xlmString String
highlight default link xlmIndex Special
highlight default link xlmComment Comment
highlight default link xlmDefined Type

let b:current_syntax = 'xlm'
