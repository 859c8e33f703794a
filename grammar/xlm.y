/* The grammar. Actions only build nodes (compiler/parse/build.c); nothing is looked up or checked here.

   The tokens come arranged (compiler/parse/token.c): brackets are balanced, a NEWLINE stands exactly where a
   statement ends (before every `}` of a body, too; never inside a preset or group), and a keyword token is a keyword in its place.
   So there is no conflict to resolve beside operator precedence, and recovery needs one rule: `bad`. The reporter has
   then already moved the input to the end of the statement, or to the body of a statement whose head is wrong. */
%code requires {
#include <string.h>

#include "compiler/parse/parse_priv.h"
}
%code {
static int xlm_yylex(YYSTYPE *value, xlm_span *where, xlm_parser *p);
static void xlm_yyerror(xlm_span *where, xlm_parser *p, const char *message);
/* The stack is an array of fixed size: a longjmp out of the arena must leak nothing. */
#define YYINITDEPTH 6000
#define YYMAXDEPTH 6000
#define YYLLOC_DEFAULT(cur, rhs, n)                                                                \
  ((cur) = (n) ? xlm_span_join(YYRHSLOC(rhs, 1), YYRHSLOC(rhs, n))                                 \
               : (xlm_span){YYRHSLOC(rhs, 0).end, YYRHSLOC(rhs, 0).end})
}

%define api.prefix {xlm_yy}
%define api.pure full
%define api.location.type {xlm_span}
%define parse.error custom
%define lr.type canonical-lr   /* exact sets of expected tokens; the tables are small all the same */
%define lr.default-reduction consistent /* `bad` must reduce before the next token is read */
%locations
%param {xlm_parser *p}
%expect 0

%union {
  xlm_ast_name *name;
  xlm_expr *expr;
  xlm_arg *arg;
  xlm_ast_dim *dim;
  xlm_stmt *stmt;
  xlm_block_param *block_param;
  xlm_block_result *block_result;
  xlm_setting *setting;
  xlm_weight *weight;
  xlm_weight_group *group;
  xlm_weight_factor *factor;
  xlm_weight_size *size;
  xlm_weight_split *split;
  xlm_config_item *item;
  const char *text;
  xlm_list list;
  bool flag;
}

%token END 0 "the end of the file"
%token NEWLINE "the end of the line" FOREIGN "a foreign sign"
%token <name> NAME "a name"
%token <expr> NUMBER "a number"
%token <text> STRING "a string"
%token MODEL "`model`" DIM "`dim`" LET "`let`" CHECK "`check`" SHARD "`shard`" BLOCK "`block`" INPUT "`input`"
%token PARAM "`param`" STATE "`state`" UPDATE "`update`" RETURN "`return`" REPEAT "`repeat`" LOSS "`loss`"
%token OUTPUT "`output`" METRIC "`metric`" PRESET "`preset`" WEIGHTS "`weights`"
%token GROUP "`group`" USE "`use`" CONFIG "`config`" OPTIONAL "`optional`"
%token IF "`if`" THEN "`then`" ELSE "`else`" AND "`and`" OR "`or`" NOT "`not`"
%token RECOMPUTE "`recompute`" OVER "`over`" AS "`as`" OF "`of`" WHERE "`where`" SHARED "`shared`"
%token FROM "`from`" SHIFTED "`shifted`"
%token ARROW "`->`" DOTS "`..`" EQ "`==`" NE "`!=`" LE "`<=`" GE "`>=`" POW "`**`"
%token '(' "`(`" ')' "`)`" '[' "`[`" ']' "`]`" '{' "`{`" '}' "`}`" ',' "`,`" '.' "`.`" '=' "`=`" '~' "`~`"
%token '+' "`+`" '-' "`-`" '*' "`*`" '/' "`/`" '%' "`%`" '@' "`@`" '<' "`<`" '>' "`>`"

%precedence ELSE
%left OR
%left AND
%precedence NOT
%nonassoc EQ NE '<' LE '>' GE
%left '+' '-'
%left '*' '/' '%' '@'
%precedence UNARY
%right POW

%type <list> stmts generic names juxtaposed aliases dims dim_entries axes args args1 targets target_list rest block_params
%type <list> block_params1 results if_chain settings entries groups groups1 factors sizes splits members
%type <list> elements elements1
%type <expr> stored expr primary call target shift
%type <arg> arg
%type <dim> dim_entry
%type <name> where as_name over_name of_name from_name term key
%type <stmt> stmt repeat
%type <flag> shared optional
%type <block_param> block_param
%type <block_result> result
%type <setting> setting
%type <weight> entry entry_layout
%type <group> group
%type <factor> factor
%type <size> size
%type <split> split
%type <item> member value element

%%

program
  : %empty
  | program stmt NEWLINE        { xlm_build_top(p, $stmt); }
  | program wrong NEWLINE
  ;

/* Reduced as soon as its `}` is read, so that an error after that is outside the braces. */
wrong
  : bad
  | bad '{' stmts '}'
  ;

/* The reporter has chosen the token to go on with; p->next is that token. */
bad
  : error                       { yyclearin; yyerrok; if (p->stop) YYABORT; }
  ;

stmts
  : %empty                      { $$ = (xlm_list){0}; }
  | stmts[l] stmt NEWLINE       { $$ = $l; XLM_APPEND($$, xlm_stmt, $stmt); }
  | stmts[l] wrong NEWLINE      { $$ = $l; }
  ;

stmt
  : MODEL NAME                  { $$ = xlm_build_stmt(p, XLM_STMT_MODEL, @$, $NAME, NULL); }
  | USE STRING                  { $$ = xlm_build_use(p, @$, @STRING, $STRING); }
  | DIM NAME '=' expr aliases   { $$ = xlm_build_stmt(p, XLM_STMT_DIM, @$, $NAME, $expr); $$->decl.aliases = $aliases.first; }
  | LET NAME '=' expr aliases   { $$ = xlm_build_stmt(p, XLM_STMT_LET, @$, $NAME, $expr); $$->decl.aliases = $aliases.first; }
  | CHECK expr                  { $$ = xlm_build_stmt(p, XLM_STMT_CHECK, @$, NULL, $expr); }
  | CHECK expr ',' STRING       { $$ = xlm_build_stmt(p, XLM_STMT_CHECK, @$, NULL, $expr); $$->check.message = $STRING; }
  | SHARD names OVER names[axes] where { $$ = xlm_build_shard(p, @$, $2, $axes, $where); }
  | BLOCK NAME generic '(' block_params ')' ARROW results '{'[open] stmts '}'[close]
      { $$ = xlm_build_stmt(p, XLM_STMT_BLOCK, @$, $NAME, NULL);
        $$->block.dims = $generic.first; $$->block.params = $block_params.first; $$->block.results = $results.first; $$->block.body = $stmts.first;
        xlm_build_body(p, $$, $stmts, $$->body = xlm_span_join(@open, @close)); }
  | INPUT NAME dims of_name from_name shift
      { $$ = xlm_build_tensor(p, XLM_STMT_INPUT, @$, $NAME, $dims, $shift);
        $$->tensor.of = $of_name; $$->tensor.from = $from_name; }
  | PARAM NAME dims '~' expr    { $$ = xlm_build_tensor(p, XLM_STMT_PARAM, @$, $NAME, $dims, $expr); }
  | STATE NAME dims '~' expr    { $$ = xlm_build_tensor(p, XLM_STMT_STATE, @$, $NAME, $dims, $expr); }
  | UPDATE NAME '=' expr        { $$ = xlm_build_stmt(p, XLM_STMT_UPDATE, @$, $NAME, $expr); }
  | targets '=' expr            { $$ = xlm_build_stmt(p, XLM_STMT_ASSIGN, @$, NULL, $expr); $$->assign.targets = $targets.first; }
  | RETURN expr                 { $$ = xlm_build_stmt(p, XLM_STMT_RETURN, @$, NULL, $expr); }
  | repeat                      { $$ = $repeat; }
  | RECOMPUTE repeat            { $$ = $repeat; $$->span = @$; $$->repeat.recompute = true; }
  | if_chain                    { $$ = xlm_build_if_end(p, $if_chain, @$); }
  | if_chain ELSE '{'[open] stmts '}'[close]
      { xlm_stmt *last = $if_chain.last;
        last->cond.otherwise = $stmts.first; last->else_body = xlm_span_join(@open, @close);
        xlm_build_body(p, last, $stmts, last->else_body); $$ = xlm_build_if_end(p, $if_chain, @$); }
  | LOSS expr                   { $$ = xlm_build_stmt(p, XLM_STMT_LOSS, @$, NULL, $expr); }
  | OUTPUT names                { $$ = xlm_build_stmt(p, XLM_STMT_OUTPUT, @$, NULL, NULL); $$->output.names = $names.first; }
  | METRIC NAME '=' expr        { $$ = xlm_build_stmt(p, XLM_STMT_METRIC, @$, $NAME, $expr); }
  | PRESET NAME '{'[open] settings '}'[close]
      { $$ = xlm_build_stmt(p, XLM_STMT_PRESET, @$, $NAME, NULL);
        $$->preset.settings = $settings.first; $$->body = xlm_span_join(@open, @close); }
  | GROUP STRING '{'[open] settings '}'[close]
      { $$ = xlm_build_param_group(p, @$, @STRING, $STRING, $settings, xlm_span_join(@open, @close)); }
  | WEIGHTS NAME '{'[open] entries '}'[close]
      { $$ = xlm_build_stmt(p, XLM_STMT_WEIGHTS, @$, $NAME, NULL);
        $$->weights.entries = $entries.first; $$->body = xlm_span_join(@open, @close); }
  | CONFIG NAME '{'[open] members '}'[close]
      { $$ = xlm_build_stmt(p, XLM_STMT_CONFIG, @$, $NAME, NULL);
        $$->config.items = $members.first; $$->body = xlm_span_join(@open, @close); }
  ;

/* --- lists of names */

names
  : NAME                        { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_ast_name, $NAME); }
  | names[l] ',' NAME           { $$ = $l; XLM_APPEND($$, xlm_ast_name, $NAME); }
  ;

juxtaposed
  : NAME                        { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_ast_name, $NAME); }
  | juxtaposed[l] NAME          { $$ = $l; XLM_APPEND($$, xlm_ast_name, $NAME); }
  ;

aliases
  : %empty                      { $$ = (xlm_list){0}; }
  | AS names                    { $$ = $names; }
  ;

where
  : %empty                      { $$ = NULL; }
  | WHERE NAME                  { $$ = $NAME; }
  ;

of_name
  : %empty                      { $$ = NULL; }
  | OF NAME                     { $$ = $NAME; }
  ;

from_name
  : %empty                      { $$ = NULL; }
  | FROM NAME                   { $$ = $NAME; }
  ;

shift
  : %empty                      { $$ = NULL; }
  | SHIFTED expr                { $$ = $expr; }
  ;

/* --- dimension lists: [batch, seq], [.., hidden], [hidden, ffn over none] */

dims
  : '[' ']'                     { $$ = (xlm_list){0}; }
  | '[' dim_entries ']'         { $$ = $dim_entries; }
  ;

dim_entries
  : dim_entry                   { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_ast_dim, $dim_entry); }
  | dim_entries[l] ',' dim_entry { $$ = $l; XLM_APPEND($$, xlm_ast_dim, $dim_entry); }
  ;

dim_entry
  : DOTS                        { $$ = xlm_build_dim(p, @$, NULL); }
  | NAME                        { $$ = xlm_build_dim(p, @$, $NAME->text); }
  | NAME OVER axes              { $$ = xlm_build_dim(p, @$, $NAME->text); xlm_build_dim_over($$, $axes); }
  ;

axes
  : NAME                        { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_ast_name, $NAME); }
  | '(' names ')'               { $$ = $names; }
  ;

/* --- blocks */

generic
  : %empty                      { $$ = (xlm_list){0}; }
  | '[' names ']'               { $$ = $names; }
  ;

block_params
  : %empty                      { $$ = (xlm_list){0}; }
  | block_params1
  ;

block_params1
  : block_param                 { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_block_param, $block_param); }
  | block_params1[l] ',' block_param { $$ = $l; XLM_APPEND($$, xlm_block_param, $block_param); }
  ;

block_param
  : NAME                        { $$ = xlm_build_block_param(p, $NAME, false, (xlm_list){0}); }
  | NAME dims                   { $$ = xlm_build_block_param(p, $NAME, true, $dims); }
  ;

results
  : result                      { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_block_result, $result); }
  | results[l] ',' result       { $$ = $l; XLM_APPEND($$, xlm_block_result, $result); }
  ;

result
  : dims                        { $$ = xlm_build_block_result(p, @$, $dims); }
  ;

/* --- assignment, repeat, if */

targets
  : target                      { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_expr, $target); }
  | '(' target_list ')'         { $$ = $target_list; }
  ;

target_list
  : target                      { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_expr, $target); }
  | target_list[l] ',' target   { $$ = $l; XLM_APPEND($$, xlm_expr, $target); }
  ;

target
  : NAME                        { $$ = xlm_build_named(p, $NAME); }
  | NAME '[' expr ']'           { $$ = xlm_build_index(p, @$, $NAME, $expr); }
  ;

repeat
  : REPEAT expr as_name over_name shared '{'[open] stmts '}'[close]
      { $$ = xlm_build_stmt(p, XLM_STMT_REPEAT, @$, NULL, $expr);
        $$->repeat.var = $as_name; $$->repeat.over = $over_name; $$->repeat.shared = $shared;
        $$->repeat.body = $stmts.first; xlm_build_body(p, $$, $stmts, $$->body = xlm_span_join(@open, @close)); }
  ;

as_name
  : %empty                      { $$ = NULL; }
  | AS NAME                     { $$ = $NAME; }
  ;

over_name
  : %empty                      { $$ = NULL; }
  | OVER NAME                   { $$ = $NAME; }
  ;

shared
  : %empty                      { $$ = false; }
  | SHARED                      { $$ = true; }
  ;

if_chain
  : IF expr '{'[open] stmts '}'[close]
      { $$ = (xlm_list){0};
        $$ = xlm_build_else_if($$, xlm_build_if_stmt(p, @$, $expr, $stmts, xlm_span_join(@open, @close))); }
  | if_chain[l] ELSE IF[if] expr '{'[open] stmts '}'[close]
      { $$ = xlm_build_else_if($l, xlm_build_if_stmt(p, xlm_span_join(@if, @close), $expr, $stmts,
                                                     xlm_span_join(@open, @close))); }
  ;

/* --- presets and groups: settings follow each other, separated by blanks or line ends */

settings
  : %empty                      { $$ = (xlm_list){0}; }
  | settings[l] setting         { $$ = $l; XLM_APPEND($$, xlm_setting, $setting); }
  | settings[l] bad             { $$ = $l; }
  ;

setting
  : NAME '=' expr               { $$ = xlm_build_setting(p, $NAME, $expr); }
  ;

/* --- weights: one entry per line */

entries
  : %empty                      { $$ = (xlm_list){0}; }
  | entries[l] entry NEWLINE    { $$ = $l; XLM_APPEND($$, xlm_weight, $entry); }
  | entries[l] bad NEWLINE      { $$ = $l; }
  ;

entry
  : entry_layout stored optional
      { $$ = $entry_layout; $$->span = @$; $$->stored = $stored; $$->optional = $optional; }
  | entry_layout WHERE splits stored optional
      { $$ = $entry_layout; $$->span = @$; $$->splits = $splits.first; $$->stored = $stored; $$->optional = $optional; }
  ;

stored
  : %empty                      { $$ = NULL; }
  | AS expr                     { $$ = $expr; }
  ;

entry_layout
  : path '=' STRING             { $$ = xlm_build_weight(p, @$, @path, @STRING, $STRING); }
  | path '=' STRING '[' groups ']'
      { $$ = xlm_build_weight(p, @$, @path, @STRING, $STRING); $$->layout_set = true; $$->layout = $groups.first; }
  ;

optional
  : %empty                      { $$ = false; }
  | OPTIONAL                    { $$ = true; }
  ;

path
  : NAME
  | path '.' NAME
  | path '[' NAME ']'
  | path '[' NUMBER ']'
  ;

groups
  : %empty                      { $$ = (xlm_list){0}; }
  | groups1
  ;

groups1
  : group                       { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_weight_group, $group); }
  | groups1[l] ',' group        { $$ = $l; XLM_APPEND($$, xlm_weight_group, $group); }
  ;

group
  : factors                     { $$ = xlm_build_group(p, @$, $factors); }
  ;

factors
  : factor                      { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_weight_factor, $factor); }
  | factors[l] factor           { $$ = $l; XLM_APPEND($$, xlm_weight_factor, $factor); }
  ;

factor
  : NAME                        { $$ = xlm_build_factor(p, @$, $NAME->text); }
  | NUMBER[part] OF NUMBER[parts] { $$ = xlm_build_part(p, @$, $part, $parts, NULL); }
  | NUMBER[part] OF '(' sizes ')' { $$ = xlm_build_part(p, @$, $part, NULL, $sizes.first); }
  ;

sizes
  : size                        { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_weight_size, $size); }
  | sizes[l] ',' size           { $$ = $l; XLM_APPEND($$, xlm_weight_size, $size); }
  ;

size
  : term                        { $$ = xlm_build_size(p, $term); }
  | size[s] term                { $$ = xlm_build_times($s, $term); }
  ;

term
  : NAME
  | NUMBER                      { $$ = xlm_build_term(p, $NUMBER); }
  ;

splits
  : split                       { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_weight_split, $split); }
  | splits[l] ',' split         { $$ = $l; XLM_APPEND($$, xlm_weight_split, $split); }
  ;

split
  : NAME '=' juxtaposed         { $$ = xlm_build_split(p, $NAME, $juxtaposed); }
  ;

/* --- config: keys and values follow each other, as settings do */

members
  : %empty                      { $$ = (xlm_list){0}; }
  | members[l] member           { $$ = $l; XLM_APPEND($$, xlm_config_item, $member); }
  | members[l] bad              { $$ = $l; }
  ;

member
  : key '=' value               { $$ = $value; $$->key = $key; }
  ;

key
  : NAME
  | STRING                      { $$ = xlm_build_key(p, @$, $STRING); }
  ;

value
  : expr                        { $$ = xlm_build_item(p, XLM_CONFIG_EXPR, @$, $expr, (xlm_list){0}); }
  | '[' elements ']'            { $$ = xlm_build_item(p, XLM_CONFIG_LIST, @$, NULL, $elements); }
  | '{' members '}'             { $$ = xlm_build_item(p, XLM_CONFIG_OBJECT, @$, NULL, $members); }
  ;

elements
  : %empty                      { $$ = (xlm_list){0}; }
  | elements1
  ;

elements1
  : element                     { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_config_item, $element); }
  | elements1[l] ',' element    { $$ = $l; XLM_APPEND($$, xlm_config_item, $element); }
  ;

element
  : value
  | REPEAT expr as_name '{' elements1 '}'
      { $$ = xlm_build_item(p, XLM_CONFIG_REPEAT, @$, $expr, $elements1); $$->var = $as_name; }
  ;

/* --- expressions */

expr
  : primary
  | '-' expr[x] %prec UNARY     { $$ = xlm_build_unary(p, @$, false, $x); }
  | NOT expr[x]                 { $$ = xlm_build_unary(p, @$, true, $x); }
  | expr[a] '+'[o] expr[b]      { $$ = xlm_build_binary(p, @$, XLM_BIN_ADD, @o, $a, $b); }
  | expr[a] '-'[o] expr[b]      { $$ = xlm_build_binary(p, @$, XLM_BIN_SUB, @o, $a, $b); }
  | expr[a] '*'[o] expr[b]      { $$ = xlm_build_binary(p, @$, XLM_BIN_MUL, @o, $a, $b); }
  | expr[a] '/'[o] expr[b]      { $$ = xlm_build_binary(p, @$, XLM_BIN_DIV, @o, $a, $b); }
  | expr[a] '%'[o] expr[b]      { $$ = xlm_build_binary(p, @$, XLM_BIN_MOD, @o, $a, $b); }
  | expr[a] '@'[o] expr[b]      { $$ = xlm_build_binary(p, @$, XLM_BIN_MATMUL, @o, $a, $b); }
  | expr[a] POW[o] expr[b]      { $$ = xlm_build_binary(p, @$, XLM_BIN_POW, @o, $a, $b); }
  | expr[a] EQ[o] expr[b]       { $$ = xlm_build_binary(p, @$, XLM_BIN_EQ, @o, $a, $b); }
  | expr[a] NE[o] expr[b]       { $$ = xlm_build_binary(p, @$, XLM_BIN_NE, @o, $a, $b); }
  | expr[a] '<'[o] expr[b]      { $$ = xlm_build_binary(p, @$, XLM_BIN_LT, @o, $a, $b); }
  | expr[a] LE[o] expr[b]       { $$ = xlm_build_binary(p, @$, XLM_BIN_LE, @o, $a, $b); }
  | expr[a] '>'[o] expr[b]      { $$ = xlm_build_binary(p, @$, XLM_BIN_GT, @o, $a, $b); }
  | expr[a] GE[o] expr[b]       { $$ = xlm_build_binary(p, @$, XLM_BIN_GE, @o, $a, $b); }
  | expr[a] AND[o] expr[b]      { $$ = xlm_build_binary(p, @$, XLM_BIN_AND, @o, $a, $b); }
  | expr[a] OR[o] expr[b]       { $$ = xlm_build_binary(p, @$, XLM_BIN_OR, @o, $a, $b); }
  | IF expr[c] THEN expr[a] ELSE expr[b] { $$ = xlm_build_if(p, @$, $c, $a, $b); }
  ;

primary
  : NUMBER
  | STRING                      { $$ = xlm_build_expr(p, XLM_EXPR_STRING, @$); $$->string.text = $STRING; }
  | NAME                        { $$ = xlm_build_named(p, $NAME); }
  | NAME '[' expr ']'           { $$ = xlm_build_index(p, @$, $NAME, $expr); }
  | call
  | RECOMPUTE call              { $$ = $call; $$->span = @$; $$->call.recompute = true; }
  | '(' expr[x] ')'             { $$ = xlm_build_parens(@$, $x); }
  | '(' expr[x] ',' rest ')'    { $$ = xlm_build_tuple(p, @$, $x, $rest); }
  ;

rest
  : expr                        { $$ = (xlm_list){0}; XLM_APPEND($$, xlm_expr, $expr); }
  | rest[l] ',' expr            { $$ = $l; XLM_APPEND($$, xlm_expr, $expr); }
  ;

call
  : NAME '(' args ')'           { $$ = xlm_build_call(p, @$, $NAME, NULL, $args); }
  | NAME[block] '.' NAME[instance] '(' args ')' { $$ = xlm_build_call(p, @$, $block, $instance, $args); }
  ;

args
  : %empty                      { $$ = (xlm_list){0}; }
  | args1
  ;

args1
  : arg                         { $$ = xlm_build_add_arg(p, (xlm_list){0}, $arg); }
  | args1[l] ',' arg            { $$ = xlm_build_add_arg(p, $l, $arg); }
  ;

arg
  : expr                        { $$ = xlm_build_arg(p, XLM_ARG_VALUE, @$); $$->value = $expr; }
  | NAME '=' expr               { $$ = xlm_build_arg(p, XLM_ARG_NAMED, @$); $$->name = $NAME; $$->value = $expr; }
  | OVER NAME                   { $$ = xlm_build_arg(p, XLM_ARG_OVER, @$); $$->dims = $$->to = $NAME; }
  | juxtaposed[from] ARROW juxtaposed[to]
      { $$ = xlm_build_arg(p, XLM_ARG_ARROW, @$); $$->dims = $from.first; $$->to = $to.first; }
  ;

%%

static int xlm_yylex(YYSTYPE *value, xlm_span *where, xlm_parser *p) {
  const xlm_token *t = &p->tokens.at[p->at = p->next];
  if (t->kind != END) p->next++;
  *where = t->span;
  if (t->kind == NAME) value->name = xlm_build_name(p, t->span);
  if (t->kind == NUMBER) value->expr = xlm_lex_number(p, t->span);
  if (t->kind == STRING) value->text = xlm_lex_string(p, t->span);
  return t->kind;
}

static int yyreport_syntax_error(const yypcontext_t *context, xlm_parser *p) {
  enum { MOST = YYNTOKENS };
  yysymbol_kind_t kinds[MOST];
  const char *words[MOST];
  int n = yypcontext_expected_tokens(context, kinds, MOST);
  for (int i = 0; i < n; i++) words[i] = yysymbol_name(kinds[i]);
  xlm_parse_report(p, words, n);
  return 0;
}

/* Called by bison itself only when its stack is full. */
static void xlm_yyerror(xlm_span *where, xlm_parser *p, const char *message) {
  (void)message;
  if (p->deep) return;
  p->deep = true;
  xlm_diag *g = xlm_diag_push(p->diags, XLM_E_TOO_DEEP, *where, "nested more than %d levels deep", XLM_MAX_NESTING);
  xlm_diag_note(p->diags, g, "nothing after this place was read");
}

/* Words are the tokens that are named in backquotes and letters, as in "`over`". */
const char *xlm_parse_word(xlm_arena *a, int i, bool *statement) {
  for (int k = 0; k < YYNTOKENS; k++) {
    const char *name = yysymbol_name((yysymbol_kind_t)k);
    if (name[0] != '`' || name[1] < 'a' || name[1] > 'z' || i-- > 0) continue;
    const char *text = xlm_arena_strndup(a, name + 1, strlen(name) - 2);
    *statement = false;
    for (const xlm_word *w = xlm_statement_words; w->text; w++) *statement |= !strcmp(w->text, text);
    return text;
  }
  return NULL;
}
