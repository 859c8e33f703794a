" Model files. The lists between the marks come from `xlmc lsp --words`; tools/editors.sh renews them.
if exists('b:current_syntax')
  finish
endif

syntax match xlmNumber /\<\d[0-9_]*\(\.\d[0-9_]*\)\?\([eE][-+]\?\d\+\)\?\>/
syntax match xlmOperator /->\|\.\.\|\*\*\|[=!<>]=\|[-+*\/%@=<>~]/
" A word is a keyword only where a statement begins, and not before `=`.
" xlm words begin
syntax match xlmStatement /\(^\|{\)\s*\zs\<\(model\|dim\|let\|check\|shard\|block\|input\|param\|state\|update\|return\|repeat\|loss\|output\|metric\|preset\|weights\|group\|use\|config\)\>\(\s*[=\[]\)\@!/
syntax match xlmClause /\<\(optional\|if\|then\|else\|and\|or\|not\|recompute\|over\|as\|of\|where\|shared\|from\|shifted\|free\|none\)\>\(\s*=\)\@!/
syntax match xlmConstant /\<\(true\|false\)\>/
syntax match xlmFunction /\<\(add\|sub\|mul\|div\|min\|max\|neg\|abs\|square\|sqrt\|rsqrt\|recip\|exp\|log\|sin\|cos\|tanh\|sigmoid\|silu\|gelu\|gelu_erf\|relu\|sign\|floor\|ceil\|round\|mod\|pow\|lt\|le\|eq\|where\|cast\|i32\|dropout\|contract\|sum\|mean\|amax\|softmax\|logsumexp\|rmsnorm\|layernorm\|rope\|attend\|cumsum\|scan\|linear_attend\|lookup\|cross_entropy\|token_cross_entropy\|rename\|split\|merge\|permute\|slice\|pad\|concat\|shift\|iota\|stack\|argmax\|scatter\|top_k\|dispatch\|combine\|expert_count\|load_balance\|stop_gradient\|per_microbatch\|f32\)\>\ze\s*(/
syntax match xlmValue /\([~=]\s*\)\@<=\<\(f32\|bf16\|f64\|none\|linear\|llama3\|yarn\|yarn_exact\|zeros\|ones\|constant\|normal\|uniform\|truncated_normal\)\>/
syntax match xlmAttribute /[(,{]\s*\zs\<\(dtype\|p\|name\|eps\|base\|position\|seq\|feature\|rotary\|start\|scaling\|factor\|original\|low\|high\|scale\|window\|softcap\|bias\|slopes\|sink\|mask\|documents\|kv_documents\|prefix\|kv_seq\|heads\|kv_heads\|ignore\|by\|dim\|to\|active\|experts\|lr\|weight_decay\|rank\|optimizer\|frozen\)\>\ze\s*=[^=]/
syntax match xlmAttribute /[(,]\s*\zs\<\(interleaved\|causal\|reverse\)\>\ze\s*[,)]/
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
