(call function: (name) @function)
; The lists between the marks come from `xlmc lsp --words`; tools/editors.sh renews them.
; xlm words begin
[ "model" "dim" "let" "check" "shard" "block" "input" "param" "state" "update" "return" "repeat" "loss" "output" "metric" "preset" "weights" "group" "use" "config" "optional" "if" "then" "else" "and" "or" "not" "recompute" "over" "as" "of" "where" "shared" "from" "shifted" ] @keyword
((call function: (name) @function.builtin)
 (#any-of? @function.builtin "add" "sub" "mul" "div" "min" "max" "neg" "abs" "square" "sqrt" "rsqrt" "recip" "exp" "log" "sin" "cos" "tanh" "sigmoid" "silu" "gelu" "gelu_erf" "relu" "sign" "floor" "ceil" "round" "mod" "pow" "lt" "le" "eq" "where" "cast" "i32" "dropout" "contract" "sum" "mean" "amax" "softmax" "logsumexp" "rmsnorm" "layernorm" "rope" "attend" "cumsum" "scan" "linear_attend" "lookup" "cross_entropy" "token_cross_entropy" "rename" "split" "merge" "permute" "slice" "pad" "concat" "shift" "iota" "stack" "argmax" "scatter" "top_k" "dispatch" "combine" "expert_count" "load_balance" "stop_gradient" "per_microbatch" "f32"))
; xlm words end

(comment) @comment
(string) @string
(number) @number
(model name: (name) @module)
(definition name: (name) @constant)
(block name: (name) @function)
(parameter name: (name) @variable.parameter)
(input name: (name) @variable)
(tensor name: (name) @property)
(preset name: (name) @type)
(call instance: (name) @property)
(named argument: (name) @variable.parameter)
(setting name: (name) @property)
(dim (name) @type)
["(" ")" "[" "]" "{" "}"] @punctuation.bracket
["," "." ".."] @punctuation.delimiter
["=" "~" "->" "+" "-" "*" "/" "%" "@" "**" "==" "!=" "<" "<=" ">" ">="] @operator
